/** @since 0.1.0 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import type { TurnOutput } from "../services/CoreExecutor.js"
import { IdGen } from "../services/IdGen.js"
import type { SubmitError } from "../services/MachineAuthority.js"
import type { MeerkatMachineOptions } from "../services/MeerkatMachineConfig.js"
import { MeerkatMachineConfig } from "../services/MeerkatMachineConfig.js"
import type { LoopEnd, LoopOptions, RunControl } from "../services/RuntimeLoop.js"
import { RuntimeLoop } from "../services/RuntimeLoop.js"
import { RuntimeStore } from "../services/RuntimeStore.js"
import type { RunOutput, StagedRun } from "../src/domain/Command.js"
import type { RunId } from "../src/domain/Ids.js"
import type { SessionState } from "../src/domain/SessionState.js"
import type { CommitTooLarge, CommitUnencodable } from "../src/domain/StoreErrors.js"
import { isUnwritable } from "../src/domain/StoreErrors.js"
import { endDrained } from "../src/kernel/commands/attach.js"
import { cancelRun, commitRun, requeueRun, stage } from "../src/kernel/commands/run.js"
import { isDrained } from "../src/kernel/facts.js"
import { nextReadyAt } from "../src/kernel/selection.js"
import * as Blobs from "./internal/blobs.js"
import { storeFailure } from "./internal/failing.js"
import * as FreshIds from "./internal/freshIds.js"
import * as Granted from "./internal/granted.js"
import * as Metrics from "./internal/metrics.js"
import { firstOf } from "./internal/race.js"
import type { Failure } from "./internal/runFailure.js"
import { ofCause, ofRefusal } from "./internal/runFailure.js"
import type { RunEnd, RunFiber } from "./internal/runFiber.js"
import { start } from "./internal/runFiber.js"
import { toRunOutput } from "./internal/runOutput.js"
import type { Insistence, OnReload } from "./internal/runSettlement.js"
import { finalizationFailure, insist, insistOrReload, notBefore, orReload } from "./internal/runSettlement.js"
import type { Refusal } from "./internal/stored.js"

interface LoopDeps {
  readonly store: RuntimeStore["Type"]
  readonly ids: FreshIds.FreshIds
  readonly config: MeerkatMachineOptions
  readonly blobs: Blobs.Blobs
}

/** Whether this attachment still owns the session's loop. */
const owns = (state: SessionState, token: number): boolean =>
  state.registration._tag === "Active" && state.registration.token === token

const mayRun = ({ lifecycle }: SessionState): boolean =>
  lifecycle._tag === "Idle" || lifecycle._tag === "Attached" || lifecycle._tag === "Retired"

/** Submits what a run came to. The pauses between tries end early when the session is being taken down (D21). */
const insistence = ({ config }: LoopDeps, options: LoopOptions, onReload: OnReload = () => []): Insistence => ({
  authority: options.authority,
  config,
  released: released(options),
  onReload
})

/** Completes when the session no longer is this attachment's. */
const released = (options: Pick<LoopOptions, "authority" | "token">): Effect.Effect<void> =>
  Effect.suspend(() => {
    const state = options.authority.unsafeState()
    return owns(state, options.token)
      ? Effect.zipRight(options.authority.changedFrom(state), released(options))
      : Effect.void
  })

const agentApplied = (staged: StagedRun): number => staged.completions[staged.completions.length - 1]?.seq ?? 0

const refusalOf = (error: CommitTooLarge | CommitUnencodable): Refusal =>
  error._tag === "CommitTooLarge"
    ? { _tag: "TooLarge", bytes: error.bytes, limit: error.limit }
    : { _tag: "Unstorable", detail: error.detail }

