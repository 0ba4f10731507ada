/** The checks of the simulation find what they look for, and accept what is allowed. */
import { assert, describe, it } from "@effect/vitest"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import * as CommsRuntimeMailbox from "../../layers/CommsRuntimeMailbox.js"
import * as HandoverLive from "../../layers/HandoverLive.js"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import * as RuntimeControlPlaneLive from "../../layers/RuntimeControlPlaneLive.js"
import * as RuntimeStoreMemory from "../../layers/RuntimeStoreMemory.js"
import type { CoreExecutor } from "../../services/CoreExecutor.js"
import * as Executor from "../../services/CoreExecutor.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import * as MeerkatMachineConfig from "../../services/MeerkatMachineConfig.js"
import { RuntimeControlPlane } from "../../services/RuntimeControlPlane.js"
import { RuntimeStore } from "../../services/RuntimeStore.js"
import { consume } from "../../services/Turn.js"
import { Internal } from "../../src/domain/Errors.js"
import { InputId, RunId, runtimeIdOf, SessionId } from "../../src/domain/Ids.js"
import * as Sim from "../../src/testkit/Sim.js"
import * as Simulation from "../../src/testkit/Simulation.js"
import * as Audit from "../../src/testkit/simulation/Audit.js"
import type { Crew } from "../../src/testkit/simulation/Crew.js"
import { answered } from "../../src/testkit/simulation/Crew.js"
import * as Dice from "../../src/testkit/simulation/Dice.js"
import * as Journal from "../../src/testkit/simulation/Journal.js"
import type { Look } from "../../src/testkit/simulation/Looks.js"
import { stranded } from "../../src/testkit/simulation/Looks.js"
import * as Observe from "../../src/testkit/simulation/Observe.js"
import * as Plans from "../../src/testkit/simulation/Plan.js"
import * as Faults from "../../src/testkit/simulation/StoreFaults.js"
import * as StoreLedgers from "../../src/testkit/simulation/StoreLedger.js"
import * as Tally from "../../src/testkit/simulation/Tally.js"
import type { Wait } from "../../src/testkit/simulation/traffic/Patience.js"
import { patient } from "../../src/testkit/simulation/traffic/Patience.js"
import type { World } from "../../src/testkit/simulation/World.js"
import { mortal } from "../../src/testkit/simulation/World.js"
import { endsWhenCutAt } from "../support/cutting.js"

const s0 = SessionId.make("s0")
const uuid = (n: number) => `00000000-0000-4000-8000-00000000000${n}`
const [a, b] = [InputId.make(uuid(1)), InputId.make(uuid(2))]

const worldOf = (limits: Partial<MeerkatMachineConfig.MeerkatMachineOptions> = {}): World => ({
  journal: Journal.make({ trace: false }),
  ledger: StoreLedgers.make(),
  dice: Dice.make(1),
  config: { ...MeerkatMachineConfig.defaults, ...limits },
  punctual: true,
  faults: () => Faults.none,
  peek: null,
  ...mortal()
})

const quiet = Executor.make(() => Effect.succeed(consume))

/** Runs `body` on a machine of its own, then `check`, and returns the violations that were reported. */
const violations = (
  body: (crew: Crew) => Effect.Effect<unknown, { readonly _tag: string }>,
  check: (crew: Crew) => Effect.Effect<void, never, RuntimeStore>
): ReadonlyArray<string> => {
  const world = worldOf()
  const program = Effect.gen(function*() {
    const inbox = yield* CommsRuntimeMailbox.make()
    const crew: Crew = {
      world,
      machine: yield* MeerkatMachine,
      control: yield* RuntimeControlPlane,
      sessions: [s0],
      executor: () => quiet,
      inboxes: () => [inbox],
      scope: yield* Effect.scope
    }
    yield* body(crew)
    yield* check(crew)
  }).pipe(
    Effect.scoped,
    Effect.provide(
      RuntimeControlPlaneLive.layer.pipe(
        Layer.provideMerge(MeerkatMachineLive.layer),
        Layer.provideMerge(Layer.provide(RuntimeStoreMemory.layerNoDeps(), HandoverLive.layerYield))
      )
    )
  )
  assert.deepStrictEqual(Sim.run(program, { seed: 1 }).exit, Exit.void)
  return world.journal.violations
}

