/**
 * Which model a session uses, what that model can do, and how a session changes to another one.
 *
 * The LLM calls of the machine use these values; hosts give and receive them. Invariant: an auth binding names
 * credentials and does not contain them.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { Json, optional } from "./Json.js"
import { Name } from "./Text.js"
import { SessionToolVisibilityState, ToolFilter } from "./ToolVisibility.js"

/** The provider that serves a model. @since 0.1.0 @category schemas */
export const LlmProvider = Schema.Literal("anthropic", "openai", "gemini", "self_hosted", "other")
/** @since 0.1.0 @category models */
export type LlmProvider = typeof LlmProvider.Type

/** The name of credentials that are stored outside of the session. @since 0.1.0 @category schemas */
export const LlmAuthBinding = Schema.Struct({
  realm: Name,
  binding: Name,
  profile: optional(Name)
})
/** @since 0.1.0 @category models */
export type LlmAuthBinding = typeof LlmAuthBinding.Type

/** Which model a session uses, and with which parameters. @since 0.1.0 @category schemas */
export const SessionLlmIdentity = Schema.Struct({
  model: Name,
  provider: LlmProvider,
  /** only with `self_hosted` */
  selfHostedServerId: optional(Name),
  providerParams: optional(Json),
  authBinding: optional(LlmAuthBinding)
})
/** @since 0.1.0 @category models */
export type SessionLlmIdentity = typeof SessionLlmIdentity.Type

/** The fields to change. An absent field keeps its value; a clear flag removes the value. @since 0.1.0 @category schemas */
export const SessionLlmReconfigureRequest = Schema.Struct({
  model: optional(Name),
  /** one of `LlmProvider`; together with `model` only */
  provider: optional(Name),
  providerParams: optional(Json),
  clearProviderParams: optional(Schema.Boolean),
  authBinding: optional(LlmAuthBinding),
  clearAuthBinding: optional(Schema.Boolean)
})
/** @since 0.1.0 @category models */
export type SessionLlmReconfigureRequest = typeof SessionLlmReconfigureRequest.Type

/** What a model can do. @since 0.1.0 @category schemas */
export const SessionLlmCapabilitySurface = Schema.Struct({
  supportsTemperature: Schema.Boolean,
  supportsThinking: Schema.Boolean,
  supportsReasoning: Schema.Boolean,
  inlineVideo: Schema.Boolean,
  vision: Schema.Boolean,
  imageInput: Schema.Boolean,
  /** whether a tool may answer with an image: without it the tool `view_image` is hidden */
  imageToolResults: Schema.Boolean,
  supportsWebSearch: Schema.Boolean,
  imageGeneration: Schema.Boolean,
  realtime: Schema.Boolean,
  /** seconds */
  callTimeoutSecs: optional(Schema.NonNegativeInt)
})
/** @since 0.1.0 @category models */
export type SessionLlmCapabilitySurface = typeof SessionLlmCapabilitySurface.Type

/** Whether the capabilities of a session's model are known. @since 0.1.0 @category schemas */
export const SessionLlmCapabilitySurfaceStatus = Schema.Literal("resolved", "unresolved")
/** @since 0.1.0 @category models */
export type SessionLlmCapabilitySurfaceStatus = typeof SessionLlmCapabilitySurfaceStatus.Type

/** What a host knows about a session before a change. @since 0.1.0 @category schemas */
export const HydratedSessionLlmState = Schema.Struct({
  currentIdentity: SessionLlmIdentity,
  /** the tool visibility that the host saw last; absent if the host does not keep it */
  currentVisibilityState: optional(SessionToolVisibilityState),
  currentCapabilitySurface: optional(SessionLlmCapabilitySurface),
  capabilitySurfaceStatus: SessionLlmCapabilitySurfaceStatus,
  /** names of all tools that the session has, visible or not */
  baseToolNames: Schema.Array(Name)
})
/** @since 0.1.0 @category models */
export type HydratedSessionLlmState = typeof HydratedSessionLlmState.Type

/** The target that a host resolves from a request. @since 0.1.0 @category schemas */
export const ResolvedSessionLlmReconfigure = Schema.Struct({
  targetIdentity: SessionLlmIdentity,
  targetCapabilitySurface: SessionLlmCapabilitySurface
})
/** @since 0.1.0 @category models */
export type ResolvedSessionLlmReconfigure = typeof ResolvedSessionLlmReconfigure.Type

/** How the model's capabilities changed. @since 0.1.0 @category schemas */
export const SessionLlmCapabilityDelta = Schema.Struct({
  previous: optional(SessionLlmCapabilitySurface),
  current: optional(SessionLlmCapabilitySurface),
  changed: Schema.Boolean
})
/** @since 0.1.0 @category models */
export type SessionLlmCapabilityDelta = typeof SessionLlmCapabilityDelta.Type

/** How the change affected the session's tools. @since 0.1.0 @category schemas */
export const SessionToolVisibilityDelta = Schema.Struct({
  previousCapabilityBaseFilter: ToolFilter,
  currentCapabilityBaseFilter: ToolFilter,
  committedVisibleSetChanged: Schema.Boolean,
  revisionBumped: Schema.Boolean
})
/** @since 0.1.0 @category models */
export type SessionToolVisibilityDelta = typeof SessionToolVisibilityDelta.Type

/** What a reconfiguration did. @since 0.1.0 @category schemas */
export const SessionLlmReconfigureReport = Schema.Struct({
  previousIdentity: SessionLlmIdentity,
  newIdentity: SessionLlmIdentity,
  capabilityDelta: SessionLlmCapabilityDelta,
  toolVisibilityDelta: SessionToolVisibilityDelta,
  /** always false in a report: a reconfiguration that was rolled back fails */
  rollbackOccurred: Schema.Boolean
})
/** @since 0.1.0 @category models */
export type SessionLlmReconfigureReport = typeof SessionLlmReconfigureReport.Type

/** A model as a registry lists it. @since 0.1.0 @category models */
export interface LlmModelEntry {
  readonly model: string
  readonly provider: LlmProvider
  /** the server that serves it; only with `self_hosted` */
  readonly selfHostedServerId?: string
  /** absent if its capabilities are unknown */
  readonly capabilities?: SessionLlmCapabilitySurface
}

/** The list of models that a host knows. @since 0.1.0 @category models */
export type LlmModelRegistry = ReadonlyArray<LlmModelEntry>

/** The capabilities of a model without any; a start for registries. @since 0.1.0 @category constructors */
export const noCapabilities: SessionLlmCapabilitySurface = {
  supportsTemperature: false,
  supportsThinking: false,
  supportsReasoning: false,
  inlineVideo: false,
  vision: false,
  imageInput: false,
  imageToolResults: false,
  supportsWebSearch: false,
  imageGeneration: false,
  realtime: false
}
