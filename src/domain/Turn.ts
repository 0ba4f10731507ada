/**
 * The settings of a turn that inputs carry, and the words for its boundary and kind. The kernel merges them over a batch;
 * executors read the result. Invariant: an absent setting changes nothing.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { Json, optional } from "./Json.js"
import { Name } from "./Text.js"

/** The lane that an input asks for. @since 0.1.0 @category schemas */
export const HandlingMode = Schema.Literal("queue", "steer")
/** @since 0.1.0 @category models */
export type HandlingMode = typeof HandlingMode.Type

/** How a client should render an input. @since 0.1.0 @category schemas */
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

/** A change of a setting: absent changes nothing, `set` gives a value, `clear` removes the session's value. @since 0.1.0 @category schemas */
export const Override = Schema.Union(
  Schema.Struct({ type: Schema.Literal("set"), value: Json }),
  Schema.Struct({ type: Schema.Literal("clear") })
)
/** @since 0.1.0 @category models */
export type Override = typeof Override.Type

/** Settings of one turn that its inputs carry. The kernel merges them over the batch into one value. @since 0.1.0 @category schemas */
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

/** The point of a run at which an input is applied. @since 0.1.0 @category schemas */
export const RunBoundary = Schema.Literal("immediate", "run_start", "run_checkpoint")
/** @since 0.1.0 @category models */
export type RunBoundary = typeof RunBoundary.Type

/** Whether a turn has new content or resumes pending work. @since 0.1.0 @category schemas */
export const ExecutionKind = Schema.Literal("content_turn", "resume_pending")
/** @since 0.1.0 @category models */
export type ExecutionKind = typeof ExecutionKind.Type

/** Text that is stored in the session under a key, outside of the conversation. @since 0.1.0 @category schemas */
export const ContextAppend = Schema.Struct({ key: Name, text: Schema.String })
/** @since 0.1.0 @category models */
export type ContextAppend = typeof ContextAppend.Type
