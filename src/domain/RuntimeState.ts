/** @since 0.1.0 */
import * as Schema from "effect/Schema"
import type { InputId, RunId } from "./Ids.js"

/** The visible state of a session. @since 0.1.0 @category schemas */
export const RuntimeState = Schema.Literal("idle", "attached", "running", "retired", "stopped", "destroyed")
/** @since 0.1.0 @category models */
export type RuntimeState = typeof RuntimeState.Type

/** What is stored of it (D27): whether a loop is attached or runs is no durable fact. @since 0.1.0 @category schemas */
export const PersistedRuntimeState = Schema.Literal("idle", "retired", "stopped", "destroyed")
/** @since 0.1.0 @category models */
export type PersistedRuntimeState = typeof PersistedRuntimeState.Type

/** Who occupies the single run slot of a session. @since 0.1.0 @category models */
export type RunOwner = "loop" | "service" | "inline"

/**
 * What the machine grants to a session that stages a batch:
 * - `none`: inputs without a crash charge;
 * - `shared`: accused inputs, too. Many sessions share this clearance;
 * - `alone`: suspects, too. No other session has `shared` or `alone` meanwhile.
 *
 * @since 0.1.0
 * @category models
 */
export type Clearance = "none" | "shared" | "alone"

/** A request to a run in progress; it belongs to that run and dies with it (D16). @since 0.1.0 @category models */
export interface RunRequest {
  readonly reason: string
}

/** The active run. @since 0.1.0 @category models */
export interface Running {
  readonly _tag: "Running"
  readonly runId: RunId
  readonly returnTo: "Idle" | "Attached" | "Retired"
  readonly owner: RunOwner
  /** contributors in batch order; empty for a service turn */
  readonly inputIds: ReadonlyArray<InputId>
  /** sequence of the next receipt of this run, dense from 0 (D20) */
  readonly sequence: number
  readonly startedAt: number
  readonly cancel: RunRequest | null
  readonly yieldRequest: RunRequest | null
}

/**
 * Lifecycle of a live session. `Idle` means no live loop, `Attached` a live loop without a run.
 *
 * @since 0.1.0
 * @category models
 */
export type Lifecycle =
  | { readonly _tag: "Idle" }
  | { readonly _tag: "Attached" }
  | Running
  | { readonly _tag: "Retired" }
  | { readonly _tag: "Stopped" }
  | { readonly _tag: "Destroyed" }

/**
 * Where the session stands with its loop. `token` names one attachment; a late act of an older one is refused.
 *
 * @since 0.1.0
 * @category models
 */
export type Registration =
  | { readonly _tag: "Queuing" }
  | { readonly _tag: "Attaching"; readonly token: number }
  | { readonly _tag: "Active"; readonly token: number; readonly drainOnly: boolean }
  | { readonly _tag: "Draining"; readonly token: number | null }

/** @since 0.1.0 @category constructors */
export const idle: Lifecycle = { _tag: "Idle" }
/** @since 0.1.0 @category constructors */
export const attached: Lifecycle = { _tag: "Attached" }
/** @since 0.1.0 @category constructors */
export const retired: Lifecycle = { _tag: "Retired" }
/** @since 0.1.0 @category constructors */
export const stopped: Lifecycle = { _tag: "Stopped" }
/** @since 0.1.0 @category constructors */
export const destroyed: Lifecycle = { _tag: "Destroyed" }

const names = {
  Idle: "idle",
  Attached: "attached",
  Running: "running",
  Retired: "retired",
  Stopped: "stopped",
  Destroyed: "destroyed"
} as const

/** What callers see: a drain run looks `retired` from outside. @since 0.1.0 @category accessors */
export const visible = (lifecycle: Lifecycle): RuntimeState =>
  lifecycle._tag === "Running" && lifecycle.returnTo === "Retired" ? "retired" : names[lifecycle._tag]

/** The one normalising codec, outwards (D27). @since 0.1.0 @category accessors */
export const persisted = (lifecycle: Lifecycle): PersistedRuntimeState => {
  switch (lifecycle._tag) {
    case "Idle":
    case "Attached":
      return "idle"
    case "Running":
      return lifecycle.returnTo === "Retired" ? "retired" : "idle"
    case "Retired":
      return "retired"
    case "Stopped":
      return "stopped"
    case "Destroyed":
      return "destroyed"
  }
}
