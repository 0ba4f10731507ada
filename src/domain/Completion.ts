/**
 * How inputs and turns end: results, errors and outcomes.
 *
 * Executors produce results, the kernel decides outcomes, and the store keeps them. Callers convert an outcome with
 * `toEffect`. Invariant: every input that ends has exactly one outcome.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Json, optional } from "./Json.js"
import { Name } from "./Text.js"

/** The answer of an executor. @since 0.1.0 @category schemas */
export const RunResult = Schema.Struct({
  text: Schema.String,
  data: optional(Json),
  usage: optional(Schema.Struct({
    inputTokens: optional(Schema.JsonNumber),
    outputTokens: optional(Schema.JsonNumber),
    costUsd: optional(Schema.JsonNumber)
  }))
})
/** The answer of an executor. @since 0.1.0 @category models */
export interface RunResult {
  readonly text: string
  /** a structured answer in addition to the text */
  readonly data?: Json
  readonly usage?: Usage
}
/** The cost of an answer. @since 0.1.0 @category models */
export interface Usage {
  readonly inputTokens?: number
  readonly outputTokens?: number
  readonly costUsd?: number
}

/** The cause of a turn's end. @since 0.1.0 @category schemas */
export const TurnCauseKind = Schema.Literal(
  "unknown",
  "hook_denied",
  "hook_failure",
  "llm_failure",
  "tool_failure",
  "structured_output_validation_failed",
  "budget_exhausted",
  "time_budget_exceeded",
  "retry_exhausted",
  "turn_limit_reached",
  "runtime_apply_failure",
  "fatal_failure"
)
/** @since 0.1.0 @category models */
export type TurnCauseKind = typeof TurnCauseKind.Type

/** How a turn ended, as an executor reports it. @since 0.1.0 @category schemas */
export const TurnOutcome = Schema.Literal(
  "none",
  "completed",
  "failed",
  "cancelled",
  "budget_exhausted",
  "time_budget_exceeded",
  "structured_output_validation_failed"
)
/** @since 0.1.0 @category models */
export type TurnOutcome = typeof TurnOutcome.Type

/** The typed description of a failed turn. @since 0.1.0 @category schemas */
export const TurnError = Schema.Struct({
  kind: TurnCauseKind,
  terminal: Schema.Boolean,
  outcome: optional(TurnOutcome),
  detail: optional(Schema.String),
  provider: optional(Schema.String),
  model: optional(Schema.String),
  retryable: optional(Schema.Boolean)
})
/** The typed description of a failed turn. @since 0.1.0 @category models */
export interface TurnError {
  readonly kind: TurnCauseKind
  readonly terminal: boolean
  readonly outcome?: TurnOutcome
  readonly detail?: string
  readonly provider?: string
  readonly model?: string
  readonly retryable?: boolean
}

/** How an input ended, as its waiters get it. @since 0.1.0 @category schemas */
export const CompletionOutcome = Schema.Union(
  Schema.TaggedStruct("Completed", { result: RunResult }),
  Schema.TaggedStruct("CompletedWithoutResult", {}),
  Schema.TaggedStruct("CallbackPending", { toolName: Name, args: Json }),
  Schema.TaggedStruct("Cancelled", {}),
  Schema.TaggedStruct("Abandoned", { reason: Schema.String }),
  Schema.TaggedStruct("AbandonedWithError", { reason: Schema.String, error: TurnError }),
  Schema.TaggedStruct("CompletedWithFinalizationFailure", { result: RunResult, error: TurnError }),
  Schema.TaggedStruct("RuntimeTerminated", { reason: Schema.String })
)
/** How an input ended, as its waiters get it. `toEffect` converts it to an answer or an error. @since 0.1.0 @category models */
export type CompletionOutcome =
  | Completed
  | CompletedWithoutResult
  | CallbackPending
  | Cancelled
  | Abandoned
  | AbandonedWithError
  | CompletedWithFinalizationFailure
  | RuntimeTerminated
/** The executor answered, and the answer is committed. @since 0.1.0 @category models */
export interface Completed {
  readonly _tag: "Completed"
  readonly result: RunResult
}
/** The executor consumed the input and gave no answer. @since 0.1.0 @category models */
export interface CompletedWithoutResult {
  readonly _tag: "CompletedWithoutResult"
}
/** The turn ended at a tool call that the caller answers. @since 0.1.0 @category models */
export interface CallbackPending {
  readonly _tag: "CallbackPending"
  readonly toolName: string
  readonly args: Json
}
/** The input was retracted, or its run was cancelled. @since 0.1.0 @category models */
export interface Cancelled {
  readonly _tag: "Cancelled"
}
/** The session gave the input up before a run completed it. @since 0.1.0 @category models */
export interface Abandoned {
  readonly _tag: "Abandoned"
  readonly reason: string
}
/** Every attempt at the input failed; `error` is the last failure. @since 0.1.0 @category models */
export interface AbandonedWithError {
  readonly _tag: "AbandonedWithError"
  readonly reason: string
  readonly error: TurnError
}
/** The executor answered, but the answer could not be committed. The input runs again later. @since 0.1.0 @category models */
export interface CompletedWithFinalizationFailure {
  readonly _tag: "CompletedWithFinalizationFailure"
  readonly result: RunResult
  readonly error: TurnError
}
/** The session gave up its queue, closed, or must be reloaded before the input ended; `reason` says why. @since 0.1.0 @category models */
export interface RuntimeTerminated {
  readonly _tag: "RuntimeTerminated"
  readonly reason: string
}

/** The error for an outcome without an answer. @since 0.1.0 @category errors */
export class TurnFailed extends Schema.TaggedError<TurnFailed>()("TurnFailed", {
  outcome: CompletionOutcome
}) {
  override get message(): string {
    return describe(this.outcome)
  }
}

/** Describes an outcome in a few words. @since 0.1.0 @category accessors */
export const describe = (outcome: CompletionOutcome): string => {
  switch (outcome._tag) {
    case "Completed":
      return "completed"
    case "CompletedWithoutResult":
      return "completed without a result"
    case "CallbackPending":
      return `waits for the callback of tool "${outcome.toolName}"`
    case "Cancelled":
      return "cancelled"
    case "Abandoned":
    case "AbandonedWithError":
      return `abandoned: ${outcome.reason}`
    case "CompletedWithFinalizationFailure":
      return `answered, but the answer could not be stored: ${outcome.error.detail ?? outcome.error.kind}`
    case "RuntimeTerminated":
      return `the runtime ended first: ${outcome.reason}`
  }
}

/**
 * Returns the answer, or fails `TurnFailed`. A completion without a result is an empty answer.
 *
 * @since 0.1.0
 * @category accessors
 */
export const toEffect = (outcome: CompletionOutcome): Effect.Effect<RunResult, TurnFailed> => {
  switch (outcome._tag) {
    case "Completed":
      return Effect.succeed(outcome.result)
    case "CompletedWithoutResult":
      return Effect.succeed({ text: "" })
    default:
      return Effect.fail(new TurnFailed({ outcome }))
  }
}
