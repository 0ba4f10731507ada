/** @since 0.1.0 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { RunId } from "../src/domain/Ids.js"
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

/** @since 0.1.0 @category models */
export interface LoopOptions {
  readonly authority: SessionAuthority
  readonly executor: CoreExecutor
  /** names the attachment; the kernel refuses commands of an older one */
  readonly token: number
  readonly operations: SessionOperations
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
