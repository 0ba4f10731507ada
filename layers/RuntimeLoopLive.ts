/**
 * The loop of one session: it stages a batch, runs it in a child fiber, settles it, and parks when no input is selectable.
 *
 * The attachment of an executor starts one loop. Invariants: at most one run is in progress; a run is settled before the
 * next batch is staged; while the store says "not now" the loop keeps the result and waits.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import { IdGen } from "../services/IdGen.js"
import type { SubmitError } from "../services/MachineAuthority.js"
import type { MeerkatMachineOptions } from "../services/MeerkatMachineConfig.js"
import { MeerkatMachineConfig } from "../services/MeerkatMachineConfig.js"
import type { LoopEnd, LoopOptions, RunControl } from "../services/RuntimeLoop.js"
import { RuntimeLoop } from "../services/RuntimeLoop.js"
import { RuntimeStore } from "../services/RuntimeStore.js"
import type { StagedRun } from "../src/domain/Command.js"
import type { RunId } from "../src/domain/Ids.js"
import type { Clearance } from "../src/domain/RuntimeState.js"
import type { SessionState } from "../src/domain/SessionState.js"
import { isDefinite } from "../src/domain/StoreErrors.js"
import { endDrained } from "../src/kernel/commands/attach.js"
import { endUnstageable, stage } from "../src/kernel/commands/run.js"
import { isDrained } from "../src/kernel/facts.js"
import { nextReadyAt } from "../src/kernel/selection.js"
import * as Blobs from "./internal/blobs.js"
import * as FreshIds from "./internal/freshIds.js"
import * as Granted from "./internal/granted.js"
import type { Insistence } from "./internal/insist.js"
import { insist, insistOrReload, orReload } from "./internal/insist.js"
import * as Metrics from "./internal/metrics.js"
import { firstOf } from "./internal/race.js"
import { ofCause } from "./internal/runFailure.js"
import type { RunEnd, RunFiber } from "./internal/runFiber.js"
import { start } from "./internal/runFiber.js"
import type { End, Settling } from "./internal/settle.js"
import { agentApplied, catchUp, settle, stagedRun } from "./internal/settle.js"

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

/** Completes when no further batch may begin for this attachment. */
const released = (options: LoopOptions): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { authority } = options
    const state = authority.unsafeState()
    return owns(state, options.token) && !options.released() && authority.unsafeHealth()._tag === "Ready"
      ? Effect.zipRight(authority.changedFrom(state), released(options))
      : Effect.void
  })

/** Converts the end of a run's fiber to the end that is settled. */
const endOf = ({ config }: LoopDeps, staged: StagedRun, { turn }: RunFiber, end: RunEnd): End => {
  switch (end._tag) {
    case "Output": {
      const { appends, head } = turn
      const context = { base: head, appends, agentApplied: agentApplied(staged), limit: config.maxCommitBytes }
      return { _tag: "Output", output: end.output, context }
    }
    case "Failed":
      return end
    case "Interrupted":
      return { ...end, why: "cancelled" }
  }
}

const settlingOf = ({ blobs, config }: LoopDeps, { authority }: LoopOptions, staged: StagedRun): Settling => ({
  authority,
  config,
  blobs,
  runId: staged.runId,
  endings: stagedRun(staged.runId),
  records: staged.records,
  ownResult: false
})

/** Makes the handle of the attachment's owner on the run in progress. */
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
    const state = options.authority.unsafeState()
    yield* catchUp(state, run.runId, !owns(state, options.token), run.interrupt)
    const end = yield* restore(run.end).pipe(
      // the loop itself was interrupted: its run returns to the queue, uncharged
      Effect.onInterrupt(() => Effect.zipRight(run.interrupt("requeue"), run.end))
    )
    const settling = settlingOf(deps, options, staged)
    // a defect in the settlement counts as a failed run and does not end the loop (D8)
    yield* Effect.catchAllDefect(
      Effect.suspend(() => settle(settling, endOf(deps, staged, run, end))),
      (defect) => settle(settling, { _tag: "Failed", failure: ofCause(Cause.die(defect)) })
    )
    yield* Metric.increment(Metrics.runs[end._tag])
  }).pipe(Effect.ensuring(Effect.sync(control.end)))

/**
 * Stages the next batch and retries while the store says "not now". Returns null if nothing was staged.
 *
 * If the store refuses a staging for good, the loop stages only the lead of the batch. If the store refuses that too, the
 * loop ends the lead: otherwise it would select the lead without end, and later inputs would never run.
 */
const begin = (
  { config }: LoopDeps,
  options: LoopOptions,
  runId: RunId,
  clearance: Clearance
): Effect.Effect<StagedRun | null, SubmitError> => {
  const { authority, token } = options
  const how: Insistence = { authority, config, released: released(options), onReload: () => [] }
  const attempt = (leadOnly: boolean): Effect.Effect<StagedRun | null, SubmitError> =>
    Effect.catchAll(
      insist(how, stage({ token, runId, clearance, leadOnly }), { mayBeRefused: true }),
      (error) => {
        if (error._tag !== "CommitFailed" || !isDefinite(error.error)) return orReload(how, "the start of a run")(error)
        if (!leadOnly) return attempt(true)
        const detail = `${error.error._tag}: ${error.error.message}`
        return Effect.zipRight(
          Effect.logWarning(`session "${authority.sessionId}" ends an input that cannot be staged: ${detail}`),
          Effect.as(insistOrReload(how, endUnstageable({ token, clearance, detail }), "the end of an input"), null)
        )
      }
    )
  return attempt(false)
}

/** Waits for another state, for the retry time of a failed input, or for the turn of a suspect. */
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
        const staged = yield* restore(begin(deps, options, runId, clearance))
        const run = staged === null ? Effect.void : runBatch(deps, options, control, staged, restore)
        yield* clearance === "none" ? run : granted.during(staged, run)
        yield* Effect.yieldNow()
      }
    })
  )

/** Runs the loop and returns its clearance at the end, in every case. */
const whole = (deps: LoopDeps, options: LoopOptions): Effect.Effect<LoopEnd, SubmitError> =>
  Effect.suspend(() => {
    const granted = Granted.make(deps.config, options)
    return Effect.ensuring(loop(deps, options, granted), Effect.sync(granted.release))
  })

/** Ends a drained loop. Returns false if the session was recycled in the meantime. */
const giveBack = ({ authority, onDrained, token }: LoopOptions): Effect.Effect<boolean, SubmitError> =>
  authority.submit(endDrained(token), {
    onSettled: (ended) => {
      if (ended) onDrained()
    }
  })

const endOfFailure = (error: SubmitError): LoopEnd => error._tag === "ReloadRequired" ? error : { _tag: "Released" }

/** The loop, with the limits of the context. @since 0.1.0 @category layers */
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
