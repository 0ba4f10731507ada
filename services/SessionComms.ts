/**
 * How a session takes inputs from its peers: the calls by session id and the methods of one session. The machine
 * implements both; one drain task per session reads one inbox.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type { DrainExitReason, DrainMode, PeerIngressOwner } from "../src/domain/DrainSlot.js"
import type { RuntimeDriverError } from "../src/domain/Errors.js"
import type { SessionId } from "../src/domain/Ids.js"
import type { CommsRuntime } from "./CommsRuntime.js"

/** The wanted state of a session's ingress. @since 0.1.0 @category models */
export interface PeerIngressOptions {
  /** false ends the drain; without `commsRuntime` it also releases the inbox */
  readonly keepAlive: boolean
  readonly commsRuntime?: CommsRuntime
  /** the mob that claims the inbox; a mob may take the inbox over from the session */
  readonly mobId?: string
  /** `persistentHost` if absent; the other modes end after `drainIdleTimeout` without an input */
  readonly mode?: DrainMode
}

/** How a session takes inputs from its peers, by session id. @since 0.1.0 @category models */
export interface CommsControl {
  /**
   * Sets which inbox the session drains, and whether it drains. Returns true only if the call spawned a task or bound
   * it to another runtime; the old task has ended before the new one takes an input. Fails `ValidationFailed{Conflict}`
   * for a claim on an inbox that belongs to a mob, and changes nothing.
   */
  readonly updatePeerIngressContext: (
    sessionId: SessionId,
    options: PeerIngressOptions
  ) => Effect.Effect<boolean, RuntimeDriverError>
  /** Records the end of the drain with this reason. A task that still runs is ended. */
  readonly notifyCommsDrainExited: (
    sessionId: SessionId,
    reason: DrainExitReason
  ) => Effect.Effect<void, RuntimeDriverError>
  /** Ends the drain and waits for its end, at most `teardownTimeout`. A call from the drain itself does not wait. */
  readonly abortCommsDrain: (sessionId: SessionId) => Effect.Effect<void, RuntimeDriverError>
  /** Ends the drains of all sessions. */
  readonly abortCommsDrains: Effect.Effect<void>
  /** Waits for the end of the current drain task. A call from that task fails `ValidationFailed{WouldDeadlock}`. */
  readonly waitCommsDrain: (sessionId: SessionId) => Effect.Effect<void, RuntimeDriverError>
  /** Returns whether the session was ever told to drain an inbox; false for an unknown session. */
  readonly sessionHasComms: (sessionId: SessionId) => Effect.Effect<boolean>
  /** Returns the owner of the inbox that the session drains; `Unattached` for an unknown session. */
  readonly peerIngressOwner: (sessionId: SessionId) => Effect.Effect<PeerIngressOwner>
}

/** The same calls for one session: `session.comms`. @since 0.1.0 @category models */
export interface SessionComms {
  /** Drains this inbox until a later call changes that; see `CommsControl.updatePeerIngressContext`. */
  readonly attach: (
    runtime: CommsRuntime,
    options?: Pick<PeerIngressOptions, "mobId" | "mode">
  ) => Effect.Effect<boolean, RuntimeDriverError>
  /** Ends the drain and releases the inbox. */
  readonly detach: Effect.Effect<void, RuntimeDriverError>
  /** Ends the drain; the session keeps the inbox. */
  readonly abort: Effect.Effect<void, RuntimeDriverError>
  /** Waits for the end of the current drain task. */
  readonly wait: Effect.Effect<void, RuntimeDriverError>
  readonly owner: Effect.Effect<PeerIngressOwner, RuntimeDriverError>
  readonly attached: Effect.Effect<boolean, RuntimeDriverError>
}
