/** @since 0.1.0 */
import type * as Deferred from "effect/Deferred"
import type * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type { CoreExecutor } from "../../services/CoreExecutor.js"
import type { SessionAuthority } from "../../services/MachineAuthority.js"
import type { UnregisterReport } from "../../services/MeerkatMachine.js"
import type { InterruptReason, LoopEnd, RunControl } from "../../services/RuntimeLoop.js"
import type { SessionRuntimeBindings } from "../../services/SessionBindings.js"
import type { SessionOperations } from "../../services/SessionOperations.js"
import type { InterruptHandle } from "../../services/SessionRuns.js"
import type { ControlFailed, RuntimeDriverError } from "../../src/domain/Errors.js"
import type { OperationId, RunId, SessionId } from "../../src/domain/Ids.js"
import type { DrainCell } from "./drainCell.js"
import type { ModelCell } from "./modelCell.js"

/** A live loop and what belongs to it. */
export interface Attachment {
  readonly token: number
  readonly scope: Scope.CloseableScope
  readonly executor: CoreExecutor
  readonly loop: Fiber.RuntimeFiber<LoopEnd>
  control: RunControl | null
  /** the calls of its last two hooks, once they have begun: each is called once, whoever ends the attachment */
  stopped: Deferred.Deferred<void> | null
  cleaned: Deferred.Deferred<void> | null
  /** a stop, destroy or unregister sees to its end: no further batch, and the loop's own epilogue keeps out of it */
  takenOver: boolean
  /** its loop found nothing left to drain: it is not the session's any more, though its fiber may still be ending */
  givenBack: boolean
}

/** The fiber of a process-owned operation. */
export interface OperationFiber {
  readonly fiber: Fiber.RuntimeFiber<void>
  /** the operation is over, or what came of its work is being stored: nobody has to tell the fiber any more */
  ended: boolean
}

/** Work in the session's run slot that is not the loop's and runs in a fiber of its caller. */
export interface Guest {
  readonly runId: RunId
  /** records why and interrupts the work; does not wait */
  readonly interrupt: (reason: InterruptReason) => Effect.Effect<void>
  /** completes once the session was told how the work ended */
  readonly settled: Deferred.Deferred<void>
}

/** How the last service turn ended, so that a repeated call is told the same. */
export interface EndedTurn {
  readonly runId: RunId
  readonly how: "completed" | "failed" | "cancelled"
}

/**
 * One registered session. Identity is the entry, not the id: after the first lookup an operation holds the entry, so no
 * late code can act on a successor. Every field is written synchronously.
 */
export interface Entry {
  readonly sessionId: SessionId
  readonly authority: SessionAuthority
  readonly scope: Scope.CloseableScope
  /** fibers of process-owned operations */
  readonly operations: Map<OperationId, OperationFiber>
  /** the face of its operations; made for the first who asks */
  operationRegistry: SessionOperations | null
  /** the task that drains the peers' inbox */
  readonly drain: DrainCell
  /** what is known of its model; null as long as nobody asked for another one */
  model: ModelCell | null
  attachment: Attachment | null
  /** its loop has ended, but a closing commit failed: its end is due when the teardown is repeated */
  left: Attachment | null
  /** fibers that see to the end of the session, or of a loop: a teardown waits for them before it closes anything */
  ends: Set<Fiber.RuntimeFiber<unknown, unknown>> | null
  /** calls of an executor's handles that are going on; a teardown joins those that are left */
  hooks: Set<Fiber.RuntimeFiber<void, ControlFailed>> | null
  guest: Guest | null
  endedTurn: EndedTurn | null
  /** what to call to have a run ended while no executor is attached */
  interruptHandle: InterruptHandle | null
  /** made for the first who asks: most sessions are never bound */
  bindings: SessionRuntimeBindings | null
  /** an attachment is being made; losers of the race wait for it */
  claim: Deferred.Deferred<void> | null
  tokens: number
  /** somebody beside the call that registered it came upon it: that call does not take it away again when it fails */
  shared: boolean
  /** unregistration in progress; everybody who comes gets its result */
  closing: Deferred.Deferred<UnregisterReport, RuntimeDriverError> | null
  /** its closing commit is asked for: a change of an operation would not be stored any more, and is refused */
  closed: boolean
  removed: boolean
}

/** The result of an unregistration, as data. */
export type Unregistered = Exit.Exit<UnregisterReport, RuntimeDriverError>
