/** Inputs that were in flight when their process died: which runs may overlap, and which inputs are abandoned. */
import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { RuntimeStore } from "../../services/RuntimeStore.js"
import * as Turns from "../../services/Turn.js"
import { ApplyFailed } from "../../src/domain/Errors.js"
import { runtimeIdOf, SessionId } from "../../src/domain/Ids.js"
import type { InputRecord } from "../../src/domain/InputRecord.js"
import * as Commits from "../support/commits.js"
import { inputId, prompt, record, runId } from "../support/inputs.js"
import type { Script, Scripted, World } from "../support/rows.js"
import { advance, inTime, memoryRow, row, scripted, settled, until } from "../support/rows.js"

const session = (n: number) => SessionId.make(`poison-${n}`)

/** One input per session: input n in session n. */
const accept = (world: World, n: number) =>
  Effect.zipRight(world.machine.registerSession(session(n)), world.machine.acceptInput(session(n), prompt(n)))

const attachTo = (world: World, n: number, runs: Scripted) =>
  world.machine.ensureSessionWithExecutor(session(n), runs.executor)

const stateOf = (world: World, n: number) =>
  Effect.map(world.machine.inputState(session(n), inputId(n)), Option.getOrThrow)

const endOf = (world: World, n: number) =>
  Effect.map(
    stateOf(world, n),
    ({ terminal }) => terminal?.type === "abandoned" ? terminal.reason.type : terminal?.type ?? "open"
  )

/** The stored state of a session after crashes: one queued input with charges. */
const left = (world: World, n: number, crashed: number, others: ReadonlyArray<InputRecord> = []) =>
  Commits.open(session(n), {
    inputs: [record(prompt(n), { attempts: crashed, crashed }), ...others].map(Commits.insert),
    lifecycle: "idle"
  }).pipe(Effect.provideService(RuntimeStore, world.store))

/** Returns whether input n ran alone, for each commit that staged it. */
const staged = (world: World, n: number): ReadonlyArray<boolean> =>
  world.tap.commits.flatMap(({ inputs }) =>
    inputs.flatMap((put) =>
      put._tag === "Update" && put.facts.inputId === inputId(n) && put.facts.status.type === "staged"
        ? [put.facts.status.alone === true]
        : []
    )
  )

/** The stored phase of the first input of session n. */
const storedPhase = (world: World, n: number) =>
  Effect.map(Stream.runHead(world.store.inputs(runtimeIdOf(session(n)))), (row) => Option.getOrNull(row)?.phase)

/** Starts a process: every session has an executor whose turns wait. */
const life = (world: World, ns: ReadonlyArray<number>, script: Script = { park: true }) =>
  Effect.gen(function*() {
    const runs = new Map(ns.map((n) => [n, scripted(script)] as const))
    yield* Effect.forEach(runs, ([n, one]) => attachTo(world, n, one), { discard: true })
    yield* settled
    return { started: (n: number) => runs.get(n)?.turns.length ?? 0, runs }
  })

type Life = Effect.Effect.Success<ReturnType<typeof life>>

const inFlight = ({ started }: Life, ns: ReadonlyArray<number>) => ns.filter((n) => started(n) > 0)

const finish = ({ runs }: Life) =>
  Effect.zipRight(
    Effect.forEach(runs, ([n, one]) => n === 0 ? Effect.void : one.openAll, { discard: true }),
    settled
  )

/** Starts processes until every input has ended. Input 0 kills its process when it runs; the others take time. */
const poisoned = (world: World, ns: ReadonlyArray<number>, flushed: boolean) =>
  Effect.gen(function*() {
    let deaths = 0
    for (let n = 1; n <= 40; n++) {
      const now = yield* life(world, ns)
      if (now.started(0) === 0) yield* inTime(Effect.zipRight(finish(now), settled))
      if (now.started(0) === 0) return deaths
      deaths++
      if (flushed) yield* advance("1 second")
      yield* world.crash
    }
    return yield* Effect.dieMessage("the inputs never ended")
  })

describe("an input that kills its process", () => {
  for (const flushed of [true, false]) {
    row(
      `is the only one that is abandoned when others are in flight, ${flushed ? "after" : "before"} the stage flush`,
      (world) =>
        Effect.gen(function*() {
          const ns = [0, 1, 2, 3, 4]
          yield* Effect.forEach(ns, (n) => accept(world, n))
          const deaths = yield* poisoned(world, ns, flushed)
          assert.deepStrictEqual(
            yield* Effect.forEach(ns, (n) => endOf(world, n)),
            ["crash_budget_exhausted", "consumed", "consumed", "consumed", "consumed"]
          )
          assert.strictEqual(deaths, flushed ? 3 : 4)
          assert.strictEqual((yield* stateOf(world, 0)).crashed, 3)
        }),
      { seeds: 1 }
    )
  }

  row(
    "leaves its neighbours open when it comes later and dies before its staging is stored",
    (world) =>
      Effect.gen(function*() {
        const innocents = [1, 2, 3, 4]
        yield* Effect.forEach(innocents, (n) => accept(world, n))
        yield* life(world, innocents)
        yield* advance("1 second")
        yield* accept(world, 0)
        const first = yield* life(world, [0])
        assert.strictEqual(first.started(0), 1)
        yield* world.crash
        yield* poisoned(world, [...innocents, 0], false)
        assert.deepStrictEqual(
          yield* Effect.forEach([0, ...innocents], (n) => endOf(world, n)),
          ["crash_budget_exhausted", "consumed", "consumed", "consumed", "consumed"]
        )
      }),
    { seeds: 1 }
  )

  row("is given up at its second charge when the crash budget is one", (world) =>
    Effect.gen(function*() {
      const ns = [0, 1, 2]
      yield* Effect.forEach(ns, (n) => accept(world, n))
      assert.strictEqual(yield* poisoned(world, ns, true), 2)
      assert.deepStrictEqual(
        yield* Effect.forEach(ns, (n) => endOf(world, n)),
        ["crash_budget_exhausted", "consumed", "consumed"]
      )
    }), { config: { crashBudget: 1 }, seeds: 1 })
})

