/**
 * The process-side state of a registered session, as tagged unions.
 *
 * It says which parts of the process exist for the session: whether the entry is open, closing or removed, who holds the
 * loop slot, which run belongs to a caller. What the session itself is (lifecycle, inputs, operations) is durable state
 * and belongs to the authority.
 *
 * Callers: `transitions` writes these values, everything else reads them.
 *
 * Where the types differ from a plain list of flags, a combination that must not exist cannot be written:
 * - an entry cannot be open and closing, or removed and open;
 * - a slot cannot be claimed and attached;
 * - a failed close always says which attachment it left, and has none in its slot;
 * - a loop that was given back cannot be ended a second time.
 *
 * `Closing` keeps `shared`, because a failed close restores it. `Removed` keeps `done`, because a caller that still holds the
 * entry gets the report of its one teardown. There is no ending "unregister": the presence says it, in one place.
 *
 * @since 0.1.0
 */
import type * as Deferred from "effect/Deferred"
import type * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type { CoreExecutor } from "../../services/CoreExecutor.js"
import type { UnregisterReport } from "../../services/MeerkatMachine.js"
import type { InterruptReason, LoopEnd, RunControl } from "../../services/RuntimeLoop.js"
import type { InterruptHandle } from "../../services/SessionRuns.js"
import type { RuntimeDriverError } from "../../src/domain/Errors.js"
import type { RunId } from "../../src/domain/Ids.js"
import type { Cell } from "./cell.js"

/** The result of a teardown; every caller of the same teardown waits for the same one. */
export type Closed = Deferred.Deferred<UnregisterReport, RuntimeDriverError>

/** Whether the entry is the live one of its id. */
export type Presence =
  /** `shared`: a second call acquired it, so the call that registered it no longer takes it away when it fails */
  | { readonly _tag: "Open"; readonly shared: boolean }
  /** `sealed`: the closing commit was submitted; later changes of operations are refused, because they would be lost */
  | {
    readonly _tag: "Closing"
    readonly done: Closed
    readonly sealed: boolean
    readonly left: Attachment | null
    readonly shared: boolean
  }
  /**
   * The teardown failed. The loop of `left` has ended, or still waits for the store to take the end of its run; the next
   * teardown ends it, runs its hooks and closes its scope.
   */
  | { readonly _tag: "CloseFailed"; readonly left: Attachment | null; readonly shared: boolean }
  | { readonly _tag: "Removed"; readonly done: Closed }

/** Who holds the session's loop slot. */
export type LoopSlot =
  /** also while the fiber of a loop that was given back still ends */
  | { readonly _tag: "Free" }
  /** An executor is being made, or the end of a loop is being committed. Other callers wait for `done`. */
  | {
    readonly _tag: "Claimed"
    readonly token: number
    readonly by: "attach" | "detach"
    readonly done: Deferred.Deferred<void>
  }
  | { readonly _tag: "Attached"; readonly attachment: Attachment }

/** A run in the session's run slot that a caller executes in its own fiber: a service turn, or an inline run. */
export interface Guest {
  readonly runId: RunId
  /** records why and interrupts the work; does not wait */
  readonly interrupt: (reason: InterruptReason) => Effect.Effect<void>
  /** completes when the session knows how the work ended */
  readonly settled: Deferred.Deferred<void>
}

/** How the last service turn ended; a repeated call gets the same answer. */
export interface EndedTurn {
  readonly runId: RunId
  readonly how: "completed" | "failed" | "cancelled"
}

/** The whole state of an entry. */
export interface EntryState {
  readonly presence: Presence
  readonly slot: LoopSlot
  /** the last token that an attachment got */
  readonly tokens: number
  readonly guest: Guest | null
  readonly endedTurn: EndedTurn | null
  /** interrupts a run while no executor is attached */
  readonly interruptHandle: InterruptHandle | null
}

/** The state of one attachment. */
export interface AttachmentPhase {
  /** Why no further batch begins. `givenBack`: the loop drained the session and left its slot by itself. */
  readonly ending: "none" | "stop" | "destroy" | "givenBack"
  /** the run in progress, as the loop hands it out */
  readonly control: RunControl | null
  /** the call of the stop hook, and of the cleanup hook, once it has begun */
  readonly stopped: Deferred.Deferred<void> | null
  readonly cleaned: Deferred.Deferred<void> | null
}

/** A live loop and what belongs to it. */
export interface Attachment {
  readonly token: number
  readonly scope: Scope.CloseableScope
  readonly executor: CoreExecutor
  readonly loop: Fiber.RuntimeFiber<LoopEnd>
  readonly phase: Cell<AttachmentPhase>
}