/** The result is committed; what no commit can hold is a failed run. */
const commit = (
  deps: LoopDeps,
  options: LoopOptions,
  staged: StagedRun,
  run: RunFiber,
  given: TurnOutput
): Effect.Effect<void, SubmitError> => {
  const { runId } = staged
  const { appends, head } = run.turn
  const refused = (refusal: Refusal) => fail(deps, options, staged, ofRefusal(refusal, staged.records.length))
  const committed = (output: RunOutput) => {
    const how = insistence(deps, options, finalizationFailure(staged, output.outcome))
    return Effect.catchAll(
      insist(how, commitRun({ runId, output })),
      (error) =>
        error._tag === "CommitFailed" && isUnwritable(error.error)
          ? refused(refusalOf(error.error))
          : orReload(how)(error)
    )
  }
  const context = { base: head, appends, agentApplied: agentApplied(staged), limit: deps.config.maxCommitBytes }
  return Effect.matchEffect(toRunOutput(deps.blobs, given, context), { onFailure: refused, onSuccess: committed })
}

/** What a run failed of, with the time at which its inputs may run again (D10). */
const fail = (
  deps: LoopDeps,
  options: LoopOptions,
  staged: StagedRun,
  failure: Failure
): Effect.Effect<void, SubmitError> => {
  const charged = staged.records.reduce((most, record) => Math.max(most, record.charged), 0)
  const how = insistence(deps, options, finalizationFailure(staged, null))
  return Effect.flatMap(
    notBefore(deps.config, charged),
    (later) => storeFailure(how, staged.runId, { ...failure, notBefore: later })
  )
}

const settleRun = (
  deps: LoopDeps,
  options: LoopOptions,
  staged: StagedRun,
  run: RunFiber,
  end: RunEnd
): Effect.Effect<void, SubmitError> => {
  const { runId } = staged
  const how = insistence(deps, options, finalizationFailure(staged, null))
  switch (end._tag) {
    case "Output":
      return commit(deps, options, staged, run, end.output)
    case "Failed":
      return fail(deps, options, staged, end.failure)
    case "Interrupted":
      switch (end.reason) {
        case "cancelled":
          return insistOrReload(how, cancelRun({ runId, reason: "cancelled" }))
        case "requeue":
          return insistOrReload(how, requeueRun({ runId }))
        case "destroyed":
          return Effect.void
      }
  }
}

/** The handle that the attachment's owner has on the run in progress. */
const makeControl = () => {
  let run: RunFiber | null = null
  let idle: Deferred.Deferred<void> | null = null
  const control: RunControl = {
    current: (): RunId | null => run?.runId ?? null,
    interrupt: (reason) => Effect.suspend(() => run === null ? Effect.void : run.interrupt(reason)),
    idle: Effect.suspend(() => {
      if (run === null) return Effect.void
      idle ??= Deferred.unsafeMake<void>(FiberId.none)
      return Deferred.await(idle)
    })
  }
  return {
    control,
    begin: (started: RunFiber) => {
      run = started
    },
    end: () => {
      run = null
      if (idle !== null) Deferred.unsafeDone(idle, Exit.void)
      idle = null
    }
  }
}

type Control = ReturnType<typeof makeControl>

/** What was asked between the staging and the start of the run found no fiber to end: it holds all the same. */
const catchUp = (options: LoopOptions, run: RunFiber): Effect.Effect<void> =>
  Effect.suspend(() => {
    const state = options.authority.unsafeState()
    const { lifecycle } = state
    if (lifecycle._tag === "Destroyed") return run.interrupt("destroyed")
    if (!owns(state, options.token)) return run.interrupt("requeue")
    const cancelled = lifecycle._tag === "Running" && lifecycle.runId === run.runId && lifecycle.cancel !== null
    return cancelled ? run.interrupt("cancelled") : Effect.void
  })

