/** @since 0.1.0 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { RunId } from "../src/domain/Ids.js"
import type { Clearance } from "../src/domain/RuntimeState.js"
import type { CoreExecutor } from "./CoreExecutor.js"
import type { SessionAuthority } from "./MachineAuthority.js"
import type { SessionOperations } from "./SessionOperations.js"

/** Why a run's fiber is being interrupted; recorded before the interrupt is sent (D17). @since 0.1.0 @category models */
export type InterruptReason = "cancelled" | "requeue" | "destroyed"

/** Why a loop ended. @since 0.1.0 @category models */
export type LoopEnd =
  /** the session takes no more runs from this loop: it is being unregistered, was detached, stopped or destroyed */
  | { readonly _tag: "Released" }
  /** a drain-only loop with nothing left */
  | { readonly _tag: "Drained" }
  /** the session must be opened anew */
  | { readonly _tag: "ReloadRequired"; readonly reason: string }

/** What the owner of an attachment may do to the run in progress. @since 0.1.0 @category models */
export interface RunControl {
  /** the run in progress, if any */
  readonly current: () => RunId | null
  /** records why and interrupts the run's fiber; does not wait */
  readonly interrupt: (reason: InterruptReason) => Effect.Effect<void>
  /** completes when no run is in progress */
  readonly idle: Effect.Effect<void>
}

/**
 * What one session asks the isolation of its machine through. Every access but `turn` is synchronous.
 *
 * @since 0.1.0
 * @category models
 */
export interface IsolationPass {
  /** the clearance that the session has now */
  readonly held: () => Clearance
  /** whether another session had its turn meanwhile: this one starts no other input any more */
  readonly isDue: () => boolean
  /** takes the clearance if it is free; else the session stands in line and keeps its place */
  readonly take: (wanted: Exclude<Clearance, "none">) => boolean
  /** waits until the session has the clearance it asked for; an interruption keeps the place */
  readonly turn: Effect.Effect<void>
  /** gives the clearance back and leaves the line */
  readonly release: () => void
}

/**
 * Keeps suspects of one machine apart: an input whose next crash would use up its budget runs alone among the inputs
 * that were charged with a crash.
 *
 * @since 0.1.0
 * @category models
 */
export interface Isolation {
  readonly pass: () => IsolationPass
}

/** @since 0.1.0 @category models */
export interface LoopOptions {
  readonly authority: SessionAuthority
  readonly executor: CoreExecutor
  /** names the attachment; the kernel refuses commands of an older one */
  readonly token: number
  readonly operations: SessionOperations
  /** of the machine, shared by its sessions */
  readonly isolation: Isolation
  readonly control: (control: RunControl) => void
  /** true once somebody else sees to the end of this loop: no further batch begins */
  readonly released: () => boolean
  /** nothing is left to drain and the claim is given back: called once, as that is published */
  readonly onDrained: () => void
  /** this run was asked to yield; called once per run, synchronously, with the run's fiber on its way */
  readonly onYield: (runId: RunId, reason: string) => void
}

/**
 * Runs one session's loop for one executor: selects and stages a batch, runs it in a child fiber, commits what comes
 * of it, and parks when nothing is selectable. It never polls and holds no timer while idle.
 *
 * @since 0.1.0
 * @category tags
 */
export class RuntimeLoop extends Context.Tag("effect-meerkat/services/RuntimeLoop")<RuntimeLoop, {
  readonly run: (options: LoopOptions) => Effect.Effect<LoopEnd>
}>() {}
