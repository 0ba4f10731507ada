/**
 * Runs a row of the conformance catalogue on the memory store, on SQLite, and on the memory store in seeded worlds. After
 * each step it checks the invariants of group SNP on every live session. At the end it also checks the invariants of
 * idle sessions, and that no fiber outlives its layer.
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as FileSystem from "@effect/platform/FileSystem"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as HandoverLive from "../../layers/HandoverLive.js"
import * as IdGenLive from "../../layers/IdGenLive.js"
import { abandonedFibers } from "../../layers/internal/metrics.js"
import * as MachineAuthorityLive from "../../layers/MachineAuthorityLive.js"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import * as RuntimeControlPlaneLive from "../../layers/RuntimeControlPlaneLive.js"
import * as RuntimeLoopLive from "../../layers/RuntimeLoopLive.js"
import * as RuntimeStoreMemory from "../../layers/RuntimeStoreMemory.js"
import * as RuntimeStoreSqlite from "../../layers/RuntimeStoreSqlite.js"
import { Handover } from "../../services/Handover.js"
import type { MeerkatMachineService, SpineSnapshot } from "../../services/MeerkatMachine.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import type { MeerkatMachineOptions } from "../../services/MeerkatMachineConfig.js"
import * as MeerkatMachineConfig from "../../services/MeerkatMachineConfig.js"
import { RuntimeControlPlane } from "../../services/RuntimeControlPlane.js"
import type { LoopEnd } from "../../services/RuntimeLoop.js"
import { RuntimeLoop } from "../../services/RuntimeLoop.js"
import { RuntimeStore } from "../../services/RuntimeStore.js"
import type { SessionId } from "../../src/domain/Ids.js"
import * as Ids from "../../src/domain/Ids.js"
import type { InputState } from "../../src/domain/InputRecord.js"
import type { RuntimeState } from "../../src/domain/RuntimeState.js"
import { FaultyStore, LatchedExecutor, Sim } from "../../src/testkit/index.js"
import { quickFolder } from "../support/folders.js"
import { isFull, preempts, runsComplete, worldsOr } from "../support/worlds.js"

type Store = RuntimeStore["Type"]

/** A process of a row: a machine on the lab's store. */
export interface Process {
  readonly machine: MeerkatMachineService
  readonly control: RuntimeControlPlane["Type"]
  /** The fibers of all loops so far. */
  readonly loops: () => ReadonlyArray<Fiber.RuntimeFiber<unknown, unknown>>
  /** Closes the machine's layer. */
  readonly close: Effect.Effect<void>
}

/** The tools of a row. */
export interface Lab extends Process {
  readonly backend: "memory" | "sqlite" | "simulated"
  /** The name of the store in snapshots. */
  readonly driver: SpineSnapshot["driver"]
  readonly faults: FaultyStore.FaultyStore
  /** The store without the faults; its reads are not counted. */
  readonly store: Store
  /** Starts another process on the same store. */
  readonly boot: Effect.Effect<Process>
  /** Makes an executor whose latch opens at the end of the row. */
  readonly executor: (options?: LatchedExecutor.LatchedOptions) => Effect.Effect<LatchedExecutor.LatchedExecutor>
  /** Makes a latch that opens at the end of the row. */
  readonly latch: Effect.Effect<Effect.Latch>
  /** Runs everything that can run. */
  readonly settle: Effect.Effect<void>
  /** Advances the clock. */
  readonly advance: (duration: "1 second" | "31 seconds" | "1 hour") => Effect.Effect<void>
}

/** The three steps of a row. */
export interface Steps<G, W> {
  readonly given: (lab: Lab) => Effect.Effect<G, unknown, Scope.Scope>
  readonly when: (lab: Lab, given: G) => Effect.Effect<W, unknown, Scope.Scope>
  readonly then: (lab: Lab, outcome: W, given: G) => Effect.Effect<unknown, unknown, Scope.Scope>
}

export interface RowOptions {
  readonly config?: Partial<MeerkatMachineOptions>
  /** The seeds per rate of preemption, at most five times `ROW_SEEDS`. Default: that maximum. */
  readonly seeds?: number
  /** The number of fibers that the row abandons because they do not end in time. Default: 0. */
  readonly abandons?: number
}

/** Worlds per row and rate of preemption; `ROW_SEEDS=20` tests more. */
const worlds = worldsOr(4)

