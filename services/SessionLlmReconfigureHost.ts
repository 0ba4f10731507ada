/**
 * The host of the models: what an application implements so that the machine can change the model of a live session.
 * The machine calls it during `reconfigureSessionLlmIdentity`, one call at a time per session.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type { RuntimeDriverError } from "../src/domain/Errors.js"
import type { SessionId } from "../src/domain/Ids.js"
import type {
  HydratedSessionLlmState,
  ResolvedSessionLlmReconfigure,
  SessionLlmIdentity,
  SessionLlmReconfigureRequest
} from "../src/domain/LlmIdentity.js"
import type { SessionToolVisibilityState } from "../src/domain/ToolVisibility.js"

/**
 * The part of an application that holds an LLM client per session and stores the session's model. The machine decides
 * whether a change is admitted, in which order it calls the host, and what it undoes when a step fails.
 *
 * A call that fails states that it changed nothing. If a call dies, is interrupted, or exceeds `hookTimeout`, the
 * machine treats its effect as unknown and undoes it as well. Calls for one session never overlap, unless a call
 * ignores its interruption. They run in fibers of the machine, not in the caller's fiber.
 *
 * @since 0.1.0
 * @category models
 */
export interface SessionLlmReconfigureHostService {
  /** Returns the current model of the session; for a session unknown to the host, its initial model. */
  readonly hydrateSessionLlmState: (
    sessionId: SessionId
  ) => Effect.Effect<HydratedSessionLlmState, RuntimeDriverError>
  /** Resolves a request to a model, without changing anything; `LlmResolution.resolve` implements the usual rules. */
  readonly resolveTargetSessionLlmIdentity: (
    request: SessionLlmReconfigureRequest,
    current: SessionLlmIdentity
  ) => Effect.Effect<ResolvedSessionLlmReconfigure, RuntimeDriverError>
  /** Makes the live session use this model from its next request. */
  readonly applyLiveSessionLlmIdentity: (
    sessionId: SessionId,
    identity: SessionLlmIdentity
  ) => Effect.Effect<void, RuntimeDriverError>
  /** Sets the tool visibility of the live session; none restores a host that kept no visibility before. */
  readonly applyLiveSessionToolVisibilityState: (
    sessionId: SessionId,
    state: Option.Option<SessionToolVisibilityState>
  ) => Effect.Effect<void, RuntimeDriverError>
  /** Stores the current state of the live session. */
  readonly persistLiveSession: (sessionId: SessionId) => Effect.Effect<void, RuntimeDriverError>
  /** Drops a live session that could not be restored: its next use starts from the stored state. */
  readonly discardLiveSession: (sessionId: SessionId) => Effect.Effect<void, RuntimeDriverError>
}

/**
 * The optional host service. Without a host a session's model cannot be changed; everything else works. The machine's
 * layer looks for it when it is built; `setSessionLlmReconfigureHost` sets it later.
 *
 * @since 0.1.0
 * @category tags
 */
export class SessionLlmReconfigureHost extends Context.Tag("effect-meerkat/services/SessionLlmReconfigureHost")<
  SessionLlmReconfigureHost,
  SessionLlmReconfigureHostService
>() {}
