/**
 * What the policy decides about an input at admission. The policy table of the kernel produces these values; they are
 * stored with the input and checked at recovery.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { optional } from "./Json.js"
import { ExecutionKind, RunBoundary } from "./Turn.js"

/** The version of the default policy table; stored with each input. @since 0.1.0 @category constructors */
export const policyVersion = 1

/** The policy's decision for one input. @since 0.1.0 @category schemas */
export const PolicyDecision = Schema.Struct({
  version: Schema.NonNegativeInt,
  applyMode: Schema.Literal("stage_run_start", "stage_run_boundary", "inject_now", "ignore"),
  wakeMode: Schema.Literal("wake_if_idle", "interrupt_yielding", "none"),
  queueMode: Schema.Literal("none", "fifo", "coalesce", "supersede", "priority"),
  consumePoint: Schema.Literal("on_accept", "on_apply", "on_run_start", "on_run_complete", "explicit_ack"),
  drainPolicy: Schema.Literal("queue_next_turn", "steer_batch", "immediate", "ignore"),
  routing: Schema.Literal("queue", "steer", "immediate", "drop"),
  recordTranscript: Schema.Boolean,
  emitOperatorContent: Schema.Boolean
})
/** The policy's decision for one input. @since 0.1.0 @category models */
export type PolicyDecision = typeof PolicyDecision.Type

/** How an input is executed. Admission stores it; recovery requires the same value. @since 0.1.0 @category schemas */
export const InputSemantics = Schema.Struct({
  boundary: RunBoundary,
  executionKind: ExecutionKind,
  terminalIntent: optional(Schema.Literal("append_context_and_run"))
})
/** How an input is executed. @since 0.1.0 @category models */
export type InputSemantics = typeof InputSemantics.Type

/** A lane of the session's queue; `steer` runs first. @since 0.1.0 @category schemas */
export const Lane = Schema.Literal("queue", "steer")
/** A lane of the session's queue. @since 0.1.0 @category models */
export type Lane = typeof Lane.Type
