/**
 * The interface of a session's run loop, and of the isolation that the loops of a machine share.
 *
 * `RuntimeLoopLive` implements the loop; the attachment of an executor starts it. Invariants: a session has at most one
 * run at a time; only the owner of the attachment interrupts that run, and records the reason first.
 *
 * @since 0.1.0
 */
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
  /** the session takes no more runs from this loop: it is unregistering, or was detached, stopped or destroyed */
  | { readonly _tag: "Released" }
  /** the loop of a retired session found its queue empty */
  | { readonly _tag: "Drained" }
  /** the session must be opened again */
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
 * The access of one session to the isolation of its machine. Every access except `turn` is synchronous.
 *
 * @since 0.1.0
 * @category models
 */
export interface IsolationPass {
  /** the clearance that the session has now */
  readonly held: () => Clearance
  /** whether another session had its turn meanwhile; if so, this session starts no other input before its own turn */
  readonly isDue: () => boolean
  /** takes the clearance if it is free and returns true; otherwise the session joins the line, or keeps its place there */
  readonly take: (wanted: Exclude<Clearance, "none">) => boolean
  /** waits until the session has the clearance that it asked for; an interrupted wait keeps the place in the line */
  readonly turn: Effect.Effect<void>
  /** returns the clearance and leaves the line */
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

/** What a loop runs with. @since 0.1.0 @category models */
export interface LoopOptions {
  readonly authority: SessionAuthority
  readonly executor: CoreExecutor
  /** names the attachment; the kernel refuses commands of an older one */
  readonly token: number
  readonly operations: SessionOperations
  /** the isolation of the machine, shared by its sessions */
  readonly isolation: Isolation
  /** receives the control of this loop's runs */
  readonly control: (control: RunControl) => void
  /** true once another owner ends this loop: the loop begins no further batch */
  readonly released: () => boolean
  /** called once, when the session publishes that the queue is drained and the claim is released */
  readonly onDrained: () => void
  /** called synchronously, once per run, when this run is asked to yield; the run's fiber has been started */
  readonly onYield: (runId: RunId, reason: string) => void
}

/**
 * Runs one session's loop for one executor: selects and stages a batch, runs it in a child fiber, and commits its end.
 * The loop parks when no input is selectable. It never polls and holds no timer while idle.
 *
 * @since 0.1.0
 * @category tags
 */
export class RuntimeLoop extends Context.Tag("effect-meerkat/services/RuntimeLoop")<RuntimeLoop, {
  readonly run: (options: LoopOptions) => Effect.Effect<LoopEnd>
}>() {}
