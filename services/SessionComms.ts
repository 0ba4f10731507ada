/** @since 0.1.0 */
import type * as Effect from "effect/Effect"
import type { DrainExitReason, DrainMode, PeerIngressOwner } from "../src/domain/DrainSlot.js"
import type { RuntimeDriverError } from "../src/domain/Errors.js"
import type { SessionId } from "../src/domain/Ids.js"
import type { CommsRuntime } from "./CommsRuntime.js"

/** What is to become of a session's ingress. @since 0.1.0 @category models */
export interface PeerIngressOptions {
  /** false ends the drain; without a runtime it gives the inbox up as well */
  readonly keepAlive: boolean
  readonly commsRuntime?: CommsRuntime
  /** the mob that claims the inbox; it may take it over from the session */
  readonly mobId?: string
  /** `persistentHost` if absent; the other modes end after `drainIdleTimeout` without an input */
  readonly mode?: DrainMode
}

/** How a session takes inputs from its peers, by session id. @since 0.1.0 @category models */
export interface CommsControl {
  /**
   * Says whose inbox the session drains, and whether it does. True only when a task was spawned, or bound to another
   * runtime: the old task has ended before the new one takes anything. Fails `ValidationFailed{Conflict}` for a claim on
   * an inbox that belongs to a mob; then nothing has changed.
   */
  readonly updatePeerIngressContext: (
    sessionId: SessionId,
    options: PeerIngressOptions
  ) => Effect.Effect<boolean, RuntimeDriverError>
  /** The drain is over, for this reason, whoever noticed it: a task that is still there is ended. */
  readonly notifyCommsDrainExited: (
    sessionId: SessionId,
    reason: DrainExitReason
  ) => Effect.Effect<void, RuntimeDriverError>
  /** Ends the drain and waits for its end, at most `teardownTimeout`; called from the drain itself it does not wait. */
  readonly abortCommsDrain: (sessionId: SessionId) => Effect.Effect<void, RuntimeDriverError>
  /** The same for every session. */
  readonly abortCommsDrains: Effect.Effect<void>
  /** Waits for the end of the task that drains now; from that task itself it fails `ValidationFailed{WouldDeadlock}`. */
  readonly waitCommsDrain: (sessionId: SessionId) => Effect.Effect<void, RuntimeDriverError>
  /** Whether the session was ever told to drain an inbox; false for an unknown one. */
  readonly sessionHasComms: (sessionId: SessionId) => Effect.Effect<boolean>
  /** Whose inbox it drains; `Unattached` for an unknown session. */
  readonly peerIngressOwner: (sessionId: SessionId) => Effect.Effect<PeerIngressOwner>
}

/** The same for one session: `session.comms`. @since 0.1.0 @category models */
export interface SessionComms {
  /** Takes inputs from this inbox until told otherwise; see `CommsControl.updatePeerIngressContext`. */
  readonly attach: (
    runtime: CommsRuntime,
    options?: Pick<PeerIngressOptions, "mobId" | "mode">
  ) => Effect.Effect<boolean, RuntimeDriverError>
  /** Ends the drain and gives the inbox up. */
  readonly detach: Effect.Effect<void, RuntimeDriverError>
  /** Ends the drain; the inbox stays the session's. */
  readonly abort: Effect.Effect<void, RuntimeDriverError>
  /** Waits for the end of the task that drains now. */
  readonly wait: Effect.Effect<void, RuntimeDriverError>
  readonly owner: Effect.Effect<PeerIngressOwner, RuntimeDriverError>
  readonly attached: Effect.Effect<boolean, RuntimeDriverError>
}