/** Tests a row of the catalogue; the title begins with its id. */
export const row = <G, W>(title: string, steps: Steps<G, W>, options: RowOptions = {}): void => {
  describe(title, () => {
    if (runsComplete) {
      it.effect("memory", () => quiet(play(steps, options, Effect.succeed(memory))))
      it.effect("sqlite", () => quiet(play(steps, options, sqlite)).pipe(Effect.provide(NodeFileSystem.layer)))
    }
    // a row of one world does not depend on the schedule: the row in memory already covers it
    if (options.seeds === 1 && !isFull) return
    it("seeds", () => {
      for (const preempt of preempts) {
        const failed = Sim.sweep(() => quiet(play(steps, options, Effect.succeed(simulated))), {
          seeds: Math.min(options.seeds ?? worlds, worlds * 5),
          preempt,
          maxSteps: 200_000
        })
        if (failed !== null) {
          const why = failed.exit !== null && Exit.isFailure(failed.exit) ? Cause.pretty(failed.exit.cause) : failed.end
          assert.fail(`seed ${failed.seed}, preempt ${preempt}, step ${failed.steps}: ${why}`)
        }
      }
    }, 60_000)
  })
}

/** Runs the steps in one world, for tests that act at a step of that world. */
export const simulate = <G, W>(
  steps: Steps<G, W>,
  sim: Sim.SimOptions,
  options: RowOptions = {}
): Sim.SimResult<void, unknown> => Sim.run(quiet(play(steps, options, Effect.succeed(simulated))), sim)

/** A step without work. */
export const nothing = (): Effect.Effect<void> => Effect.void

export const A = Ids.SessionId.make("A")
export const B = Ids.SessionId.make("B")
export const rid = Ids.runtimeIdOf

/** Returns the result of a call: "success", or the tag of its error with the state that the error names. */
export const failing = <E extends { readonly _tag: string }, R>(
  effect: Effect.Effect<unknown, E, R>
): Effect.Effect<string, never, R> =>
  Effect.map(
    Effect.either(effect),
    (either) =>
      Either.match(either, {
        onLeft: (error) => "state" in error ? `${error._tag}{${String(error.state)}}` : error._tag,
        onRight: () => "success"
      })
  )

export const stateOf = (process: Process, sessionId: SessionId): Effect.Effect<RuntimeState | null> =>
  Effect.map(
    process.machine.meerkatMachineSpineSnapshot(sessionId),
    (snapshot) => Option.isSome(snapshot) ? snapshot.value.state : null
  )

export const snapshotOf = (process: Process, sessionId: SessionId): Effect.Effect<SpineSnapshot> =>
  Effect.flatMap(
    process.machine.meerkatMachineSpineSnapshot(sessionId),
    Option.match({
      onNone: () => Effect.dieMessage(`session "${sessionId}" is not live`),
      onSome: Effect.succeed
    })
  )

/** Returns the stored phases of a session's inputs, in order. */
export const storedInputs = (lab: Lab, sessionId: SessionId): Effect.Effect<ReadonlyArray<InputState>> =>
  Effect.map(Effect.orDie(Stream.runCollect(lab.store.inputs(rid(sessionId)))), Chunk.toReadonlyArray)

export const storedPhases = (lab: Lab, sessionId: SessionId): Effect.Effect<ReadonlyArray<string>> =>
  Effect.map(storedInputs(lab, sessionId), (inputs) => inputs.map(({ phase }) => phase))

/** Returns the stored lifecycle, or null if the store does not know the session. */
export const storedState = (lab: Lab, sessionId: SessionId): Effect.Effect<string | null> =>
  Effect.map(
    Effect.orDie(Stream.runHead(Stream.filter(lab.store.sessions(), (stored) => stored.sessionId === sessionId))),
    Option.match({ onNone: () => null, onSome: ({ lifecycle }) => lifecycle })
  )

/** Interrupts the newest loop of a process. */
export const killLoop = (lab: Lab, process: Process = lab): Effect.Effect<void> =>
  Effect.suspend(() => {
    const loop = process.loops().at(-1)
    return loop === undefined ? Effect.dieMessage("no loop") : Effect.zipRight(Fiber.interrupt(loop), lab.settle)
  })

// --- internal ---

interface Backend {
  readonly name: Lab["backend"]
  readonly store: Layer.Layer<RuntimeStore>
  readonly settle: Effect.Effect<void>
  readonly advance: Lab["advance"]
}

const quiet = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.provide(effect, Logger.remove(Logger.defaultLogger))

