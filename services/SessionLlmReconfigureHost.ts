/** @since 0.1.0 */
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
 * Who keeps the models of live sessions: the part of an application that holds a client per session, and stores which
 * model a session speaks to. The machine decides whether a change is admitted, in which order the host is told, and what
 * is undone when a step fails.
 *
 * A call that fails says that it changed nothing. When a call dies, is interrupted, or does not end within `hookTimeout`,
 * the machine takes its effect as unknown and undoes it as well. Calls for one session never overlap, unless one of
 * them ignores its interruption. They run in fibers of the machine, not in the caller's.
 *
 * @since 0.1.0
 * @category models
 */
export interface SessionLlmReconfigureHostService {
  /** What the session's model is now; of a session that is not live at the host, what it would begin with. */
  readonly hydrateSessionLlmState: (
    sessionId: SessionId
  ) => Effect.Effect<HydratedSessionLlmState, RuntimeDriverError>
  /** What a request comes to. Changes nothing; `LlmResolution.resolve` has the usual rules. */
  readonly resolveTargetSessionLlmIdentity: (
    request: SessionLlmReconfigureRequest,
    current: SessionLlmIdentity
  ) => Effect.Effect<ResolvedSessionLlmReconfigure, RuntimeDriverError>
  /** The live session speaks to this model from its next request on. */
  readonly applyLiveSessionLlmIdentity: (
    sessionId: SessionId,
    identity: SessionLlmIdentity
  ) => Effect.Effect<void, RuntimeDriverError>
  /** The live session shows its tools like this; none when the host kept no visibility before. */
  readonly applyLiveSessionToolVisibilityState: (
    sessionId: SessionId,
    state: Option.Option<SessionToolVisibilityState>
  ) => Effect.Effect<void, RuntimeDriverError>
  /** Stores the live session as it is. */
  readonly persistLiveSession: (sessionId: SessionId) => Effect.Effect<void, RuntimeDriverError>
  /** Drops the live session, which could not be brought back to where it was: the next use starts from what is stored. */
  readonly discardLiveSession: (sessionId: SessionId) => Effect.Effect<void, RuntimeDriverError>
}

/**
 * The host, if there is one: without it a session's model cannot be changed, and nothing else is missing. Looked for when
 * the machine's layer is built; `setSessionLlmReconfigureHost` sets it later.
 *
 * @since 0.1.0
 * @category tags
 */
export class SessionLlmReconfigureHost extends Context.Tag("effect-meerkat/services/SessionLlmReconfigureHost")<
  SessionLlmReconfigureHost,
  SessionLlmReconfigureHostService
>() {}
