/**
 * The calls that change a session's model: by session id, and as methods of one session. The machine implements both
 * with the help of a `SessionLlmReconfigureHost`.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type { RuntimeDriverError } from "../src/domain/Errors.js"
import type { SessionId } from "../src/domain/Ids.js"
import type {
  SessionLlmCapabilitySurface,
  SessionLlmIdentity,
  SessionLlmReconfigureReport,
  SessionLlmReconfigureRequest
} from "../src/domain/LlmIdentity.js"
import type { SessionLlmReconfigureHostService } from "./SessionLlmReconfigureHost.js"

/** Changes the models of live sessions, by session id. @since 0.1.0 @category models */
export interface LlmControl {
  /** Sets the host of the models. A machine has one host: every change that begins afterwards uses the last one set. */
  readonly setSessionLlmReconfigureHost: (host: SessionLlmReconfigureHostService) => Effect.Effect<void>
  /**
   * Changes the session's model. The machine tells the host the new identity and the tool visibility that belongs to
   * it, and asks it to store both. Then the machine commits the visibility. If the call fails, the old model and
   * visibility hold. The session must be bound (`prepareBindings`) and idle, attached or running; a run in progress
   * continues.
   *
   * Changes of one session run in sequence. An interruption withdraws the request if the host was not told yet;
   * afterwards the change continues without the caller. Unregistering or destroying the session undoes an unfinished
   * change.
   *
   * Fails `Internal` without a host, `ValidationFailed{NoBinding}` without a binding, and `NotReady` in another state.
   * Fails `ValidationFailed{WouldDeadlock}` when the host calls it on behalf of the same session. Errors of the host
   * are passed on. If the change cannot be undone, the host drops the live session and its capabilities become unknown.
   * The `Internal` error then names both failures.
   */
  readonly reconfigureSessionLlmIdentity: (
    sessionId: SessionId,
    request: SessionLlmReconfigureRequest
  ) => Effect.Effect<SessionLlmReconfigureReport, RuntimeDriverError>
  /** Returns the capabilities of the session's model, as the host last reported them; none while they are unknown. */
  readonly resolvedSessionLlmCapabilities: (
    sessionId: SessionId
  ) => Effect.Effect<Option.Option<SessionLlmCapabilitySurface>, RuntimeDriverError>
}

/** The same calls for one session: `session.llm`. @since 0.1.0 @category models */
export interface SessionLlm {
  /** Changes the model; see `LlmControl.reconfigureSessionLlmIdentity`. */
  readonly reconfigure: (
    request: SessionLlmReconfigureRequest
  ) => Effect.Effect<SessionLlmReconfigureReport, RuntimeDriverError>
  /** The capabilities of the model; none while they are unknown. */
  readonly capabilities: Effect.Effect<Option.Option<SessionLlmCapabilitySurface>, RuntimeDriverError>
  /** The model as the host last reported it; none before the first change in this process and while it is unknown. */
  readonly identity: Effect.Effect<Option.Option<SessionLlmIdentity>, RuntimeDriverError>
}
