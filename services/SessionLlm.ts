/** @since 0.1.0 */
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

/** Changing the model of a session while it lives, by session id. @since 0.1.0 @category models */
export interface LlmControl {
  /** Who keeps the models. One per machine: the last one set is used by every change that begins afterwards. */
  readonly setSessionLlmReconfigureHost: (host: SessionLlmReconfigureHostService) => Effect.Effect<void>
  /**
   * Changes the model that a session speaks to: the host is told the identity, the visibility that goes with it, and to
   * store both; then the visibility becomes durable here. Either all of it holds afterwards or, when the call fails,
   * what was before. Needs a binding (`prepareBindings`) and a session that is idle, attached or running; a run in
   * progress goes on.
   *
   * Changes of one session come one after another. A caller that is interrupted before the host is told takes its
   * request back; afterwards it only stops listening. Unregistering or destroying the session undoes what was begun.
   *
   * Fails `Internal` without a host, `ValidationFailed{NoBinding}` without a binding, `NotReady` in another state,
   * `ValidationFailed{WouldDeadlock}` when called by the host on behalf of the same session, and with what the host
   * fails with. If what was begun cannot be undone, the live session is dropped at the host, its capabilities are
   * unknown from then on, and the `Internal` error names both failures.
   */
  readonly reconfigureSessionLlmIdentity: (
    sessionId: SessionId,
    request: SessionLlmReconfigureRequest
  ) => Effect.Effect<SessionLlmReconfigureReport, RuntimeDriverError>
  /** What the session's model can do, as the host last said; none when that is unknown. */
  readonly resolvedSessionLlmCapabilities: (
    sessionId: SessionId
  ) => Effect.Effect<Option.Option<SessionLlmCapabilitySurface>, RuntimeDriverError>
}

/** The same for one session: `session.llm`. @since 0.1.0 @category models */
export interface SessionLlm {
  /** Changes the model; see `LlmControl.reconfigureSessionLlmIdentity`. */
  readonly reconfigure: (
    request: SessionLlmReconfigureRequest
  ) => Effect.Effect<SessionLlmReconfigureReport, RuntimeDriverError>
  /** What the model can do; none when that is unknown. */
  readonly capabilities: Effect.Effect<Option.Option<SessionLlmCapabilitySurface>, RuntimeDriverError>
  /** The model, as the host last said; none before the first change in this process, and when that is unknown. */
  readonly identity: Effect.Effect<Option.Option<SessionLlmIdentity>, RuntimeDriverError>
}
