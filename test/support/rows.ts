/** The harness of the conformance rows: a world per row with a machine, a tapped store and scripted executors. */
import { assert, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as fs from "node:fs"
import * as path from "node:path"
import * as HandoverLive from "../../layers/HandoverLive.js"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import * as RuntimeStoreMemory from "../../layers/RuntimeStoreMemory.js"
import * as RuntimeStoreSqlite from "../../layers/RuntimeStoreSqlite.js"
import type { CoreExecutor, Turn, TurnOutput } from "../../services/CoreExecutor.js"
import type { MeerkatMachineService, SpineSnapshot } from "../../services/MeerkatMachine.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import type { MeerkatMachineOptions } from "../../services/MeerkatMachineConfig.js"
import * as MeerkatMachineConfig from "../../services/MeerkatMachineConfig.js"
import { RuntimeStore } from "../../services/RuntimeStore.js"
import * as Turns from "../../services/Turn.js"
import type { ExecutorError } from "../../src/domain/Errors.js"
import type { InputId } from "../../src/domain/Ids.js"
import { runtimeIdOf, SessionId } from "../../src/domain/Ids.js"
import { textOf } from "../../src/domain/Message.js"
import type { RuntimeCommit, RuntimeImage } from "../../src/domain/RuntimeCommit.js"
import type { CommitError } from "../../src/domain/StoreErrors.js"
import { StoreIo, StoreOutcomeUnknown } from "../../src/domain/StoreErrors.js"
import * as Sim from "../../src/testkit/Sim.js"
import { quickFolder } from "./folders.js"
import { preempts, runsComplete, worldsOr } from "./worlds.js"

/** The id of the session that a row tests. */
export const sid = SessionId.make("row")
export const runtimeId = runtimeIdOf(sid)

type Store = RuntimeStore["Type"]

const eventLoop = Effect.async<void>((resume) => {
  setImmediate(() => resume(Effect.void))
})

/** Selects the first effect under the test clock, which stands still, and the second one in a seeded world. */
const timed = <A>(test: Effect.Effect<A>, simulated: Effect.Effect<A>): Effect.Effect<A> =>
  Effect.clockWith((clock) => "adjust" in clock ? test : simulated)

/** One turn of the event loop. */
const turn = timed(eventLoop, Effect.sleep(1))

/** Runs the event loop until the condition holds; dies if it does not. */
export const until = <E = never, R = never>(
  what: string,
  condition: Effect.Effect<boolean, E, R>
): Effect.Effect<void, E, R> =>
  Effect.gen(function*() {
    for (let tries = 0; tries < 3_000; tries++) {
      if (yield* condition) return
      yield* turn
    }
    return yield* Effect.dieMessage(`the condition did not become true: ${what}`)
  })

/** Runs everything that can run. The test clock does not advance; a seeded world advances by a millisecond. */
export const settled = timed(Effect.asVoid(Effect.repeatN(eventLoop, 60)), Effect.sleep(1))

/** Advances the clock and runs everything that can run then. */
export const advance = (duration: Duration.DurationInput): Effect.Effect<void> =>
  Effect.zipRight(timed(TestClock.adjust(duration), Effect.sleep(duration)), settled)

/** Waits an hour: an event that has not happened by then counts as "never". */
export const anHour = Effect.zipRight(settled, advance("1 hour"))

/** Waits for the effect while the clock advances; dies after 100 seconds of that clock. */
export const inTime = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(effect)
    for (let tries = 0; tries < 200; tries++) {
      yield* settled
      const exit = yield* Fiber.poll(fiber)
      if (Option.isSome(exit)) return yield* exit.value
      yield* advance("500 millis")
    }
    return yield* Effect.dieMessage("it did not end in 100 seconds")
  })

// ---------------------------------------------------------------------------------------------------------------------
// the store
// ---------------------------------------------------------------------------------------------------------------------

/** The treatment of a commit. A crash ends the process before or after the commit is durable. */
export type Verdict =
  | { readonly _tag: "Pass" }
  | { readonly _tag: "Fail"; readonly error: CommitError }
  | { readonly _tag: "Park"; readonly latch: Effect.Latch }
  /** The store answers that it does not know whether the commit happened. */
  | { readonly _tag: "Lose"; readonly happened: boolean }
  | { readonly _tag: "CrashBefore" }
  | { readonly _tag: "CrashAfter" }

