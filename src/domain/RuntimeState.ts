/**
 * The lifecycle of a session: in the kernel, in the store and as callers see it.
 *
 * The kernel moves a session through these states. Invariant: stores get only what `persisted` returns, and callers only
 * what `visible` returns.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import type { InputId, RunId } from "./Ids.js"

/** The visible state of a session. @since 0.1.0 @category schemas */
export const RuntimeState = Schema.Literal("idle", "attached", "running", "retired", "stopped", "destroyed")
/** @since 0.1.0 @category models */
export type RuntimeState = typeof RuntimeState.Type

/** The stored state of a session. Whether a loop is attached or runs is not stored (D27). @since 0.1.0 @category schemas */
export const PersistedRuntimeState = Schema.Literal("idle", "retired", "stopped", "destroyed")
/** @since 0.1.0 @category models */
export type PersistedRuntimeState = typeof PersistedRuntimeState.Type

/** The owner of a session's single run slot. @since 0.1.0 @category models */
export type RunOwner = "loop" | "service" | "inline"

/**
 * Which inputs a session may stage, as the machine grants it:
 * - `none`: inputs without a crash charge;
 * - `shared`: also accused inputs. Many sessions may have this clearance at once;
 * - `alone`: also suspects. No other session has `shared` or `alone` at the same time.
 *
 * @since 0.1.0
 * @category models
 */
export type Clearance = "none" | "shared" | "alone"

/** A request to a run in progress. It ends with that run (D16). @since 0.1.0 @category models */
export interface RunRequest {
  readonly reason: string
}

/** The active run. @since 0.1.0 @category models */
export interface Running {
  readonly _tag: "Running"
  readonly runId: RunId
  readonly returnTo: "Idle" | "Attached" | "Retired"
  readonly owner: RunOwner
  /** the contributing inputs in batch order; empty for a service turn */
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
 * How a session and its loop are connected. `token` names one attachment; commands of an older attachment are refused.
 *
 * @since 0.1.0
 * @category models
 */
export type Registration =
  | { readonly _tag: "Queuing" }
  | { readonly _tag: "Attaching"; readonly token: number }
  | { readonly _tag: "Active"; readonly token: number; readonly drainOnly: boolean }
  | { readonly _tag: "Draining"; readonly token: number | null }

/** No live loop. @since 0.1.0 @category constructors */
export const idle: Lifecycle = { _tag: "Idle" }
/** A live loop without a run. @since 0.1.0 @category constructors */
export const attached: Lifecycle = { _tag: "Attached" }
/** No further inputs are accepted. @since 0.1.0 @category constructors */
export const retired: Lifecycle = { _tag: "Retired" }
/** Stopped until the next registration. @since 0.1.0 @category constructors */
export const stopped: Lifecycle = { _tag: "Stopped" }
/** Ended for good. @since 0.1.0 @category constructors */
export const destroyed: Lifecycle = { _tag: "Destroyed" }

const names = {
  Idle: "idle",
  Attached: "attached",
  Running: "running",
  Retired: "retired",
  Stopped: "stopped",
  Destroyed: "destroyed"
} as const

/** The state that callers see. A run of a retired session shows as `retired`. @since 0.1.0 @category accessors */
export const visible = (lifecycle: Lifecycle): RuntimeState =>
  lifecycle._tag === "Running" && lifecycle.returnTo === "Retired" ? "retired" : names[lifecycle._tag]

/** The state that the store keeps. It leaves out loops and runs, because they end with the process (D27). @since 0.1.0 @category accessors */
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
