/**
 * Inputs as the kernel and the store keep them: open, terminal, and as callers read them.
 *
 * The kernel changes open inputs and ends them; stores write and read them. Invariants: the content of an input never
 * changes, so its facts are stored apart; a terminal input never opens again.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { CompletionOutcome } from "./Completion.js"
import { InputId, RunId } from "./Ids.js"
import { Durability, Input, InputKind } from "./Input.js"
import { Json, optional } from "./Json.js"
import { InputSemantics, Lane, PolicyDecision } from "./Policy.js"
import { Name } from "./Text.js"

/** Why an input was abandoned. @since 0.1.0 @category schemas */
export const AbandonReason = Schema.Union(
  Schema.Struct({ type: Schema.Literal("retired", "reset", "stopped", "destroyed", "cancelled", "failed") }),
  Schema.Struct({ type: Schema.Literal("max_attempts_exhausted"), attempts: Schema.NonNegativeInt }),
  Schema.Struct({ type: Schema.Literal("crash_budget_exhausted"), crashes: Schema.NonNegativeInt })
)
/** @since 0.1.0 @category models */
export type AbandonReason = typeof AbandonReason.Type

/** How an input became terminal. @since 0.1.0 @category schemas */
export const InputTerminal = Schema.Union(
  Schema.Struct({ type: Schema.Literal("consumed") }),
  Schema.Struct({ type: Schema.Literal("superseded"), by: InputId }),
  Schema.Struct({ type: Schema.Literal("coalesced"), into: InputId }),
  Schema.Struct({ type: Schema.Literal("abandoned"), reason: AbandonReason })
)
/** @since 0.1.0 @category models */
export type InputTerminal = typeof InputTerminal.Type

/** The status of an open input. @since 0.1.0 @category schemas */
export const InputStatus = Schema.Union(
  Schema.Struct({ type: Schema.Literal("queued") }),
  Schema.Struct({
    type: Schema.Literal("staged"),
    runId: RunId,
    /** the input runs as the only suspect of its process: the next crash abandons it. Rows of older files lack this field. */
    alone: optional(Schema.Literal(true))
  })
)
/** @since 0.1.0 @category models */
export type InputStatus = typeof InputStatus.Type

/** The span of a caller, for tracing. @since 0.1.0 @category schemas */
export const TraceContext = Schema.Struct({ traceId: Name, spanId: Name, sampled: Schema.Boolean })
/** @since 0.1.0 @category models */
export type TraceContext = typeof TraceContext.Type

/**
 * The facts of an open input: everything except its content, which never changes and is stored separately.
 *
 * @since 0.1.0
 * @category schemas
 */
export const InputFacts = Schema.Struct({
  inputId: InputId,
  kind: InputKind,
  /** admission order within the session; kept over retries, promotion and restart */
  admissionSeq: Schema.NonNegativeInt,
  lane: Lane,
  /** true if accepted without a wake, or with a silent intent: the input rides along and never drives (D12) */
  hold: Schema.Boolean,
  status: InputStatus,
  durability: Durability,
  idempotencyKey: optional(Name),
  policy: PolicyDecision,
  semantics: InputSemantics,
  /** the number of stagings so far */
  attempts: Schema.NonNegativeInt,
  /** the number of stagings that ended with a failure or defect; limited by `maxAttempts` (D10) */
  charged: Schema.NonNegativeInt,
  /** the number of crashes that were charged to the input; limited by `crashBudget` (D10) */
  crashed: Schema.NonNegativeInt,
  /** true after its batch failed: it is retried without other driving inputs; held inputs still ride along */
  solo: Schema.Boolean,
  /** epoch milliseconds of the earliest selection; absent = at once */
  notBefore: optional(Schema.Number),
  lastRunId: optional(RunId),
  /** trace context of the accepting call; the span of the run links to it */
  trace: optional(TraceContext),
  createdAt: Schema.Number,
  updatedAt: Schema.Number
})
/** @since 0.1.0 @category models */
export type InputFacts = typeof InputFacts.Type

/** An open input: its facts and its content. @since 0.1.0 @category models */
export interface InputRecord extends InputFacts {
  readonly input: Input
}

/** The stored part of an input that has ended. @since 0.1.0 @category schemas */
export const TerminalInput = Schema.Struct({
  inputId: InputId,
  kind: InputKind,
  admissionSeq: Schema.NonNegativeInt,
  lane: Lane,
  durability: Durability,
  idempotencyKey: optional(Name),
  terminal: InputTerminal,
  /** absent if the receipt (`lastRunId`, `lastSequence`) holds the outcome */
  outcome: optional(CompletionOutcome),
  attempts: Schema.NonNegativeInt,
  charged: Schema.NonNegativeInt,
  crashed: Schema.NonNegativeInt,
  lastRunId: optional(RunId),
  lastSequence: optional(Schema.NonNegativeInt),
  createdAt: Schema.Number,
  completedAt: Schema.Number
})
/** @since 0.1.0 @category models */
export type TerminalInput = typeof TerminalInput.Type

/** Phases as callers see them. @since 0.1.0 @category schemas */
export const InputPhase = Schema.Literal("queued", "staged", "consumed", "superseded", "coalesced", "abandoned")
/** @since 0.1.0 @category models */
export type InputPhase = typeof InputPhase.Type

/** One input, open or terminal, as callers read it. @since 0.1.0 @category schemas */
export const InputState = Schema.Struct({
  inputId: InputId,
  kind: InputKind,
  phase: InputPhase,
  lane: Lane,
  admissionSeq: Schema.NonNegativeInt,
  hold: Schema.Boolean,
  durability: Durability,
  idempotencyKey: optional(Name),
  attempts: Schema.NonNegativeInt,
  charged: Schema.NonNegativeInt,
  crashed: Schema.NonNegativeInt,
  notBefore: optional(Schema.Number),
  terminal: optional(InputTerminal),
  outcome: optional(CompletionOutcome),
  lastRunId: optional(RunId),
  lastSequence: optional(Schema.NonNegativeInt),
  input: optional(Input),
  createdAt: Schema.Number,
  updatedAt: Schema.Number
})
/** @since 0.1.0 @category models */
export type InputState = typeof InputState.Type

/** Makes the state of an open input. @since 0.1.0 @category constructors */
export const stateOfOpen = (record: InputRecord): InputState => ({
  inputId: record.inputId,
  kind: record.kind,
  phase: record.status.type,
  lane: record.lane,
  admissionSeq: record.admissionSeq,
  hold: record.hold,
  durability: record.durability,
  attempts: record.attempts,
  charged: record.charged,
  crashed: record.crashed,
  input: record.input,
  createdAt: record.createdAt,
  updatedAt: record.updatedAt,
  ...(record.idempotencyKey === undefined ? {} : { idempotencyKey: record.idempotencyKey }),
  ...(record.notBefore === undefined ? {} : { notBefore: record.notBefore }),
  ...(record.lastRunId === undefined ? {} : { lastRunId: record.lastRunId })
})

/** Makes the state of a terminal input. @since 0.1.0 @category constructors */
export const stateOfTerminal = (row: TerminalInput): InputState => {
  const { completedAt, terminal, ...rest } = row
  return { ...rest, terminal, phase: terminal.type, hold: false, updatedAt: completedAt }
}

/** A small document of a session, stored as a whole under its name (`silentIntents`, `toolVisibility`, …). @since 0.1.0 @category schemas */
export const SliceDocument = Schema.Struct({ name: Name, value: Json })
/** @since 0.1.0 @category models */
export type SliceDocument = typeof SliceDocument.Type