describe("a process that is killed from outside", () => {
  row(
    "costs at most the input that ran alone when it is killed three times in a row",
    (world) =>
      Effect.gen(function*() {
        const ns = [1, 2, 3, 4, 5]
        yield* Effect.forEach(ns, (n) => accept(world, n))
        for (const expected of [5, 5, 1]) {
          const now = yield* life(world, ns)
          assert.strictEqual(inFlight(now, ns).length, expected)
          yield* advance("1 second")
          yield* world.crash
        }
        const last = yield* life(world, ns)
        yield* finish(last)
        yield* inTime(
          until("all ended", Effect.map(Effect.forEach(ns, (n) => endOf(world, n)), (ends) => !ends.includes("open")))
        )
        const ends = yield* Effect.forEach(ns, (n) => endOf(world, n))
        assert.deepStrictEqual(ends.filter((end) => end !== "consumed"), ["crash_budget_exhausted"])
      }),
    { seeds: 1 }
  )

  row("keeps a suspect that was staged by an older program open, and runs it alone", (world) =>
    Effect.gen(function*() {
      const lastRun = runId(1)
      yield* Commits.open(session(1), {
        inputs: [Commits.insert(record(prompt(1), {
          attempts: 3,
          crashed: 2,
          status: { type: "staged", runId: lastRun },
          lastRunId: lastRun
        }))],
        lifecycle: "idle"
      }).pipe(Effect.provideService(RuntimeStore, world.store))
      yield* left(world, 2, 2)
      const now = yield* life(world, [1, 2])
      assert.deepStrictEqual([(yield* stateOf(world, 1)).crashed, inFlight(now, [1, 2])], [2, [1]])
      assert.deepStrictEqual(staged(world, 1), [true])
    }), { seeds: 0 })
})

describe("a suspect that waits for its turn", () => {
  memoryRow("lets other inputs of its session run, and keeps its place", (world) =>
    Effect.gen(function*() {
      yield* left(world, 1, 2)
      yield* left(world, 2, 2)
      const now = yield* life(world, [1, 2])
      assert.deepStrictEqual(inFlight(now, [1, 2]), [1])
      yield* world.machine.acceptInput(session(2), prompt(22))
      yield* settled
      assert.deepStrictEqual(now.runs.get(2)?.batches(), [[inputId(22)]])
      yield* now.runs.get(1)?.openAll ?? Effect.void
      yield* settled
      assert.strictEqual(now.started(2), 1)
      yield* now.runs.get(2)?.open(1) ?? Effect.void
      yield* until("the suspect runs", Effect.sync(() => now.started(2) === 2))
      assert.deepStrictEqual(now.runs.get(2)?.batches(), [[inputId(22)], [inputId(2)]])
    }))

  const ends: ReadonlyArray<readonly [string, (world: World) => Effect.Effect<unknown, unknown>, string]> = [
    ["unregister", (world) => world.machine.unregisterSession(session(2)), "queued"],
    ["stop", (world) => world.machine.stopRuntimeExecutor(session(2), "stop"), "abandoned"],
    ["destroy", (world) => world.machine.session(session(2)).destroy, "abandoned"],
    ["retract", (world) => world.machine.retractInput(session(2), inputId(2)), "abandoned"],
    ["restart", (world) => world.restart, "queued"]
  ]
  for (const [name, end, phase] of ends) {
    memoryRow(`ends at once when ${name} is called, and keeps no place`, (world) =>
      Effect.gen(function*() {
        yield* left(world, 1, 2)
        yield* left(world, 2, 2)
        yield* left(world, 3, 2)
        const now = yield* life(world, [1, 2, 3])
        assert.deepStrictEqual(inFlight(now, [1, 2, 3]), [1])
        const ending = yield* Effect.fork(end(world))
        yield* until(`${name} ended`, Effect.map(Fiber.poll(ending), Option.isSome))
        yield* Fiber.join(ending)
        assert.strictEqual(yield* storedPhase(world, 2), phase)
        if (name === "restart") return
        yield* now.runs.get(1)?.openAll ?? Effect.void
        yield* until("the next one runs", Effect.sync(() => now.started(3) === 1))
        assert.strictEqual(now.started(2), 0)
      }), { seeds: 1 })
  }

  memoryRow(
    "delays only inputs with a charge when they are in other sessions",
    (world) =>
      Effect.gen(function*() {
        yield* left(world, 1, 2)
        yield* left(world, 2, 1)
        yield* accept(world, 3)
        const now = yield* life(world, [1, 2, 3])
        assert.deepStrictEqual(inFlight(now, [1, 2, 3]), [1, 3])
        yield* now.runs.get(1)?.openAll ?? Effect.void
        yield* until("the accused one runs", Effect.sync(() => now.started(2) === 1))
      })
  )
})

