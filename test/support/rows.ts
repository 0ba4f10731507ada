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

/** The session of a row. */
export const sid = SessionId.make("row")
export const runtimeId = runtimeIdOf(sid)

type Store = RuntimeStore["Type"]

const eventLoop = Effect.async<void>((resume) => {
  setImmediate(() => resume(Effect.void))
})

/** Under the test's clock nothing that waits for time goes on by itself; in a world of one seed time is cheap. */
const timed = <A>(test: Effect.Effect<A>, simulated: Effect.Effect<A>): Effect.Effect<A> =>
  Effect.clockWith((clock) => "adjust" in clock ? test : simulated)

/** One turn of the event loop. */
const turn = timed(eventLoop, Effect.sleep(1))

/** Lets everything that can go on go on until the condition holds. */
export const until = <E = never, R = never>(
  what: string,
  condition: Effect.Effect<boolean, E, R>
): Effect.Effect<void, E, R> =>
  Effect.gen(function*() {
    for (let tries = 0; tries < 3_000; tries++) {
      if (yield* condition) return
      yield* turn
    }
    return yield* Effect.dieMessage(`never came about: ${what}`)
  })

/** Lets everything that can go on go on; no time passes, or a millisecond of a seeded world. */
export const settled = timed(Effect.asVoid(Effect.repeatN(eventLoop, 60)), Effect.sleep(1))

/** Lets time pass. */
export const advance = (duration: Duration.DurationInput): Effect.Effect<void> =>
  Effect.zipRight(timed(TestClock.adjust(duration), Effect.sleep(duration)), settled)

/** "Never" means: not after an hour. */
export const anHour = Effect.zipRight(settled, advance("1 hour"))

/** Waits for something that needs time to pass. */
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

/** What is to become of a commit. Crashing means: the process ends there, before or after the commit is durable. */
export type Verdict =
  | { readonly _tag: "Pass" }
  | { readonly _tag: "Fail"; readonly error: CommitError }
  | { readonly _tag: "Park"; readonly latch: Effect.Latch }
  /** nobody knows whether it happened */
  | { readonly _tag: "Lose"; readonly happened: boolean }
  | { readonly _tag: "CrashBefore" }
  | { readonly _tag: "CrashAfter" }

export const pass: Verdict = { _tag: "Pass" }
export const ioError = new StoreIo({ operation: "commit", code: "EIO", detail: "the medium failed" })
export const fail: Verdict = { _tag: "Fail", error: ioError }

/** What a row sees of the store, and what it does to it. */
export interface Tap {
  /** every call of any verb but the openings' plans */
  calls: number
  openings: number
  /** commits that were handed in */
  readonly commits: Array<RuntimeCommit>
  /** decides about the n-th commit, from 1 */
  onCommit: (commit: RuntimeCommit, n: number) => Verdict
  /** changes what an opening reads */
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

/** The store as one process sees it: after its crash nothing is answered any more. */
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
  /** the store itself, past the tap */
  readonly store: Store
  readonly tap: Tap
  /** the process ends where it stands, without finalisers, and another one begins on the same store */
  readonly crash: Effect.Effect<void>
  /** the layer is closed in order, and built again on the same store */
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
      // SNP-11: nothing of a machine is left behind its layer
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
  /** seeds per mode of preemption at most; 0 for a row that counts milliseconds, or that no schedule can change */
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

/** Worlds per row and mode of preemption; `ROW_SEEDS=20` for more. */
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

/** A row of the catalogue: over memory, over a file, and over memory in seeded worlds. */
export const row = (name: string, body: Body, options: RowOptions = {}): void => {
  if (runsComplete) {
    it.effect(`${name} [memory]`, () => play("memory", memory, body, options))
    it.effect(`${name} [sqlite]`, () => play("sqlite", sqlite, body, options))
  }
  inSeeds(name, body, options)
}

/** A row that is about schedules and not about the store: no file. */
export const memoryRow = (name: string, body: Body, options: RowOptions = {}): void => {
  if (runsComplete) it.effect(`${name} [memory]`, () => play("memory", memory, body, options))
  inSeeds(name, body, options)
}

// ---------------------------------------------------------------------------------------------------------------------
// the executor
// ---------------------------------------------------------------------------------------------------------------------

export interface Scripted {
  readonly executor: CoreExecutor
  /** the turns that were begun */
  readonly turns: Array<Turn>
  /** input ids of the turns that were begun */
  readonly batches: () => ReadonlyArray<ReadonlyArray<InputId>>
  readonly calls: {
    readonly cancelAfterBoundary: Array<string>
    readonly hardCancel: Array<string>
    readonly stop: Array<string>
    cleanup: number
  }
  /** the n-th turn, from 1, once it has begun */
  readonly started: (n: number) => Effect.Effect<Turn>
  /** lets the n-th turn go on, if it is parked */
  readonly open: (n: number) => Effect.Effect<void>
  readonly openAll: Effect.Effect<void>
}

export interface Script {
  /** turns wait until they are let go on */
  readonly park?: boolean
  /** what the n-th turn does, from 1; answers with what it was told unless told otherwise */
  readonly apply?: (turn: Turn, n: number) => Effect.Effect<TurnOutput, ExecutorError>
  /** what the interrupt handle does; without it there is none */
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

/** Where an input stands, or null when nobody knows it. */
export const phaseOf = (world: World, id: InputId) =>
  Effect.map(world.machine.inputState(sid, id), Option.match({ onNone: () => null, onSome: ({ phase }) => phase }))

export const untilPhase = (world: World, id: InputId, phase: string) =>
  until(`${id} is ${phase}`, Effect.map(phaseOf(world, id), (found) => found === phase))

export const untilState = (world: World, state: string) =>
  until(`the session is ${state}`, Effect.map(world.machine.runtimeState(sid), (found) => found === state))

/** Accepts and gives the completion, which there has to be. */
export const accepted = (world: World, input: Parameters<MeerkatMachineService["acceptInput"]>[1]) =>
  Effect.map(world.machine.acceptInputWithCompletion(sid, input), ({ completion }) => Option.getOrThrow(completion))

/** Inputs of stored receipts, in the order of their commits. */
export const committed = (world: World) =>
  Effect.map(
    Stream.runCollect(world.store.receipts(runtimeId)),
    (receipts) => Array.from(receipts).flatMap(({ receipt }) => receipt.contributingInputIds)
  )