/** Waits some turns of the event loop: the test clock stands still, so timers do not fire. */
const turns: Effect.Effect<void> = Handover.pipe(
  Effect.flatMap((turn) => Effect.repeatN(turn, 30)),
  Effect.provide(HandoverLive.layer)
)

const testTime: Pick<Backend, "settle" | "advance"> = {
  settle: turns,
  advance: (duration) => Effect.zipRight(TestClock.adjust(duration), turns)
}

const memory: Backend = { name: "memory", store: RuntimeStoreMemory.layer, ...testTime }

const sqlite = Effect.gen(function*() {
  const files = yield* FileSystem.FileSystem
  const folder = yield* files.makeTempDirectoryScoped({ directory: quickFolder })
  const store = Layer.orDie(RuntimeStoreSqlite.layer({ filename: `${folder}/conformance.db` }))
  return { name: "sqlite", store, ...testTime } satisfies Backend
})

/** In a seeded world the clock advances only when no fiber can run: a short sleep lets every fiber run. */
const simulated: Backend = {
  name: "simulated",
  store: Layer.provide(RuntimeStoreMemory.layerNoDeps(), HandoverLive.layerYield),
  settle: Effect.sleep(1),
  advance: (duration) => Effect.sleep(duration)
}

const play = <G, W, E, R>(
  steps: Steps<G, W>,
  options: RowOptions,
  backend: Effect.Effect<Backend, E, R | Scope.Scope>
) =>
  Effect.scoped(Effect.gen(function*() {
    const chosen = yield* backend
    const abandoned = yield* Metric.value(abandonedFibers)
    const store = Context.get(yield* Layer.build(chosen.store), RuntimeStore)
    const faults = yield* FaultyStore.make
    const processes: Array<Process> = []
    const releases: Array<Effect.Effect<void>> = []
    const boot = bootOn(faults.decorate(store), options.config ?? {}, processes)
    const first = yield* boot
    const lab: Lab = {
      ...first,
      backend: chosen.name,
      driver: store.kind === "memory" ? "Ephemeral" : "Persistent",
      faults,
      store,
      boot,
      executor: (script) =>
        Effect.tap(LatchedExecutor.make(script), (executor) => Effect.sync(() => releases.push(executor.open))),
      latch: Effect.tap(
        Effect.makeLatch(false),
        (latch) => Effect.sync(() => releases.push(Effect.asVoid(latch.open)))
      ),
      settle: chosen.settle,
      advance: chosen.advance
    }
    const sound = Effect.suspend(() =>
      Effect.forEach(processes, (process) => everyStep(lab, process), { discard: true })
    )
    yield* Effect.scoped(Effect.gen(function*() {
      const given = yield* steps.given(lab)
      yield* sound
      const outcome = yield* steps.when(lab, given)
      yield* sound
      yield* steps.then(lab, outcome, given)
      yield* sound
    }))
    yield* faults.heal
    yield* Effect.forEach(releases, (release) => release, { discard: true })
    yield* lab.settle
    yield* lab.advance("1 hour")
    yield* sound
    // the store fenced the processes before the last one
    yield* Effect.forEach(processes.slice(-1), (process) => atRest(lab, process), { discard: true })
    yield* Effect.forEach(processes, (process) => process.close, { discard: true })
    for (const process of processes) assert.strictEqual(yield* process.machine.fiberCount, 0, "SNP-11 after close")
    const { count } = yield* Metric.value(abandonedFibers)
    assert.strictEqual(count - abandoned.count, options.abandons ?? 0, "abandoned fibers")
  }))

const bootOn = (store: Store, config: Partial<MeerkatMachineOptions>, processes: Array<Process>) =>
  Effect.gen(function*() {
    const loops: Array<Fiber.RuntimeFiber<unknown, unknown>> = []
    const scope = yield* Scope.make()
    const watched = Layer.effect(
      RuntimeLoop,
      Effect.map(RuntimeLoop, (inner) =>
        RuntimeLoop.of({
          run: (given) =>
            Effect.withFiberRuntime<LoopEnd>((fiber) => {
              loops.push(fiber)
              return inner.run(given)
            })
        }))
    )
    const context = yield* Layer.buildWithScope(
      RuntimeControlPlaneLive.layer.pipe(
        Layer.provideMerge(MeerkatMachineLive.layerNoDeps),
        Layer.provide(
          Layer.merge(MachineAuthorityLive.layer, Layer.provide(watched, RuntimeLoopLive.layer))
        ),
        Layer.provide(
          Layer.mergeAll(IdGenLive.layer, Layer.succeed(RuntimeStore, store), MeerkatMachineConfig.layer(config))
        )
      ),
      scope
    )
    const process: Process = {
      machine: Context.get(context, MeerkatMachine),
      control: Context.get(context, RuntimeControlPlane),
      loops: () => loops.slice(),
      close: Scope.close(scope, Exit.void)
    }
    processes.push(process)
    return process
  })

