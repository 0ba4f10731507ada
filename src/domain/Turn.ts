/** @since 0.1.0 */
import * as Schema from "effect/Schema"
import { Json, optional } from "./Json.js"
import { Name } from "./Text.js"

/** @since 0.1.0 @category schemas */
export const HandlingMode = Schema.Literal("queue", "steer")
/** @since 0.1.0 @category models */
export type HandlingMode = typeof HandlingMode.Type

/** How an input wants to be rendered. @since 0.1.0 @category schemas */
export const RenderMetadata = Schema.Struct({
  class: Schema.Literal(
    "user_prompt",
    "peer_message",
    "peer_request",
    "peer_response",
    "external_event",
    "flow_step",
    "continuation",
    "system_notice",
    "tool_scope_notice",
    "ops_progress"
  ),
  salience: Schema.Literal("background", "normal", "important", "urgent")
})
/** @since 0.1.0 @category models */
export type RenderMetadata = typeof RenderMetadata.Type

/** Absent is neutral, `set` gives a value, `clear` removes what the session has. @since 0.1.0 @category schemas */
export const Override = Schema.Union(
  Schema.Struct({ type: Schema.Literal("set"), value: Json }),
  Schema.Struct({ type: Schema.Literal("clear") })
)
/** @since 0.1.0 @category models */
export type Override = typeof Override.Type

/** Settings of one turn that inputs bring along; merged over a batch (spec: one primitive per batch). @since 0.1.0 @category schemas */
export const TurnMetadata = Schema.Struct({
  handlingMode: optional(HandlingMode),
  flowToolOverlay: optional(Json),
  model: optional(Name),
  provider: optional(Name),
  keepAlive: optional(Schema.Struct({
    ttlSeconds: Schema.NonNegativeInt,
    policy: Schema.Literal("pinned", "policy_driven")
  })),
  renderMetadata: optional(RenderMetadata),
  providerParams: optional(Override),
  authBinding: optional(Override),
  skillReferences: optional(Schema.Array(Name)),
  additionalInstructions: optional(Schema.Array(Schema.Struct({
    kind: Schema.Literal("user", "system", "host"),
    body: Schema.String
  })))
})
/** @since 0.1.0 @category models */
export type TurnMetadata = typeof TurnMetadata.Type

/** @since 0.1.0 @category schemas */
export const RunBoundary = Schema.Literal("immediate", "run_start", "run_checkpoint")
/** @since 0.1.0 @category models */
export type RunBoundary = typeof RunBoundary.Type

/** @since 0.1.0 @category schemas */
export const ExecutionKind = Schema.Literal("content_turn", "resume_pending")
/** @since 0.1.0 @category models */
export type ExecutionKind = typeof ExecutionKind.Type

/** Text that joins the session under a key instead of the conversation. @since 0.1.0 @category schemas */
export const ContextAppend = Schema.Struct({ key: Name, text: Schema.String })
/** @since 0.1.0 @category models */
export type ContextAppend = typeof ContextAppend.Type
