/**
 * The inputs of a session: prompts, peer messages, flow steps, events, continuations and operation events.
 *
 * Callers make them; admission checks them, the kernel queues them, and the store keeps them. Invariant: the content of
 * an admitted input never changes.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { InputId } from "./Ids.js"
import { Json, optional } from "./Json.js"
import { ContentBlock } from "./Message.js"
import { Name } from "./Text.js"
import { HandlingMode, RenderMetadata, TurnMetadata } from "./Turn.js"

/** The origin of an input. @since 0.1.0 @category schemas */
export const InputOrigin = Schema.Union(
  Schema.Struct({ type: Schema.Literal("operator") }),
  Schema.Struct({
    type: Schema.Literal("peer"),
    peerId: Name,
    displayIdentity: optional(Name),
    runtimeId: optional(Name)
  }),
  Schema.Struct({ type: Schema.Literal("flow"), flowId: Name, stepIndex: Schema.NonNegativeInt }),
  Schema.Struct({ type: Schema.Literal("system") }),
  Schema.Struct({ type: Schema.Literal("external"), sourceName: Name })
)
/** @since 0.1.0 @category models */
export type InputOrigin = typeof InputOrigin.Type

/**
 * `durable` and `derived` inputs are stored before the accept call returns; `ephemeral` inputs exist only in memory.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Durability = Schema.Literal("durable", "ephemeral", "derived")
/** @since 0.1.0 @category models */
export type Durability = typeof Durability.Type

/** The header of every input. The caller sets `timestamp` in epoch milliseconds; it does not affect any order. @since 0.1.0 @category schemas */
export const InputHeader = Schema.Struct({
  id: InputId,
  timestamp: Schema.JsonNumber,
  source: InputOrigin,
  durability: Durability,
  visibility: Schema.Struct({ transcriptEligible: Schema.Boolean, operatorEligible: Schema.Boolean }),
  idempotencyKey: optional(Name),
  supersessionKey: optional(Name),
  correlationId: optional(Name)
})
/** @since 0.1.0 @category models */
export type InputHeader = typeof InputHeader.Type

/** The kind of a peer input: a message, a request, or a response to a request. @since 0.1.0 @category schemas */
export const PeerConvention = Schema.Union(
  Schema.Struct({ type: Schema.Literal("message") }),
  Schema.Struct({ type: Schema.Literal("request"), requestId: Name, intent: Name }),
  Schema.Struct({
    type: Schema.Literal("response_progress"),
    requestId: Name,
    phase: Schema.Literal("accepted", "in_progress", "partial_result")
  }),
  Schema.Struct({
    type: Schema.Literal("response_terminal"),
    requestId: Name,
    status: Schema.Literal("completed", "failed", "cancelled")
  })
)
/** @since 0.1.0 @category models */
export type PeerConvention = typeof PeerConvention.Type

/** A prompt of a user. @since 0.1.0 @category schemas */
export const PromptInput = Schema.TaggedStruct("Prompt", {
  header: InputHeader,
  text: Schema.String,
  blocks: optional(Schema.Array(ContentBlock)),
  metadata: optional(TurnMetadata)
})
/** A message of another session or agent. @since 0.1.0 @category schemas */
export const PeerInput = Schema.TaggedStruct("Peer", {
  header: InputHeader,
  convention: optional(PeerConvention),
  body: Schema.String,
  payload: optional(Json),
  blocks: optional(Schema.Array(ContentBlock)),
  handlingMode: optional(HandlingMode)
})
/** One step of a flow. @since 0.1.0 @category schemas */
export const FlowStepInput = Schema.TaggedStruct("FlowStep", {
  header: InputHeader,
  stepId: Name,
  instructions: Schema.String,
  blocks: optional(Schema.Array(ContentBlock)),
  metadata: optional(TurnMetadata)
})
/** An event from outside. @since 0.1.0 @category schemas */
export const ExternalEventInput = Schema.TaggedStruct("ExternalEvent", {
  header: InputHeader,
  eventType: Name,
  payload: Json,
  blocks: optional(Schema.Array(ContentBlock)),
  handlingMode: HandlingMode,
  renderMetadata: optional(RenderMetadata)
})
/** A request to continue without new content. @since 0.1.0 @category schemas */
export const ContinuationInput = Schema.TaggedStruct("Continuation", {
  header: InputHeader,
  reason: Schema.String,
  handlingMode: HandlingMode,
  requestId: optional(Name)
})
/** An event of a background operation. @since 0.1.0 @category schemas */
export const OperationInput = Schema.TaggedStruct("Operation", {
  header: InputHeader,
  operationId: Name,
  event: Json
})

/** Every input that a session accepts. @since 0.1.0 @category schemas */
export const Input = Schema.Union(
  PromptInput,
  PeerInput,
  FlowStepInput,
  ExternalEventInput,
  ContinuationInput,
  OperationInput
)
/** @since 0.1.0 @category models */
export type Input = typeof Input.Type

/** The nine kinds of inputs in the policy table, in wire spelling. @since 0.1.0 @category schemas */
export const InputKind = Schema.Literal(
  "prompt",
  "peer_message",
  "peer_request",
  "peer_response_progress",
  "peer_response_terminal",
  "flow_step",
  "external_event",
  "continuation",
  "operation"
)
/** @since 0.1.0 @category models */
export type InputKind = typeof InputKind.Type

const peerKind = (convention: PeerConvention | undefined): InputKind =>
  convention === undefined ? "peer_message" : `peer_${convention.type}`

/** The kind of an input. @since 0.1.0 @category accessors */
export const kindOf = (input: Input): InputKind => {
  switch (input._tag) {
    case "Prompt":
      return "prompt"
    case "Peer":
      return peerKind(input.convention)
    case "FlowStep":
      return "flow_step"
    case "ExternalEvent":
      return "external_event"
    case "Continuation":
      return "continuation"
    case "Operation":
      return "operation"
  }
}

/** The handling mode that the input requests, if it requests one. @since 0.1.0 @category accessors */
export const handlingModeOf = (input: Input): HandlingMode | undefined => {
  switch (input._tag) {
    case "Prompt":
    case "FlowStep":
      return input.metadata?.handlingMode
    case "Peer":
    case "ExternalEvent":
    case "Continuation":
      return input.handlingMode
    case "Operation":
      return undefined
  }
}

/** Makes a header with the defaults of an operator's durable, visible input. @since 0.1.0 @category constructors */
export const header = (
  id: InputId,
  timestamp: number,
  fields?: Partial<Omit<InputHeader, "id" | "timestamp">>
): InputHeader => ({
  id,
  timestamp,
  source: { type: "operator" },
  durability: "durable",
  visibility: { transcriptEligible: true, operatorEligible: true },
  ...fields
})

/** Makes the input that wakes a session after background operations have ended. @since 0.1.0 @category constructors */
export const detachedCompletion = (id: InputId, timestamp: number): Input => ({
  _tag: "Continuation",
  header: header(id, timestamp, {
    source: { type: "system" },
    durability: "derived",
    visibility: { transcriptEligible: false, operatorEligible: false }
  }),
  reason: "detached_background_op_completed",
  handlingMode: "steer"
})
