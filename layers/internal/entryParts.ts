/**
 * The parts of an entry that few sessions have, as values: operations, drain, model, fibers, bindings.
 *
 * Callers: `entry` holds them in one reference; `drainCell`, `modelCell` and the operations own the transitions of theirs.
 *
 * @since 0.1.0
 */
import type * as Fiber from "effect/Fiber"
import type * as HashMap from "effect/HashMap"
import type { SessionRuntimeBindings } from "../../services/SessionBindings.js"
import type { SessionOperations } from "../../services/SessionOperations.js"
import type { DrainState } from "../../src/domain/DrainSlot.js"
import type { OperationId } from "../../src/domain/Ids.js"
import type { SessionLlmCapabilitySurface, SessionLlmIdentity } from "../../src/domain/LlmIdentity.js"
import type { Cell, SynchronizedCell } from "./cell.js"
import type { AnyFiber } from "./joining.js"

/** The fiber of a process-owned operation. */
export interface OperationFiber {
  readonly fiber: Fiber.RuntimeFiber<void>
  /** the operation is over, or its end is being stored: nothing has to interrupt the fiber any more */
  readonly ended: Cell<boolean>
}

/** One drain. Its id is its fence. */
export interface DrainTask {
  readonly id: number
  readonly fiber: Fiber.RuntimeFiber<void>
}

/** Slot, owner and task of a drain, and every fiber that was started for it. */
export interface DrainFacts extends DrainState {
  readonly task: DrainTask | null
  /** the id of the last task */
  readonly tasks: number
  /** fibers that have not ended: drains, earlier ones too, and their calls of an inbox */
  readonly fibers: ReadonlySet<AnyFiber>
}

export type DrainCell = SynchronizedCell<DrainFacts>

/** What is known of a session's model; null is not known. */
export interface ModelFacts {
  readonly identity: SessionLlmIdentity | null
  readonly surface: SessionLlmCapabilitySurface | null
}

export interface ModelCell {
  readonly facts: SynchronizedCell<ModelFacts>
  /** changes that run or wait for the permit */
  readonly changes: Cell<ReadonlySet<AnyFiber>>
}

/** What few sessions have. Each part is made at its first use. */
export interface Rare {
  /** fibers of process-owned operations */
  readonly operations: HashMap.HashMap<OperationId, OperationFiber>
  readonly operationRegistry: SessionOperations | null
  /** the task that drains the peers' inbox */
  readonly drain: DrainCell | null
  /** what is known of its model */
  readonly model: ModelCell | null
  /** fibers that end the session or a loop of it: a teardown waits for them before it closes anything */
  readonly ends: ReadonlySet<AnyFiber>
  /** calls of an executor's handles in progress; a teardown interrupts and joins them */
  readonly hooks: ReadonlySet<AnyFiber>
  readonly bindings: SessionRuntimeBindings | null
}
