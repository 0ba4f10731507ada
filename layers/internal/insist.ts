/**
 * Insistence: retries a submission that must become durable while the store refuses it (D21).
 *
 * Settlements of runs, detached loops and closing commits use it, each in the fiber of its owner; the commit worker
 * never waits. There are three kinds of errors:
 *
 * - "not now" (`StoreBusy`, `StoreFull`): retried without limit, with a jittered and capped backoff.
 * - a failing medium (`StoreIo`): retried `commitRetryTimes` times.
 * - all others: not retried. Unless the caller handles the error, the session must be reloaded.
 *
 * Invariant: a pause ends early when the owner is released, interrupted, or told to hurry; one attempt always follows.
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

/** Returns outcomes for waiters, for the case that the session must be reloaded. */
export type OnReload = (reason: string) => ReadonlyArray<readonly [InputId, CompletionOutcome]>

/** What is needed to insist on a submission. */
export interface Insistence {
  readonly authority: SessionAuthority
  readonly config: MeerkatMachineOptions
  /** completes when the pauses must end: one last attempt follows */
  readonly released: Effect.Effect<void>
  readonly onReload: OnReload
  /** the run that the submission ends; the authority keeps its end, where teardown and reads find it */
  readonly run?: { readonly runId: RunId; readonly bytes: number }
  /** called before the first pause: the submission may now last as long as the outage of the store */
  readonly onPause?: () => void
}

/** Completes when the session no longer has this run, or must be reloaded: the end of the run cannot be stored then. */
export const runGone = (authority: SessionAuthority, runId: RunId): Effect.Effect<void> =>
  Effect.suspend(() => {
    const state = authority.unsafeState()
    return runOf(state, runId) === undefined || authority.unsafeHealth()._tag === "ReloadRequired"
      ? Effect.void
      : Effect.zipRight(authority.changedFrom(state), runGone(authority, runId))
  })

/** Submits a command until it is durable, and returns its reply. Fails `CommitFailed` after the retries; then nothing changed. */
export const insist = <A>(
  how: Insistence,
  command: Command<A>,
  options: Omit<SubmitOptions<A>, "onReload"> = {}
): Effect.Effect<A, SubmitError> => insistOn(how, how.authority.submit(command, { ...options, onReload: how.onReload }))

/** Does the same for any submission. If the first attempt succeeds, it costs no more than the submission itself. */
export const insistOn = <A>(
  how: Insistence,
  submission: Effect.Effect<A, SubmitError>
): Effect.Effect<A, SubmitError> =>
  Effect.catchAll(submission, (error) => {
    const effort: Effort = { how, failures: 0, hurried: false, last: false, error: null, asked: null, wake: latch() }
    return mayTryAgain(effort, error) ? persist(effort, submission) : Effect.fail(error)
  })

/** Marks the session for a reload after an error, except "not now": then the owner gave up and the store is consistent. */
export const orReload = (how: Insistence, what = "a run") => (error: SubmitError): Effect.Effect<never, SubmitError> =>
  error._tag !== "CommitFailed" || isNotNow(error.error)
    ? Effect.fail(error)
    : reload(how, `${what} could not be committed: ${error.error._tag}`)

/** Insists on a command; if the store refuses it for good, the session must be reloaded. */
export const insistOrReload = <A>(
  how: Insistence,
  command: Command<A>,
  what?: string
): Effect.Effect<A, SubmitError> => Effect.catchAll(insist(how, command), orReload(how, what))

/** How long a caller waits for retries before it gets the refusal: as long as `commitRetryTimes` retries take. */
export const patience = ({ commitRetryBase, commitRetryTimes, retryCap }: MeerkatMachineOptions): Duration.Duration =>
  Duration.min(Duration.times(commitRetryBase, 2 ** Math.min(commitRetryTimes, 16) - 1), retryCap)

/**
 * For callers that must not wait for the end of an outage. If the end of a run waits for the store, this asks for an
 * attempt at once and allows retries for `limit`. It then completes with the refusal, if that end still waits. As long
 * as no end of a run waits, this does not complete.
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

/** Completes when the authority no longer keeps this end of a run. */
const letGo = (authority: SessionAuthority, kept: Kept): Effect.Effect<void> =>
  Effect.suspend(() => {
    const state = authority.unsafeState()
    return authority.kept().includes(kept)
      ? Effect.zipRight(authority.changedFrom(state), letGo(authority, kept))
      : Effect.void
  })

/** The state of one submission that is retried. Every field is read and written synchronously. */
interface Effort {
  readonly how: Insistence
  /** errors of the medium so far */
  failures: number
  /** a caller asked for an attempt and waits for it */
  hurried: boolean
  /** the next attempt is the last */
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

/** Pauses double from `commitRetryBase` to `retryCap`; each is jittered by 80 to 120 %, in whole milliseconds. */
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

/** Answers the callers that asked for an attempt. */
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
 * Waits for the next attempt. If the submission ends a run, an interruption of the owner ends the pause, and the next
 * attempt is the last. Without a run the pause keeps the interruptibility of its fiber.
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
    // a caller waits, so the backoff begins again with the shortest pause
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

/** Keeps the end of a run while `use` runs. If the machine's budget is exceeded, the session must be reloaded. */
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