export const pass: Verdict = { _tag: "Pass" }
export const ioError = new StoreIo({ operation: "commit", code: "EIO", detail: "the medium failed" })
export const fail: Verdict = { _tag: "Fail", error: ioError }

/** Lets a row observe the calls of the store and change their results. */
export interface Tap {
  /** The number of calls of the store. */
  calls: number
  openings: number
  /** The commits that the machine submitted. */
  readonly commits: Array<RuntimeCommit>
  /** Returns the treatment of the n-th commit, from 1. */
  onCommit: (commit: RuntimeCommit, n: number) => Verdict
  /** Changes the image that an opening reads. */
  onImage: (image: RuntimeImage) => RuntimeImage
  onOpen: Effect.Effect<void, CommitError>
  onFindKey: Effect.Effect<void>
  crashed: Deferred.Deferred<void>
}

const newTap = (): Tap => ({
  calls: 0,
  openings: 0,
  commits: [],
  onCommit: () => pass,
  onImage: (image) => image,
  onOpen: Effect.void,
  onFindKey: Effect.void,
  crashed: Deferred.unsafeMake(FiberId.none)
})

/** The store of one process: it answers no call after the crash of that process. */
const tapped = (store: Store, tap: Tap, process: { dead: boolean }): Store => {
  const counted = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.suspend(() => {
      tap.calls++
      return process.dead ? Effect.never : effect
    })
  const crash = Effect.suspend(() => {
    process.dead = true
    return Effect.zipRight(Deferred.succeed(tap.crashed, undefined), Effect.never)
  })
  const commit = (
    value: RuntimeCommit
  ): Effect.Effect<Effect.Effect.Success<ReturnType<Store["commit"]>>, CommitError> => {
    tap.commits.push(value)
    const verdict = tap.onCommit(value, tap.commits.length)
    switch (verdict._tag) {
      case "Pass":
        return store.commit(value)
      case "Fail":
        return Effect.fail(verdict.error)
      case "Park":
        return Effect.zipRight(verdict.latch.await, store.commit(value))
      case "Lose": {
        const unknown = new StoreOutcomeUnknown({ requestId: value.requestId, detail: "the answer was lost" })
        return verdict.happened ? Effect.zipRight(store.commit(value), Effect.fail(unknown)) : Effect.fail(unknown)
      }
      case "CrashBefore":
        return crash
      case "CrashAfter":
        return Effect.zipRight(store.commit(value), crash)
    }
  }
  return {
    ...store,
    openRuntime: (runtimeId, plan) =>
      counted(Effect.zipRight(
        Effect.suspend(() => {
          tap.openings++
          return tap.onOpen
        }),
        store.openRuntime(runtimeId, (image) => plan(tap.onImage(image)))
      )),
    commit: (value) => counted(Effect.suspend(() => commit(value))),
    witness: (id) => counted(store.witness(id)),
    terminalInput: (id, input) => counted(store.terminalInput(id, input)),
    findKey: (id, key) => counted(Effect.zipRight(Effect.suspend(() => tap.onFindKey), store.findKey(id, key))),
    receipt: (id, run, sequence) => counted(store.receipt(id, run, sequence)),
    operation: (id, operation) => counted(store.operation(id, operation)),
    feed: (id, after) => counted(store.feed(id, after)),
    opaqueBody: (id) => counted(store.opaqueBody(id)),
    session: (id) => counted(store.session(id))
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// the world of a row
// ---------------------------------------------------------------------------------------------------------------------

export interface World {
  readonly kind: "memory" | "sqlite"
  readonly machine: MeerkatMachineService
  /** The store itself, without the tap. */
  readonly store: Store
  readonly tap: Tap
  /** Ends the process at once, without finalizers, and starts another one on the same store. */
  readonly crash: Effect.Effect<void>
  /** Closes the layer in order, and builds it again on the same store. */
  readonly restart: Effect.Effect<void>
  readonly snapshot: Effect.Effect<SpineSnapshot>
}

const buildWorld = (kind: World["kind"], store: Store, config: Partial<MeerkatMachineOptions>) =>
  Effect.gen(function*() {
    const tap = newTap()
    const boot = Effect.gen(function*() {
      const scope = yield* Scope.make()
      const process = { dead: false }
      const context = yield* MeerkatMachineLive.layer.pipe(
        Layer.provide(Layer.succeed(RuntimeStore, tapped(store, tap, process))),
        Layer.provide(MeerkatMachineConfig.layer(config)),
        Layer.buildWithScope(scope)
      )
      return { scope, process, machine: Context.get(context, MeerkatMachine) }
    })
    let live = yield* boot
    const close = Effect.suspend(() => Scope.close(live.scope, Exit.void))
    const begin = Effect.map(boot, (next) => {
      live = next
    })
    const world: World = {
      kind,
      store,
      tap,
      get machine() {
        return live.machine
      },
      crash: Effect.suspend(() => {
        live.process.dead = true
        return begin
      }),
      restart: Effect.zipRight(close, begin),
      snapshot: Effect.suspend(() => Effect.map(live.machine.meerkatMachineSpineSnapshot(sid), Option.getOrThrow))
    }
    const end = Effect.gen(function*() {
      const snapshot = yield* live.machine.meerkatMachineSpineSnapshot(sid)
      if (Option.isSome(snapshot)) assert.deepStrictEqual(snapshot.value.violations, [])
      tap.onCommit = () => pass
      yield* inTime(close)
      // SNP-11: no fiber of a machine outlives its layer
      assert.strictEqual(yield* live.machine.fiberCount, 0)
    })
    return { world, end }
  })

const memory = Effect.map(Layer.build(RuntimeStoreMemory.layer), Context.get(RuntimeStore))

const sqlite = Effect.gen(function*() {
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => fs.mkdtempSync(path.join(quickFolder, "meerkat-row-"))),
    (name) => Effect.sync(() => fs.rmSync(name, { recursive: true, force: true }))
  )
  const context = yield* Layer.build(RuntimeStoreSqlite.layer({ filename: path.join(folder, "store.db") }))
  return Context.get(context, RuntimeStore)
})

