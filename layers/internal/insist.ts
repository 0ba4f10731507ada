/**
 * Insistence: how a submission that must become durable is tried again while the store refuses it (D21).
 *
 * Settlements of runs, detached loops and closing commits use it, each in the fiber of its owner; the commit worker
 * never waits. Three answers of the store are told apart:
 *
 * - "not now" (`StoreBusy`, `StoreFull`): tried again as long as it lasts, with a jittered and capped backoff.
 * - a medium that fails (`StoreIo`): tried again `commitRetryTimes` times.
 * - anything else: not tried again. Unless the caller has another way, the session must be reloaded.
 *
 * A pause ends early when the owner is released, interrupted, or told to hurry; one try follows each time.
 *
 * @since 0.1.0
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Metric from "effect/Metric"
import * as Schedule from "effect/Schedule"
import type { Kept, SessionAuthority, SubmitError, SubmitOptions } from "../../services/MachineAuthority.js"
import type { MeerkatMachineOptions } from "../../services/MeerkatMachineConfig.js"
import type { Command } from "../../src/domain/Command.js"
import type { CompletionOutcome } from "../../src/domain/Completion.js"
import type { InputId, RunId } from "../../src/domain/Ids.js"
import type { CommitError } from "../../src/domain/StoreErrors.js"
import { isNotNow, isRetryable } from "../../src/domain/StoreErrors.js"
import { runOf } from "../../src/kernel/facts.js"
import * as Metrics from "./metrics.js"
import { firstOf } from "./race.js"

/** What waiters are told when the session must be reloaded. */
export type OnReload = (reason: string) => ReadonlyArray<readonly [InputId, CompletionOutcome]>

/** What an insistent submission is made with. */
export interface Insistence {
  readonly authority: SessionAuthority
  readonly config: MeerkatMachineOptions
  /** completes when the pauses must end: one last try follows */
  readonly released: Effect.Effect<void>
  readonly onReload: OnReload
  /** the run that the submission ends: its end is kept where teardown and reads see it */
  readonly run?: { readonly runId: RunId; readonly bytes: number }
  /** called before the first pause: from here on it may take as long as the outage */
  readonly onPause?: () => void
}

/** Completes when the session has this run no more, or must be reloaded: its end cannot be stored any more. */
export const runGone = (authority: SessionAuthority, runId: RunId): Effect.Effect<void> =>
  Effect.suspend(() => {
    const state = authority.unsafeState()
    return runOf(state, runId) === undefined || authority.unsafeHealth()._tag === "ReloadRequired"
      ? Effect.void
      : Effect.zipRight(authority.changedFrom(state), runGone(authority, runId))
  })

/** Submits until the command is durable. A refusal that stays fails `CommitFailed`; nothing has changed then. */
export const insist = <A>(
  how: Insistence,
  command: Command<A>,
  options: Omit<SubmitOptions<A>, "onReload"> = {}
): Effect.Effect<A, SubmitError> => insistOn(how, how.authority.submit(command, { ...options, onReload: how.onReload }))

/** `insist` for any submission. The first try costs nothing more than the submission itself. */
export const insistOn = <A>(
  how: Insistence,
  submission: Effect.Effect<A, SubmitError>
): Effect.Effect<A, SubmitError> =>
  Effect.catchAll(submission, (error) => {
    const effort: Effort = { how, failures: 0, hurried: false, last: false, error: null, asked: null, wake: latch() }
    return mayTryAgain(effort, error) ? persist(effort, submission) : Effect.fail(error)
  })

/** Marks the session for a reload, unless the store said "not now": then the owner gave up and nothing is lost. */
export const orReload = (how: Insistence, what = "a run") => (error: SubmitError): Effect.Effect<never, SubmitError> =>
  error._tag !== "CommitFailed" || isNotNow(error.error)
    ? Effect.fail(error)
    : reload(how, `${what} could not be committed: ${error.error._tag}`)

/** Insists on a command; a session whose store refuses it for good must be reloaded. */
export const insistOrReload = <A>(
  how: Insistence,
  command: Command<A>,
  what?: string
): Effect.Effect<A, SubmitError> => Effect.catchAll(insist(how, command), orReload(how, what))

/** How long a caller that hears of a refusal lets it be tried: as long as `commitRetryTimes` tries take. */
export const patience = ({ commitRetryBase, commitRetryTimes, retryCap }: MeerkatMachineOptions): Duration.Duration =>
  Duration.min(Duration.times(commitRetryBase, 2 ** Math.min(commitRetryTimes, 16) - 1), retryCap)

/**
 * Completes with the refusal when the end of a run still waits for the store after a try at once, and `limit` of further
 * tries. As long as no end of a run is kept it waits: for callers that must not wait for an outage to end.
 */
export const refusal = (authority: SessionAuthority, limit: Duration.Duration): Effect.Effect<CommitError> =>
  Effect.suspend(() => {
    const state = authority.unsafeState()
    const again = Effect.suspend(() => refusal(authority, limit))
    const [kept] = authority.kept()
    if (kept === undefined) return Effect.zipRight(authority.changedFrom(state), again)
    return Effect.flatMap(kept.hurry, (error) => {
      if (error === null) return again
      const late = Effect.as(Effect.sleep(limit), kept)
      return Effect.flatMap(
        Duration.toMillis(limit) === 0 ? Effect.succeed(kept) : firstOf(late, Effect.as(letGo(authority, kept), null)),
        (left) => left === null ? again : Effect.succeed(left.error())
      )
    })
  })

// --- internal ---

