/**
 * Describes a failed run: its detail, its outcome, and whether it is retried. The loop and inline runs call it when a run
 * ends. Invariant: every text of a `Failure` is bounded, so that a commit can hold it for any error of an executor.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { bounded, maxReasonBytes } from "../../src/domain/BoundedText.js"
import type { TurnCauseKind, TurnError } from "../../src/domain/Completion.js"
import { CompletionOutcome } from "../../src/domain/Completion.js"
import type { ApplyFailureCause, ExecutorError } from "../../src/domain/Errors.js"
import { pretty } from "./rendering.js"
import type { Refusal } from "./stored.js"
import * as Stored from "./stored.js"

/** A failed run, without the time of the next attempt. */
export interface Failure {
  readonly detail: string
  readonly outcome: CompletionOutcome
  readonly retryable: boolean
}

const retryableApply: ReadonlySet<ApplyFailureCause> = new Set([
  "RuntimeContextApply",
  "RuntimeTurn",
  "HookRuntimeFailure",
  "ExecutorControlFailed",
  "ExecutorInternal",
  "Unknown"
])

const retryableTerminal: ReadonlySet<TurnCauseKind> = new Set([
  "llm_failure",
  "tool_failure",
  "hook_failure",
  "runtime_apply_failure"
])

const prefix = "apply failed: "

/** Cuts a detail, so that it fits into the reason of an outcome with the prefix. */
const detailOf = (text: string): string => bounded(text, maxReasonBytes - prefix.length)

const abandoned = (detail: string): CompletionOutcome => ({ _tag: "Abandoned", reason: `${prefix}${detail}` })

const withError = (detail: string, error: TurnError): CompletionOutcome => ({
  _tag: "AbandonedWithError",
  reason: `${prefix}${detail}`,
  error
})

/**
 * Describes a typed failure of `apply`. Its own `retryable` counts; without it, its cause decides (D10). A value that the
 * types rule out, for example from untyped code, is treated as a defect.
 */
export const ofError = (error: ExecutorError): Failure =>
  Option.getOrElse(
    Option.flatMap(Option.liftThrowable(known)(error), (failure) => Either.getRight(check(failure))),
    () => ofCause(Cause.fail(error))
  )

/** Whether the error is `TurnCancelled`; false for a value that throws when its tag is read. */
export const isCancelled = (error: ExecutorError): boolean =>
  Option.getOrElse(Option.liftThrowable(Predicate.isTagged("TurnCancelled"))(error), () => false)

/** Checks that a failure can be stored and read back, because outcomes contain it. */
const check = Stored.check(
  Schema.Struct({ detail: Schema.String, outcome: CompletionOutcome, retryable: Schema.Boolean })
)

/** Describes an error as its fields say; null for an unknown tag. */
const known = (error: ExecutorError): Failure | null => {
  const detail = detailOf(error.detail)
  switch (error._tag) {
    case "ApplyFailed":
      return {
        detail,
        outcome: abandoned(detail),
        retryable: error.retryable ?? retryableApply.has(error.cause)
      }
    case "TerminalFailure":
      return {
        detail,
        outcome: withError(detail, { kind: error.causeKind, terminal: true, outcome: error.outcome, detail }),
        retryable: error.retryable ?? retryableTerminal.has(error.causeKind)
      }
    case "ControlFailed":
    case "ExecutorFault":
      return { detail, outcome: abandoned(detail), retryable: error.retryable ?? true }
    case "ExecutorStopped":
    case "TurnCancelled":
      return { detail, outcome: abandoned(detail), retryable: false }
    default:
      return null
  }
}

/** Describes a defect, or an interruption that the machine did not request, as a failed run (D8). */
export const ofCause = (cause: Cause.Cause<ExecutorError>): Failure => {
  const detail = detailOf(
    Cause.isInterruptedOnly(cause)
      ? "the executor was interrupted from outside"
      : `the executor died: ${pretty(cause)}`
  )
  return {
    detail,
    outcome: withError(detail, { kind: "fatal_failure", terminal: true, outcome: "failed", detail, retryable: true }),
    retryable: true
  }
}

/** The failure that replaces one which the store cannot hold; its inputs end with it. */
export const unstored = (why: string): Failure => {
  const detail = `the run failed, and the store cannot hold its failure: ${why}`
  return { detail, outcome: abandoned(detail), retryable: false }
}

/** Describes a failed service turn. It is not retried: it has no inputs, and its owner gets the error. */
export const ofTurn = (detail: string): Failure => ({ detail, outcome: abandoned(detail), retryable: false })

/**
 * Describes an output that no commit can hold. If it is too large and the batch has several inputs, each of them is
 * retried alone.
 */
export const ofRefusal = (refusal: Refusal, members: number): Failure => {
  const detail = detailOf(
    refusal._tag === "TooLarge"
      ? `the turn comes to ${refusal.bytes} bytes, the limit is ${refusal.limit}`
      : `the turn's output cannot be stored: ${refusal.detail}`
  )
  return { detail, outcome: abandoned(detail), retryable: refusal._tag === "TooLarge" && members > 1 }
}
