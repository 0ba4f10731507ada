/** @since 0.1.0 */
import * as Schema from "effect/Schema"
import { Json, optional } from "./Json.js"
import { Name } from "./Text.js"
import { SessionToolVisibilityState, ToolFilter } from "./ToolVisibility.js"

/** Who serves a model. @since 0.1.0 @category schemas */
export const LlmProvider = Schema.Literal("anthropic", "openai", "gemini", "self_hosted", "other")
/** @since 0.1.0 @category models */
export type LlmProvider = typeof LlmProvider.Type

/** Names credentials that are kept elsewhere. @since 0.1.0 @category schemas */
export const LlmAuthBinding = Schema.Struct({
  realm: Name,
  binding: Name,
  profile: optional(Name)
})
/** @since 0.1.0 @category models */
export type LlmAuthBinding = typeof LlmAuthBinding.Type

/** Which model a session speaks to, and how. @since 0.1.0 @category schemas */
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

/** What is to change. A field that is absent stays as it is; a clear flag removes what is there. @since 0.1.0 @category schemas */
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

/** Whether the surface of a session's model is known. @since 0.1.0 @category schemas */
export const SessionLlmCapabilitySurfaceStatus = Schema.Literal("resolved", "unresolved")
/** @since 0.1.0 @category models */
export type SessionLlmCapabilitySurfaceStatus = typeof SessionLlmCapabilitySurfaceStatus.Type

/** What a host knows of a session before a change. @since 0.1.0 @category schemas */
export const HydratedSessionLlmState = Schema.Struct({
  currentIdentity: SessionLlmIdentity,
  /** the visibility that the host last saw; absent when it keeps none */
  currentVisibilityState: optional(SessionToolVisibilityState),
  currentCapabilitySurface: optional(SessionLlmCapabilitySurface),
  capabilitySurfaceStatus: SessionLlmCapabilitySurfaceStatus,
  /** names of all tools that the session has, visible or not */
  baseToolNames: Schema.Array(Name)
})
/** @since 0.1.0 @category models */
export type HydratedSessionLlmState = typeof HydratedSessionLlmState.Type

/** What a request comes to. @since 0.1.0 @category schemas */
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

/** What the change made of the session's tools. @since 0.1.0 @category schemas */
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
  /** the server that has it; only with `self_hosted` */
  readonly selfHostedServerId?: string
  /** absent when nothing is known of what it can do */
  readonly capabilities?: SessionLlmCapabilitySurface
}

/** The models that a host knows; a plain list. @since 0.1.0 @category models */
export type LlmModelRegistry = ReadonlyArray<LlmModelEntry>

/** A model of which nothing is promised; for registries to start from. @since 0.1.0 @category constructors */
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
