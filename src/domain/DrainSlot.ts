/**
 * The drain slot: the state of the task that takes inputs from a session's peer inbox. The drain rules of the kernel
 * change it. It is live state only: it is not stored, and each registration begins with an unused slot.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * How long a drain lives. A `persistentHost` drain lives until it is ended and may be spawned again after a failure.
 * The other modes end after `drainIdleTimeout` without an input.
 *
 * @since 0.1.0
 * @category models
 */
export type DrainMode = "timed" | "attachedSession" | "persistentHost"

/** Why a drain ended. @since 0.1.0 @category schemas */
export const DrainExitReason = Schema.Literal("idleTimeout", "dismissed", "failed", "aborted", "sessionShutdown")
/** Why a drain ended. @since 0.1.0 @category models */
export type DrainExitReason = typeof DrainExitReason.Type

/**
 * The slot. Runtimes are compared by identity; `runtimeId` is the name that the machine gave one.
 *
 * @since 0.1.0
 * @category models
 */
export type DrainSlot =
  | { readonly _tag: "Inactive" }
  /** claimed; the previous task has not ended yet */
  | { readonly _tag: "Starting"; readonly mode: DrainMode; readonly runtimeId: string }
  | { readonly _tag: "Running"; readonly mode: DrainMode; readonly runtimeId: string }
  /** a persistent host failed; the next `updatePeerIngressContext` spawns it again */
  | { readonly _tag: "ExitedRespawnable"; readonly mode: "persistentHost"; readonly runtimeId: string }
  | { readonly _tag: "Stopped"; readonly mode: DrainMode }

/** The owner of the inbox that the session drains. @since 0.1.0 @category models */
export type PeerIngressOwner =
  | { readonly _tag: "Unattached" }
  | { readonly _tag: "SessionOwned"; readonly runtimeId: string }
  | { readonly _tag: "MobOwned"; readonly runtimeId: string; readonly mobId: string }

/** The slot and the owner of one session's inbox. @since 0.1.0 @category models */
export interface DrainState {
  readonly slot: DrainSlot
  readonly owner: PeerIngressOwner
}

/** The drain in the snapshot of a session. @since 0.1.0 @category models */
export interface DrainSnapshot {
  readonly phase: DrainSlot["_tag"]
  readonly mode: DrainMode | null
  readonly owner: PeerIngressOwner
  /** true until the fiber of the task has ended */
  readonly taskLive: boolean
}

/** The state of a session that never drained an inbox. @since 0.1.0 @category constructors */
export const initial: DrainState = { slot: { _tag: "Inactive" }, owner: { _tag: "Unattached" } }

/** True if the slot is claimed or running: a task exists. @since 0.1.0 @category guards */
export const isActive = (slot: DrainSlot): slot is Extract<DrainSlot, { readonly _tag: "Starting" | "Running" }> =>
  slot._tag === "Starting" || slot._tag === "Running"

/** Returns the mode of a slot; null if it was never used. @since 0.1.0 @category accessors */
export const modeOf = (slot: DrainSlot): DrainMode | null => slot._tag === "Inactive" ? null : slot.mode