type Body = (world: World) => Effect.Effect<void, unknown, Scope.Scope>

export interface RowOptions {
  readonly config?: Partial<MeerkatMachineOptions>
  /** The maximum of seeds per rate of preemption. 0 if a row counts milliseconds, or no schedule changes its result. */
  readonly seeds?: number
}

const quiet = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.provide(effect, Logger.remove(Logger.defaultLogger))

const play = <E>(
  kind: World["kind"],
  open: Effect.Effect<Store, E, Scope.Scope>,
  body: Body,
  { config = {} }: RowOptions
) =>
  quiet(Effect.scoped(Effect.gen(function*() {
    const store = yield* open
    const { end, world } = yield* buildWorld(kind, store, config)
    yield* Effect.scoped(body(world))
    yield* end
  })))

const simulated = Effect.map(
  Layer.build(Layer.provide(RuntimeStoreMemory.layerNoDeps(), HandoverLive.layerYield)),
  Context.get(RuntimeStore)
)

/** Worlds per row and rate of preemption; `ROW_SEEDS=20` tests more. */
const worlds = worldsOr(2)

const inSeeds = (name: string, body: Body, options: RowOptions): void => {
  const seeds = Math.min(options.seeds ?? worlds, worlds)
  if (seeds === 0) return
  it(`${name} [seeds]`, () => {
    for (const preempt of preempts) {
      const failed = Sim.sweep(() => play("memory", simulated, body, options), { seeds, preempt, maxSteps: 1_000_000 })
      if (failed === null) continue
      const why = failed.exit !== null && Exit.isFailure(failed.exit) ? Cause.pretty(failed.exit.cause) : failed.end
      return assert.fail(`seed ${failed.seed}, preempt ${preempt}, step ${failed.steps}: ${why}`)
    }
  }, 120_000)
}

/** Tests a row of the catalogue on the memory store, on a file, and on the memory store in seeded worlds. */
export const row = (name: string, body: Body, options: RowOptions = {}): void => {
  if (runsComplete) {
    it.effect(`${name} [memory]`, () => play("memory", memory, body, options))
    it.effect(`${name} [sqlite]`, () => play("sqlite", sqlite, body, options))
  }
  inSeeds(name, body, options)
}

/** Tests a row about schedules: on the memory store only. */
export const memoryRow = (name: string, body: Body, options: RowOptions = {}): void => {
  if (runsComplete) it.effect(`${name} [memory]`, () => play("memory", memory, body, options))
  inSeeds(name, body, options)
}

// ---------------------------------------------------------------------------------------------------------------------
// the executor
// ---------------------------------------------------------------------------------------------------------------------

