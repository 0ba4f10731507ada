/**
 * How a failed run is accounted for: its detail, its outcome, and whether it is retried. The loop and inline runs call it
 * when a run ends. Invariant: every text of a `Failure` is bounded, so that its commit holds it whatever an executor says.
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

/** What a failed run amounts to, before time comes in. */
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

/** A detail that the reason of an outcome holds with its prefix. */
const detailOf = (text: string): string => bounded(text, maxReasonBytes - prefix.length)

const abandoned = (detail: string): CompletionOutcome => ({ _tag: "Abandoned", reason: `${prefix}${detail}` })

const withError = (detail: string, error: TurnError): CompletionOutcome => ({
  _tag: "AbandonedWithError",
  reason: `${prefix}${detail}`,
  error
})

/**
 * A typed failure of `apply`; retryable by its cause unless it says so itself (D10). What the types rule out comes from
 * code that has none, and is a death.
 */
export const ofError = (error: ExecutorError): Failure =>
  Option.getOrElse(
    Option.flatMap(Option.liftThrowable(known)(error), (failure) => Either.getRight(check(failure))),
    () => ofCause(Cause.fail(error))
  )

/** Whether an executor says that its turn was cancelled; what throws when it is looked at says nothing. */
export const isCancelled = (error: ExecutorError): boolean =>
  Option.getOrElse(Option.liftThrowable(Predicate.isTagged("TurnCancelled"))(error), () => false)

/** It ends up in outcomes, so it is held to what can be read back. */
const check = Stored.check(
  Schema.Struct({ detail: Schema.String, outcome: CompletionOutcome, retryable: Schema.Boolean })
)

/** Taken at its word; null for a kind that there is not. */
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

/** A defect, or an interruption nobody of us asked for: a failed run like any other (D8). */
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

/** The failure itself cannot be stored: its inputs end with this instead. */
export const unstored = (why: string): Failure => {
  const detail = `the run failed, and the store cannot hold its failure: ${why}`
  return { detail, outcome: abandoned(detail), retryable: false }
}

/** A service turn that failed: its owner knows of what, and it has no inputs that could run again. */
export const ofTurn = (detail: string): Failure => ({ detail, outcome: abandoned(detail), retryable: false })

/**
 * An output that no commit can hold. What several inputs said together may be too much: then each is tried alone.
 */
export const ofRefusal = (refusal: Refusal, members: number): Failure => {
  const detail = detailOf(
    refusal._tag === "TooLarge"
      ? `the turn comes to ${refusal.bytes} bytes, the limit is ${refusal.limit}`
      : `the turn's output cannot be stored: ${refusal.detail}`
  )
  return { detail, outcome: abandoned(detail), retryable: refusal._tag === "TooLarge" && members > 1 }
}