describe("the turn of a suspect", () => {
  const scripts: ReadonlyArray<
    readonly [string, Script, (world: World, runs: Scripted) => Effect.Effect<unknown, unknown>]
  > = [
    ["it completes", { park: true }, (_, runs) => runs.openAll],
    [
      "its run fails",
      { park: true, apply: () => Effect.fail(new ApplyFailed({ cause: "RuntimeTurn", detail: "no" })) },
      (
        _,
        runs
      ) => runs.openAll
    ],
    ["its run dies of a defect", { park: true, apply: () => Effect.dieMessage("boom") }, (_, runs) => runs.openAll],
    ["its run is cancelled", { park: true }, (world) => world.machine.hardCancelCurrentRun(session(1), "enough")],
    ["its session is unregistered", { park: true }, (world) => world.machine.unregisterSession(session(1))],
    ["its session is destroyed", { park: true }, (world) => world.machine.session(session(1)).destroy],
    [
      "its session is stopped",
      { park: true },
      (world, runs) =>
        Effect.zipRight(Effect.forkDaemon(world.machine.stopRuntimeExecutor(session(1), "stop")), runs.openAll)
    ]
  ]
  for (const [name, script, end] of scripts) {
    memoryRow(`is over when ${name}`, (world) =>
      Effect.gen(function*() {
        yield* left(world, 1, 2)
        yield* left(world, 2, 2)
        const one = scripted(script)
        const two = scripted({ apply: () => Effect.succeed(Turns.reply("ok")) })
        yield* attachTo(world, 1, one)
        yield* one.started(1)
        yield* attachTo(world, 2, two)
        yield* settled
        assert.strictEqual(two.turns.length, 0)
        assert.deepStrictEqual(staged(world, 1), [true])
        yield* end(world, one)
        yield* inTime(until("the next suspect runs", Effect.sync(() => two.turns.length === 1)))
      }), { seeds: 0 })
  }

  memoryRow(
    "ends when its session is unregistered and the executor ignores its interruption",
    (world) =>
      Effect.gen(function*() {
        yield* left(world, 1, 2)
        yield* left(world, 2, 2)
        const gate = yield* Effect.makeLatch(false)
        const one = scripted({ apply: () => Effect.uninterruptible(Effect.as(gate.await, Turns.reply("late"))) })
        const two = scripted()
        yield* attachTo(world, 1, one)
        yield* one.started(1)
        yield* attachTo(world, 2, two)
        yield* settled
        assert.strictEqual(two.turns.length, 0)
        yield* inTime(world.machine.unregisterSession(session(1)))
        yield* until("the next suspect runs", Effect.sync(() => two.turns.length === 1))
        yield* gate.open
        yield* settled
      }),
    { seeds: 0 }
  )

  memoryRow("is asked for by an inline run of a suspect, too", (world) =>
    Effect.gen(function*() {
      yield* left(world, 1, 2)
      yield* left(world, 2, 2)
      const one = scripted({ park: true })
      yield* attachTo(world, 1, one)
      yield* one.started(1)
      yield* world.machine.registerSession(session(2))
      let begun = false
      const call = yield* Effect.fork(world.machine.acceptInputAndRun(session(2), prompt(2), () =>
        Effect.sync(() => {
          begun = true
          return ["done", Turns.reply("done")] as const
        })))
      yield* settled
      assert.isFalse(begun)
      yield* one.openAll
      assert.strictEqual(yield* inTime(Fiber.join(call)), "done")
    }), { seeds: 0 })

  memoryRow(
    "does not delay an inline caller when its session is unregistered",
    (world) =>
      Effect.gen(function*() {
        yield* left(world, 1, 2)
        yield* left(world, 2, 2)
        const one = scripted({ park: true })
        yield* attachTo(world, 1, one)
        yield* one.started(1)
        yield* world.machine.registerSession(session(2))
        const call = yield* Effect.fork(
          Effect.either(
            world.machine.acceptInputAndRun(session(2), prompt(2), () =>
              Effect.succeed(["done", Turns.reply("done")] as const))
          )
        )
        yield* settled
        yield* world.machine.unregisterSession(session(2))
        assert.strictEqual((yield* inTime(Fiber.join(call)))._tag, "Left")
        assert.strictEqual(yield* storedPhase(world, 2), "queued")
      }),
    { seeds: 0 }
  )
})