const attached = ({ executor, machine }: Crew) =>
  Effect.scoped(Effect.flatMap(executor(s0), (made) => machine.ensureSessionWithExecutor(s0, made)))

describe("an input that waits beside a loop without a run", () => {
  const look = (runs: number, ...waiting: Look["waiting"]): Look => ({ runs, waiting })
  const first = { inputId: a, attempts: 0, due: true }
  const second = { inputId: b, attempts: 0, due: true }

  it("is stranded, whatever comes and goes behind it", () => {
    assert.deepStrictEqual(stranded(look(1, first, second), look(1, first)), [first])
    assert.deepStrictEqual(stranded(look(1, first), look(1, first, second)), [first])
  })

  it("is not stranded while a run begins, or while an input in front of it moves", () => {
    assert.deepStrictEqual(stranded(look(1, first, second), look(2, second)), [])
    assert.deepStrictEqual(stranded(look(1, first, second), look(1, { ...first, attempts: 1 }, second)), [])
    assert.deepStrictEqual(stranded(look(1, first), null), [])
  })

  it("is not stranded while its retry is not due", () => {
    const later = { ...first, due: false }
    assert.deepStrictEqual(stranded(look(1, later), look(1, later)), [])
  })
})

describe("a session that is brought to rest", () => {
  it("may have been stopped", () => {
    const stop = (crew: Crew) => Effect.zipRight(attached(crew), crew.machine.stopRuntimeExecutor(s0, "done"))
    assert.deepStrictEqual(violations(stop, Audit.settle), [])
  })

  it("may not refuse an executor for another reason, not even once", () => {
    let calls = 0
    const broken = (crew: Crew): Crew => ({
      ...crew,
      machine: {
        ...crew.machine,
        ensureSessionWithExecutor: (id, executor) =>
          calls++ === 0
            ? Effect.fail(new Internal({ detail: "planted", cause: null, retryable: false }))
            : crew.machine.ensureSessionWithExecutor(id, executor)
      }
    })
    const [first] = violations(attached, (crew) => Audit.settle(broken(crew)))
    assert.match(first ?? "", /22 no stranding: s0 cannot be attached again: planted/)
  })
})

describe("a call that does not return", () => {
  const wait = (waits: boolean): Wait => ({ method: "ask", sessionId: s0, waits: Effect.succeed(waits) })
  const waited = (waits: boolean, world: World) =>
    Effect.gen(function*() {
      const fiber = yield* Effect.fork(patient(world, wait(waits), Effect.never))
      yield* TestClock.adjust("3 hours")
      assert.isTrue(Option.isNone(yield* Fiber.join(fiber)))
      return world.journal
    })

  it.effect("is reported when nothing is left that it could wait for", () =>
    Effect.gen(function*() {
      const { violations } = yield* waited(false, worldOf())
      assert.deepStrictEqual(violations, ["21 every call returns: ask of s0 waits, but nothing delays it"])
    }))

  it.effect("is given up and counted while something is left to wait for", () =>
    Effect.gen(function*() {
      const { tally, violations } = yield* waited(true, worldOf())
      assert.deepStrictEqual(violations, [])
      assert.deepStrictEqual(Tally.toRecord(tally), { gaveUp: { "ask (reason)": 1 } })
    }))

  it.effect("is not reported where timers fire early or the store refuses everything", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual((yield* waited(false, { ...worldOf(), punctual: false })).violations, [])
      const world = worldOf()
      const refused = Effect.delay(
        Effect.sync(() => Journal.count(world.journal, "fault", "commit.StoreFull")),
        "30 seconds"
      )
      yield* Effect.fork(Effect.forever(refused))
      assert.deepStrictEqual((yield* waited(false, world)).violations, [])
    }))

  // Seeds 30000319 and 30000712: with `Effect.raceFirst` the simulated world did not end.
  it("ends when its caller is interrupted at any step", () => {
    for (let cut = 1; cut < 40; cut++) {
      const call = patient(worldOf(), wait(true), Effect.never)
      assert.deepStrictEqual(endsWhenCutAt(cut, call), Exit.succeed(true), `cut at ${cut}`)
    }
  })

  it.effect("is accepted when it returns late", () =>
    Effect.gen(function*() {
      const world = worldOf()
      const fiber = yield* Effect.fork(patient(world, wait(false), Effect.delay(Effect.succeed(1), "20 minutes")))
      yield* TestClock.adjust("3 hours")
      assert.deepStrictEqual(yield* Fiber.join(fiber), Option.some(1))
      assert.deepStrictEqual(world.journal.violations, [])
    }))
})