const runBatch = (
  deps: LoopDeps,
  options: LoopOptions,
  control: Control,
  staged: StagedRun,
  restore: <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E>
): Effect.Effect<void, SubmitError> =>
  Effect.gen(function*() {
    const mayStart = () => owns(options.authority.unsafeState(), options.token)
    const run = yield* start({ ...options, store: deps.store, blobs: deps.blobs, mayStart }, staged, options.onYield)
    control.begin(run)
    yield* catchUp(options, run)
    const end = yield* restore(run.end).pipe(
      // The loop itself was interrupted: its run goes back into the queue, uncharged.
      Effect.onInterrupt(() => Effect.zipRight(run.interrupt("requeue"), run.end))
    )
    // a mistake of ours in the end of one run is a failed run, and not the end of the loop (D8)
    yield* Effect.catchAllDefect(
      Effect.suspend(() => settleRun(deps, options, staged, run, end)),
      (defect) => fail(deps, options, staged, ofCause(Cause.die(defect)))
    )
    yield* Metric.increment(Metrics.runs[end._tag])
  }).pipe(Effect.ensuring(Effect.sync(control.end)))

/** Waits for another state, for the time at which a failed input may run again, or for the turn of a suspect. */
const park = (
  options: LoopOptions,
  granted: Granted.Granted,
  state: SessionState,
  now: number
): Effect.Effect<void> => {
  const changed = options.authority.changedFrom(state)
  const awaited = granted.waits() ? firstOf(changed, granted.turn) : changed
  const readyAt = nextReadyAt(state, now)
  return readyAt === null ? awaited : firstOf(awaited, Effect.sleep(Math.max(1, readyAt - now)))
}

const loop = (
  deps: LoopDeps,
  options: LoopOptions,
  granted: Granted.Granted
): Effect.Effect<LoopEnd, SubmitError> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const control = makeControl()
      options.control(control.control)
      while (true) {
        const health = yield* options.authority.health
        if (health._tag === "ReloadRequired") return { _tag: "ReloadRequired", reason: health.reason } as const
        const state = options.authority.unsafeState()
        if (options.released() || !owns(state, options.token)) return { _tag: "Released" } as const
        const now = yield* Clock.currentTimeMillis
        if (isDrained(state)) {
          if (yield* restore(giveBack(options))) return { _tag: "Drained" } as const
          continue
        }
        const clearance = mayRun(state) ? granted.forNext(state, now) : granted.forNothing()
        if (clearance === null) {
          yield* restore(park(options, granted, state, now))
          continue
        }
        const runId = yield* deps.ids.run
        // a store that refuses for the moment does not end the loop, and one that refuses for good is told to all
        const begin = insistOrReload(insistence(deps, options), stage({ token: options.token, runId, clearance }))
        const staged = yield* restore(begin)
        const run = staged === null ? Effect.void : runBatch(deps, options, control, staged, restore)
        yield* clearance === "none" ? run : granted.during(staged, run)
        yield* Effect.yieldNow()
      }
    })
  )

/** However the loop ends, it gives back what its machine granted. */
const whole = (deps: LoopDeps, options: LoopOptions): Effect.Effect<LoopEnd, SubmitError> =>
  Effect.suspend(() => {
    const granted = Granted.make(deps.config, options)
    return Effect.ensuring(loop(deps, options, granted), Effect.sync(granted.release))
  })

/** The end of a loop with nothing left to drain; false when the session was brought back in the meantime. */
const giveBack = ({ authority, onDrained, token }: LoopOptions): Effect.Effect<boolean, SubmitError> =>
  authority.submit(endDrained(token), {
    onSettled: (ended) => {
      if (ended) onDrained()
    }
  })

const endOfFailure = (error: SubmitError): LoopEnd => error._tag === "ReloadRequired" ? error : { _tag: "Released" }

/** @since 0.1.0 @category layers */
export const layer: Layer.Layer<RuntimeLoop, never, RuntimeStore | IdGen> = Layer.effect(
  RuntimeLoop,
  Effect.gen(function*() {
    const deps: LoopDeps = {
      store: yield* RuntimeStore,
      ids: FreshIds.make(yield* IdGen),
      config: yield* MeerkatMachineConfig,
      blobs: yield* Blobs.make
    }
    return RuntimeLoop.of({
      run: (options) =>
        whole(deps, options).pipe(
          Effect.catchAll((error) => Effect.succeed(endOfFailure(error))),
          Effect.annotateLogs({ module: "RuntimeLoop", session: options.authority.sessionId })
        )
    })
  })
)
