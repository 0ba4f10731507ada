/** @since 0.1.0 */
import * as Schema from "effect/Schema"
import { optional } from "./Json.js"
import { ExecutionKind, RunBoundary } from "./Turn.js"

/** Version of the default policy table; stored with each input. @since 0.1.0 @category constructors */
export const policyVersion = 1

/** What the policy table answers for one input. @since 0.1.0 @category schemas */
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
/** @since 0.1.0 @category models */
export type PolicyDecision = typeof PolicyDecision.Type

/** How an input is executed; stamped at admission, stored, required equal at recovery. @since 0.1.0 @category schemas */
export const InputSemantics = Schema.Struct({
  boundary: RunBoundary,
  executionKind: ExecutionKind,
  terminalIntent: optional(Schema.Literal("append_context_and_run"))
})
/** @since 0.1.0 @category models */
export type InputSemantics = typeof InputSemantics.Type

/** @since 0.1.0 @category schemas */
export const Lane = Schema.Literal("queue", "steer")
/** @since 0.1.0 @category models */
export type Lane = typeof Lane.Type