describe("the audit of what clients were told", () => {
  it("finds a waiter of an ended input without an answer", () => {
    const prompted = (ends: boolean) => (crew: Crew) =>
      Effect.gen(function*() {
        yield* attached(crew)
        const { completion: { inputId } } = yield* crew.machine.session(s0).prompt("hello", { hold: !ends })
        yield* Effect.sleep("1 minute")
        const { journal, ledger, opened, waiting } = crew.world
        Journal.sent(journal, { inputId, sessionId: s0, durability: "durable", key: null, supersessionKey: null })
        waiting.set("client", inputId)
        opened.set(runtimeIdOf(s0), { incarnation: 1, imageSeq: 0 })
        ledger.incarnations.set(runtimeIdOf(s0), 1)
        if (ends) ledger.ended.set(inputId, "consumed")
      })
    assert.deepStrictEqual(violations(prompted(false), Audit.books), [])
    assert.match(violations(prompted(true), Audit.books)[0] ?? "", /21 every waiter resolves: .* has no outcome/)
  })

  it("finds a destroyed session that lives", () => {
    const destroyed = ({ machine, world }: Crew) =>
      Effect.tap(machine.destroyRuntime(s0), () => Effect.sync(() => world.journal.destroyed.add(s0)))
    const really = (crew: Crew) => Effect.zipRight(attached(crew), destroyed(crew))
    const notReally = (crew: Crew) =>
      Effect.tap(attached(crew), () => Effect.sync(() => crew.world.journal.destroyed.add(s0)))
    assert.deepStrictEqual(violations(really, Audit.books), [])
    assert.match(violations(notReally, Audit.books)[0] ?? "", /^destroyed: /)
  })

  it("finds an operation that ended in another way than its caller was told", () => {
    const ended = (tag: "Completed" | "Failed") => (crew: Crew) =>
      Effect.gen(function*() {
        yield* attached(crew)
        const { operations } = crew.machine.session(s0)
        const id = yield* operations.external({ displayName: "work" })
        yield* operations.complete(id, "done")
        crew.world.journal.operations.set(id, { id, sessionId: s0, owner: "external", incarnation: null })
        crew.world.journal.ends.set(id, tag)
        // Lets the run that the end wakes finish.
        yield* Effect.sleep("1 minute")
      })
    assert.deepStrictEqual(violations(ended("Completed"), Audit.books), [])
    assert.match(violations(ended("Failed"), Audit.books)[0] ?? "", /25 operations: .* ended Failed and is Completed/)
  })

  it("finds a stored operation that is gone", () => {
    const lost = (crew: Crew) =>
      Effect.gen(function*() {
        yield* attached(crew)
        const id = yield* crew.machine.session(s0).operations.external({ displayName: "work" })
        const { incarnation } = Option.getOrThrow(yield* crew.machine.meerkatMachineSpineSnapshot(s0))
        crew.world.journal.operations.set(id, { id, sessionId: s0, owner: "external", incarnation })
      })
    // The session closes before the start of the operation is stored.
    assert.match(violations(lost, Audit.books)[0] ?? "", /25 operations: .* was started and is gone/)
    const later = (crew: Crew) => Effect.zipRight(lost(crew), Effect.sleep("1 minute"))
    assert.deepStrictEqual(violations(later, Audit.books), [])
  })

  it("finds a body with another number of messages than its head says", () => {
    const short = (store: Context.Tag.Service<RuntimeStore>): Context.Tag.Service<RuntimeStore> => ({
      ...store,
      session: (id) => Effect.map(store.session(id), Option.map((found) => ({ ...found, messageCount: 7 })))
    })
    const books = (crew: Crew) =>
      Effect.flatMap(RuntimeStore, (store) => Effect.provideService(Audit.books(crew), RuntimeStore, short(store)))
    assert.deepStrictEqual(violations(attached, Audit.books), [])
    assert.match(violations(attached, books)[0] ?? "", /11 atomic commit: s0 has 0 messages, its head says 7/)
  })
})