export interface Scripted {
  readonly executor: CoreExecutor
  /** The turns that began. */
  readonly turns: Array<Turn>
  /** The input ids of the turns that began. */
  readonly batches: () => ReadonlyArray<ReadonlyArray<InputId>>
  readonly calls: {
    readonly cancelAfterBoundary: Array<string>
    readonly hardCancel: Array<string>
    readonly stop: Array<string>
    cleanup: number
  }
  /** Waits until the n-th turn, from 1, begins, and returns it. */
  readonly started: (n: number) => Effect.Effect<Turn>
  /** Releases the n-th turn if it is parked. */
  readonly open: (n: number) => Effect.Effect<void>
  readonly openAll: Effect.Effect<void>
}

export interface Script {
  /** Makes every turn wait until the row releases it. */
  readonly park?: boolean
  /** The work of the n-th turn, from 1. By default the turn answers with the text of its inputs. */
  readonly apply?: (turn: Turn, n: number) => Effect.Effect<TurnOutput, ExecutorError>
  /** The work of `hardCancel`. Without it the executor has no `hardCancel`. */
  readonly hardCancel?: Effect.Effect<void>
}

export const echo = (value: Turn): TurnOutput =>
  Turns.reply(value.appends.map((message) => textOf(message.blocks)).join("|"))

export const scripted = (script: Script = {}): Scripted => {
  const turns: Array<Turn> = []
  const gates = new Map<number, Effect.Latch>()
  let all = script.park !== true
  const gate = (n: number): Effect.Latch => {
    const known = gates.get(n)
    if (known !== undefined) return known
    const latch = Effect.unsafeMakeLatch(all)
    gates.set(n, latch)
    return latch
  }
  const calls: Scripted["calls"] = { cancelAfterBoundary: [], hardCancel: [], stop: [], cleanup: 0 }
  const { hardCancel } = script
  return {
    turns,
    calls,
    batches: () => turns.map(({ inputs }) => inputs.map(({ header }) => header.id)),
    started: (n) =>
      Effect.flatMap(
        until(`turn ${n}`, Effect.sync(() => turns.length >= n)),
        () => Effect.fromNullable(turns[n - 1]).pipe(Effect.orDie)
      ),
    open: (n) => Effect.asVoid(gate(n).open),
    openAll: Effect.suspend(() => {
      all = true
      return Effect.forEach(Array.from(gates.values()), (latch) => latch.open, { discard: true })
    }),
    executor: {
      apply: (value) =>
        Effect.suspend(() => {
          const n = turns.push(value)
          const run = script.apply ?? ((begun: Turn) => Effect.succeed(echo(begun)))
          return Effect.zipRight(gate(n).await, run(value, n))
        }),
      cancelAfterBoundary: ({ reason }) =>
        Effect.sync(() => {
          calls.cancelAfterBoundary.push(reason)
        }),
      ...(hardCancel === undefined ? {} : {
        hardCancel: ({ reason }) =>
          Effect.suspend(() => {
            calls.hardCancel.push(reason)
            return hardCancel
          })
      }),
      stop: (reason) =>
        Effect.sync(() => {
          calls.stop.push(reason)
        }),
      cleanupAfterStop: Effect.sync(() => {
        calls.cleanup++
      })
    }
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// questions
// ---------------------------------------------------------------------------------------------------------------------

export const attach = (world: World, { executor }: Scripted) => world.machine.ensureSessionWithExecutor(sid, executor)

/** Returns the phase of an input, or null if the session does not know the input. */
export const phaseOf = (world: World, id: InputId) =>
  Effect.map(world.machine.inputState(sid, id), Option.match({ onNone: () => null, onSome: ({ phase }) => phase }))

export const untilPhase = (world: World, id: InputId, phase: string) =>
  until(`${id} is ${phase}`, Effect.map(phaseOf(world, id), (found) => found === phase))

export const untilState = (world: World, state: string) =>
  until(`the session is ${state}`, Effect.map(world.machine.runtimeState(sid), (found) => found === state))

/** Accepts an input and returns its completion; dies if the session returns no completion. */
export const accepted = (world: World, input: Parameters<MeerkatMachineService["acceptInput"]>[1]) =>
  Effect.map(world.machine.acceptInputWithCompletion(sid, input), ({ completion }) => Option.getOrThrow(completion))

/** Returns the inputs of the stored receipts, in the order of their commits. */
export const committed = (world: World) =>
  Effect.map(
    Stream.runCollect(world.store.receipts(runtimeId)),
    (receipts) => Array.from(receipts).flatMap(({ receipt }) => receipt.contributingInputIds)
  )
