/**
 * How the end of a run becomes durable, whoever owned the run (D21), and other ends that nobody could repeat.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Random from "effect/Random"
import type { SessionAuthority, SubmitError } from "../../services/MachineAuthority.js"
import type { MeerkatMachineOptions } from "../../services/MeerkatMachineConfig.js"
import type { Command, StagedRun } from "../../src/domain/Command.js"
import type { CompletionOutcome } from "../../src/domain/Completion.js"
import type { InputId } from "../../src/domain/Ids.js"
import { isRetryable } from "../../src/domain/StoreErrors.js"
import * as Metrics from "./metrics.js"
import { firstOf } from "./race.js"

/** What waiters are told when the session must be opened anew. */
export type OnReload = (reason: string) => ReadonlyArray<readonly [InputId, CompletionOutcome]>

/** Exponential, capped, and jittered between 80 and 120 percent (D10). */
export const notBefore = (config: MeerkatMachineOptions, charged: number): Effect.Effect<number> =>
  Effect.zipWith(Clock.currentTimeMillis, Random.next, (now, random) => {
    const pause = Duration.toMillis(config.retryBase) * 2 ** Math.min(charged, 30)
    return now + Math.round(Math.min(pause, Duration.toMillis(config.retryCap)) * (0.8 + random * 0.4))
  })

/**
 * What waiters of a batch are told when its commit is lost: a result that exists is not kept from them. Without one they
 * are told, like everybody else, that the session must be reloaded: their input is queued and runs again (D21).
 */
export const finalizationFailure = (staged: StagedRun, outcome: CompletionOutcome | null): OnReload => (reason) =>
  outcome?._tag !== "Completed" ? [] : staged.records.map((record): readonly [InputId, CompletionOutcome] => [
    record.inputId,
    {
      _tag: "CompletedWithFinalizationFailure",
      result: outcome.result,
      error: { kind: "runtime_apply_failure", terminal: true, outcome: "failed", detail: reason }
    }
  ])

/** What an insistent submission is made with. */
export interface Insistence {
  readonly authority: SessionAuthority
  readonly config: MeerkatMachineOptions
  /** completes when the session is being taken down: then there is one last try, and no pause */
  readonly released: Effect.Effect<void>
  readonly onReload: OnReload
}

/** Submits until it is durable. What is refused all the same fails `CommitFailed`; nothing has changed. */
export const insist = <A>(how: Insistence, command: Command<A>): Effect.Effect<A, SubmitError> =>
  insistOn(how, how.authority.submit(command, { onReload: how.onReload }))

/**
 * A submission, again and again with pauses while the store refuses for the moment. They are here, in the fiber of the
 * run's owner, and never in the commit worker.
 */
export const insistOn = <A>(
  { config, released }: Pick<Insistence, "config" | "released">,
  submission: Effect.Effect<A, SubmitError>
): Effect.Effect<A, SubmitError> => {
  const attempt = (tries: number, last: boolean): Effect.Effect<A, SubmitError> =>
    Effect.catchAll(submission, (error) => {
      const over = error._tag !== "CommitFailed" || last || tries >= config.commitRetryTimes ||
        !isRetryable(error.error)
      if (over) return Effect.fail(error)
      return Effect.flatMap(
        Effect.zipRight(Metric.increment(Metrics.commitRetries), pause(tries)),
        (hurry) => attempt(tries + 1, hurry)
      )
    })
  const pause = (tries: number): Effect.Effect<boolean> =>
    firstOf(
      Effect.as(Effect.sleep(Duration.times(config.commitRetryBase, 2 ** tries)), false),
      Effect.as(released, true)
    )
  return attempt(0, false)
}

/** The store refuses for good: the session must be opened anew. */
export const orReload =
  (how: Insistence, what = "a run") => (error: SubmitError): Effect.Effect<never, SubmitError> => {
    if (error._tag !== "CommitFailed") return Effect.fail(error)
    const reason = `${what} could not be committed: ${error.error._tag}`
    return Effect.zipRight(
      how.authority.requireReload(reason, how.onReload(reason)),
      Effect.fail<SubmitError>({ _tag: "ReloadRequired", reason })
    )
  }

/** Insists on a command; where the store refuses for good the session must be opened anew. */
export const insistOrReload = <A>(
  how: Insistence,
  command: Command<A>,
  what?: string
): Effect.Effect<A, SubmitError> => Effect.catchAll(insist(how, command), orReload(how, what))