/** Completes when this end of a run is not kept any more. */
const letGo = (authority: SessionAuthority, kept: Kept): Effect.Effect<void> =>
  Effect.suspend(() => {
    const state = authority.unsafeState()
    return authority.kept().includes(kept)
      ? Effect.zipRight(authority.changedFrom(state), letGo(authority, kept))
      : Effect.void
  })

/** One submission on its way. Every field is read and written synchronously. */
interface Effort {
  readonly how: Insistence
  /** refusals of a failing medium so far */
  failures: number
  /** somebody waits for the next try */
  hurried: boolean
  /** the next try is the last */
  last: boolean
  error: CommitError | null
  asked: Deferred.Deferred<CommitError | null> | null
  readonly wake: Effect.Latch
}

const latch = (): Effect.Latch => Effect.unsafeMakeLatch(false)

const mayTryAgain = (effort: Effort, error: SubmitError): boolean => {
  if (error._tag !== "CommitFailed") return false
  effort.error = error.error
  if (isNotNow(error.error)) return true
  return isRetryable(error.error) && effort.failures++ < effort.how.config.commitRetryTimes
}

/** Doubles from `commitRetryBase` to `retryCap`; each pause is 80 to 120 % of that, in whole milliseconds. */
const backoff = ({ commitRetryBase, retryCap }: MeerkatMachineOptions) =>
  Schedule.exponential(commitRetryBase).pipe(
    Schedule.union(Schedule.spaced(retryCap)),
    Schedule.jittered,
    Schedule.modifyDelay((_, pause) => Duration.millis(Math.max(1, Math.round(Duration.toMillis(pause)))))
  )

const reload = (how: Insistence, reason: string): Effect.Effect<never, SubmitError> =>
  Effect.zipRight(
    how.authority.requireReload(reason, how.onReload(reason)),
    Effect.fail<SubmitError>({ _tag: "ReloadRequired", reason })
  )

/** Answers the callers that asked for a try. */
const answer = (effort: Effort, error: CommitError | null): void => {
  const { asked } = effort
  effort.asked = null
  if (asked !== null) Deferred.unsafeDone(asked, Exit.succeed(error))
}

const keptOf = (effort: Effort, { bytes, runId }: NonNullable<Insistence["run"]>, refused: CommitError): Kept => ({
  runId,
  bytes,
  error: () => effort.error ?? refused,
  hurry: Effect.suspend(() => {
    effort.asked ??= Deferred.unsafeMake(FiberId.none)
    effort.hurried = true
    effort.wake.unsafeOpen()
    return Deferred.await(effort.asked)
  }),
  abandon: () => {
    effort.last = true
    effort.wake.unsafeOpen()
  },
  onReload: effort.how.onReload
})

/**
 * Waits for the next try. An interruption of a run's owner ends the pause and makes that try the last; any other pause
 * ends by its release alone, where its fiber cannot be interrupted.
 */
const pause = (
  effort: Effort,
  driver: Schedule.ScheduleDriver<unknown>
): Effect.Effect<void> => {
  const time = Effect.option(driver.next(undefined))
  const early = firstOf(
    effort.wake.await,
    Effect.map(effort.how.released, () => {
      effort.last = true
    })
  )
  const waiting = firstOf(time, early)
  return Effect.flatMap(Effect.exit(effort.how.run === undefined ? waiting : Effect.interruptible(waiting)), (exit) => {
    if (Exit.isFailure(exit)) effort.last = true
    effort.wake.unsafeClose()
    if (!effort.hurried) return Effect.void
    effort.hurried = false
    // a caller waits: the backoff begins again
    return driver.reset
  })
}

const persist = <A>(effort: Effort, submission: Effect.Effect<A, SubmitError>): Effect.Effect<A, SubmitError> =>
  held(effort, (run) =>
    Effect.gen(function*() {
      const { config, onPause } = effort.how
      const driver = yield* Schedule.driver(backoff(config))
      yield* said(effort, run)
      onPause?.()
      while (true) {
        yield* pause(effort, driver)
        yield* Metric.increment(Metrics.commitRetries)
        const last = effort.last
        const tried = yield* Effect.either(submission)
        if (Either.isRight(tried)) return tried.right
        if (last || !mayTryAgain(effort, tried.left)) return yield* Effect.fail(tried.left)
        answer(effort, effort.error)
      }
    }))

/** Keeps the end of a run for as long as `use` takes; over the budget of the machine the session must be reloaded. */
const held = <A>(
  effort: Effort,
  use: (run: Kept | null) => Effect.Effect<A, SubmitError>
): Effect.Effect<A, SubmitError> =>
  Effect.suspend(() => {
    const { error, how } = effort
    if (how.run === undefined || error === null) return use(null)
    const kept = keptOf(effort, how.run, error)
    if (!how.authority.keep(kept)) {
      const { maxKeptBytes } = how.config
      return reload(
        how,
        `the end of run ${kept.runId} (${kept.bytes} bytes) cannot be kept until the store takes it: ` +
          `results of at most ${maxKeptBytes} bytes wait (maxKeptBytes), and the store said ${error._tag}`
      )
    }
    return Effect.zipRight(Metric.incrementBy(Metrics.keptResults, 1), use(kept)).pipe(
      Effect.ensuring(Effect.suspend(() => {
        how.authority.letGo(kept)
        answer(effort, null)
        return Metric.incrementBy(Metrics.keptResults, -1)
      }))
    )
  })

const said = ({ error, how }: Effort, run: Kept | null): Effect.Effect<void> =>
  run === null || error === null ? Effect.void : Effect.logWarning(
    `the end of run ${run.runId} of session "${how.authority.sessionId}" waits for the store: ` +
      `${error._tag}: ${error.message}`
  )