describe("an executor class of a user", () => {
  class Mine implements CoreExecutor {
    readonly said: Array<string> = []
    apply() {
      return Effect.succeed(consume)
    }
    stop(reason: string) {
      return Effect.sync(() => {
        this.said.push(reason)
      })
    }
  }

  it.effect("keeps the handles of its class", () =>
    Effect.gen(function*() {
      const mine = new Mine()
      const { hardCancel, stop } = Observe.executor(worldOf(), mine)
      yield* stop?.("over") ?? Effect.void
      assert.deepStrictEqual(mine.said, ["over"])
      assert.isUndefined(hardCancel)
    }))

  /**
   * Begins a second run some time after a first one was interrupted. The first ignores its interruption for a minute.
   */
  const successor = (after: "10 seconds" | "31 seconds") =>
    Effect.gen(function*() {
      const world = worldOf()
      const turn = (n: number) => ({ runId: RunId.make(uuid(n)), sessionId: s0, inputs: [], completions: [] })
      const first = yield* Effect.fork(
        Observe.observed(world, turn(1), Effect.uninterruptible(Effect.sleep("1 minute")))
      )
      yield* Effect.yieldNow()
      yield* Fiber.interruptFork(first)
      yield* TestClock.adjust(after)
      yield* Observe.observed(world, turn(2), Effect.void)
      yield* TestClock.adjust("1 minute")
      return world.journal.violations
    })

  it.effect("may begin beside an abandoned run once that run had its time to end", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* successor("31 seconds"), [])
      assert.match((yield* successor("10 seconds"))[0] ?? "", /5 single flight/)
    }))
})

describe("limits given by a user", () => {
  it("leave the other limits as they were drawn", () => {
    const { limits } = Plans.make(1)
    assert.deepStrictEqual(Plans.make(1, { limits: { maxAttempts: 7 } }).limits, { ...limits, maxAttempts: 7 })
  })

  const taken = (limits: Partial<MeerkatMachineConfig.MeerkatMachineOptions>, ended: boolean) => {
    const world = worldOf({ keyRetention: Option.none(), keyRetentionCount: Option.none(), ...limits })
    return violations((crew) =>
      Effect.sync(() => {
        if (ended) world.ledger.ended.set(a, "consumed")
        const fields = { durability: "durable", key: "k", supersessionKey: null } as const
        for (const existingId of [a, b]) {
          answered({ ...crew, world }, s0, { _tag: "Deduplicated", inputId: existingId, existingId }, fields)
        }
        crew.world.journal.violations.push(...world.journal.violations)
      }), () => Effect.void)
  }

  it("may free a key once its owner has ended", () => {
    const limits = { keyRetentionCount: Option.some(1) }
    assert.deepStrictEqual(taken(limits, true), [])
    assert.match(taken(limits, false)[0] ?? "", /14 dedup/)
    assert.match(taken({}, true)[0] ?? "", /14 dedup/)
  })

  it("may evict ended inputs", { timeout: 60_000 }, () => {
    const limits = { terminalRetention: Option.some(1), keyRetentionCount: Option.some(1) }
    for (const seed of [1, 4]) assert.deepStrictEqual(Simulation.simulate(seed, { plan: { limits } }).violations, [])
  })
})