const sessions = [A, B]

/** Checks the invariants of every published state on one snapshot. */
const everyStep = (lab: Lab, { machine }: Process): Effect.Effect<void> =>
  Effect.gen(function*() {
    for (const sessionId of sessions) {
      const before = lab.faults.writes()
      const read = yield* machine.meerkatMachineSpineSnapshot(sessionId)
      if (Option.isSome(read)) check(read.value)
      else assert.isFalse((yield* machine.containsSession(sessionId)) && lab.backend !== "simulated", "SNP-09 unknown")
      if (lab.backend !== "simulated") assert.strictEqual(lab.faults.writes(), before, "SNP-09 reading writes nothing")
    }
  })

const check = (snapshot: SpineSnapshot): void => {
  const { contributors, currentRunId, currentRunOwner, health, queue, staged, state, steer, waiters } = snapshot
  const ids = [...queue, ...steer, ...staged].map(({ inputId }) => inputId)
  assert.deepStrictEqual(snapshot.violations, [])
  assert.isTrue(state !== "running" || currentRunId !== null, "SNP-01 running has a run")
  // a session that must be registered again reads as idle; its run is the one that it published last
  const runs = state === "running" || state === "retired" || (state === "idle" && health === "reloadRequired")
  assert.isTrue(currentRunId === null || runs, "SNP-01 a run runs")
  assert.isTrue(staged.every(({ lastRunId }) => lastRunId === currentRunId), "SNP-02")
  // a service turn has no contributors
  assert.strictEqual(contributors.length > 0, currentRunId !== null && currentRunOwner !== "service", "SNP-03")
  assert.deepStrictEqual(staged.map(({ inputId }) => inputId).sort(), contributors.slice().sort(), "SNP-03 staged")
  assert.strictEqual(new Set(ids).size, ids.length, "SNP-04 disjoint")
  assert.isTrue(queue.every(({ lane, phase }) => lane === "queue" && phase === "queued"), "SNP-04 queue")
  assert.isTrue(steer.every(({ lane, phase }) => lane === "steer" && phase === "queued"), "SNP-04 steer")
  assert.isTrue(staged.every(({ phase }) => phase === "staged"), "SNP-05")
  if (state === "stopped" || state === "destroyed") assert.deepStrictEqual([ids, waiters], [[], []], "SNP-06")
  assert.isTrue(waiters.every(({ inputId }) => ids.includes(inputId)), "SNP-08")
}

/** Checks the invariants of an idle session. */
const atRest = (lab: Lab, process: Process): Effect.Effect<void> =>
  Effect.gen(function*() {
    const live = process.loops().filter((loop) => loop.unsafePoll() === null).length
    let attached = 0
    let drains = 0
    for (const sessionId of sessions) {
      const read = yield* process.machine.meerkatMachineSpineSnapshot(sessionId)
      if (Option.isNone(read)) continue
      const snapshot = read.value
      const listed = yield* Effect.orDie(process.machine.listActiveInputs(sessionId))
      const { queue, staged, steer } = snapshot
      assert.strictEqual(listed.length, queue.length + steer.length + staged.length, "SNP-07")
      assert.deepStrictEqual(yield* snapshotOf(process, sessionId), snapshot, "SNP-09")
      assert.strictEqual(snapshot.registration === "Active", snapshot.attachmentLive, "SNP-10 registration")
      if (snapshot.attachmentLive) attached++
      if (snapshot.drain.taskLive) drains++
      const persisted = snapshot.state === "attached" || snapshot.state === "running" ? "idle" : snapshot.state
      assert.strictEqual(yield* storedState(lab, sessionId), persisted, "SNP-12")
      const open = (yield* storedInputs(lab, sessionId)).filter(({ terminal }) => terminal === undefined)
      assert.deepStrictEqual(open.map(({ inputId }) => inputId), listed, "SNP-05, SNP-12 open inputs")
    }
    assert.strictEqual(live, attached, "SNP-10 loops")
    assert.strictEqual(yield* process.machine.fiberCount, attached + drains, "SNP-11")
  })
