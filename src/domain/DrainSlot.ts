/**
 * The slot that a session has for the task that drains its peers' inbox. It is live state only: it is not stored, and
 * a session that is registered anew begins with an unused one.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * How long a drain lives: `persistentHost` until it is ended, and it may be spawned again after a failure; the others
 * until nothing came for `drainIdleTimeout`.
 *
 * @since 0.1.0
 * @category models
 */
export type DrainMode = "timed" | "attachedSession" | "persistentHost"

/** Why a drain ended. @since 0.1.0 @category schemas */
export const DrainExitReason = Schema.Literal("idleTimeout", "dismissed", "failed", "aborted", "sessionShutdown")
/** @since 0.1.0 @category models */
export type DrainExitReason = typeof DrainExitReason.Type

/** Runtimes are told apart by what they are; `runtimeId` is the name the machine gave one. @since 0.1.0 @category models */
export type DrainSlot =
  | { readonly _tag: "Inactive" }
  /** claimed; its predecessor has not ended yet */
  | { readonly _tag: "Starting"; readonly mode: DrainMode; readonly runtimeId: string }
  | { readonly _tag: "Running"; readonly mode: DrainMode; readonly runtimeId: string }
  /** a persistent host failed; the next update of the ingress context spawns it again */
  | { readonly _tag: "ExitedRespawnable"; readonly mode: "persistentHost"; readonly runtimeId: string }
  | { readonly _tag: "Stopped"; readonly mode: DrainMode }

/** Whose inbox it is that the session takes inputs from. @since 0.1.0 @category models */
export type PeerIngressOwner =
  | { readonly _tag: "Unattached" }
  | { readonly _tag: "SessionOwned"; readonly runtimeId: string }
  | { readonly _tag: "MobOwned"; readonly runtimeId: string; readonly mobId: string }

/** Slot and owner of one session. @since 0.1.0 @category models */
export interface DrainState {
  readonly slot: DrainSlot
  readonly owner: PeerIngressOwner
}

/** As the snapshot of a session shows it. @since 0.1.0 @category models */
export interface DrainSnapshot {
  readonly phase: DrainSlot["_tag"]
  readonly mode: DrainMode | null
  readonly owner: PeerIngressOwner
  /** its fiber has not ended */
  readonly taskLive: boolean
}

/** A session that nobody has asked to drain anything. @since 0.1.0 @category constructors */
export const initial: DrainState = { slot: { _tag: "Inactive" }, owner: { _tag: "Unattached" } }

/** Claimed or running: there is a task. @since 0.1.0 @category guards */
export const isActive = (slot: DrainSlot): slot is Extract<DrainSlot, { readonly _tag: "Starting" | "Running" }> =>
  slot._tag === "Starting" || slot._tag === "Running"

/** The mode of a slot that was ever used. @since 0.1.0 @category accessors */
export const modeOf = (slot: DrainSlot): DrainMode | null => slot._tag === "Inactive" ? null : slot.mode
