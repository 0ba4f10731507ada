/**
 * The state of one session as the kernel holds it: inputs, operations, tools, deferred writes and limits. Only commands
 * produce new states. Every value is immutable.
 *
 * @since 0.1.0
 */
import type * as HashMap from "effect/HashMap"
import type * as SortedMap from "effect/SortedMap"
import type { InputId, OperationId, RuntimeId, SessionId, WaitRequestId } from "./Ids.js"
import type { InputRecord } from "./InputRecord.js"
import type { Json } from "./Json.js"
import type { CompletionEntry, OperationOutcome, OperationRecord } from "./Operation.js"
import type { EpochFacts, SessionHead } from "./RuntimeCommit.js"
import type { Lifecycle, Registration } from "./RuntimeState.js"
import type { SessionToolVisibilityState, ToolCatalogs } from "./ToolVisibility.js"

/**
 * The open inputs of a session. `inputs` is authoritative; `queue`, `steer`, `staged` (admission order) and `keys`
 * index it. Only the kernel's ledger module writes them, always together.
 *
 * @since 0.1.0
 * @category models
 */
export interface Ledger {
  readonly inputs: HashMap.HashMap<InputId, InputRecord>
  readonly queue: SortedMap.SortedMap<number, InputId>
  readonly steer: SortedMap.SortedMap<number, InputId>
  readonly staged: SortedMap.SortedMap<number, InputId>
  readonly keys: HashMap.HashMap<string, InputId>
  /** how many queued inputs drive (D12): with 0 a loop need not look at the inputs that only ride along */
  readonly driving: number
  readonly nextAdmissionSeq: number
  /** inputs with a lower sequence came from the opening image; a hard commit stages them */
  readonly imageSeq: number
}

/** The pending wait-all barrier of a session. @since 0.1.0 @category models */
export interface Barrier {
  readonly requestId: WaitRequestId
  readonly members: ReadonlyArray<OperationId>
  /** copied outcomes of the members that ended, so that retention cannot lose them */
  readonly outcomes: HashMap.HashMap<OperationId, OperationOutcome>
}

/** Background operations of a session and their completion feed. @since 0.1.0 @category models */
export interface Operations {
  readonly records: HashMap.HashMap<OperationId, OperationRecord>
  /** terminal operations in completion order, for retention */
  readonly completed: ReadonlyArray<OperationId>
  readonly feed: ReadonlyArray<CompletionEntry>
  readonly epoch: EpochFacts
  readonly barrier: Barrier | null
}

/** Deferred writes: changes that are published and wait for the next hard commit. @since 0.1.0 @category models */
export interface Dirty {
  readonly inputs: ReadonlyArray<InputId>
  readonly operations: ReadonlyArray<OperationId>
  readonly dropOperations: ReadonlyArray<OperationId>
  readonly cursors: boolean
}

/** The tools that a session shows, and the tools that this process knows. @since 0.1.0 @category models */
export interface Tools {
  readonly visibility: SessionToolVisibilityState
  readonly catalogs: ToolCatalogs
  /** a run activated staged decisions; its boundary stores them, and recovery would compute the same */
  readonly unsaved: boolean
}

/** The complete state of one session in the kernel. @since 0.1.0 @category models */
export interface SessionState {
  readonly sessionId: SessionId
  readonly runtimeId: RuntimeId
  readonly lifecycle: Lifecycle
  readonly registration: Registration
  readonly ledger: Ledger
  readonly silentIntents: ReadonlyArray<string>
  /** the fence of the bindings that `prepareBindings` made; null before that call */
  readonly binding: { readonly fence: number } | null
  readonly operations: Operations
  readonly head: SessionHead
  /** null in a session without any decision about tools */
  readonly tools: Tools | null
  /** further persisted slices by name; an unused slice costs nothing */
  readonly slices: Readonly<Record<string, Json>>
  readonly dirty: Dirty
}

/**
 * Limits of the kernel's rules; `MeerkatMachineConfig` explains them and their defaults.
 *
 * @since 0.1.0
 * @category models
 */
export interface KernelLimits {
  readonly maxAttempts: number
  readonly crashBudget: number
  /** milliseconds for which a terminal input keeps its key; null = without a limit */
  readonly keyRetentionMs: number | null
  /** newest terminal inputs that keep their key; null = all */
  readonly keyRetentionCount: number | null
  readonly maxCompletedOperations: number
  readonly maxConcurrentOperations: number | null
  readonly feedRetention: number
}

/**
 * What a fold of commands may read of the outside world; the worker takes it before the fold.
 *
 * @since 0.1.0
 * @category models
 */
export interface Env {
  /** epoch milliseconds */
  readonly now: number
  /** a fresh id for the continuation that the end of the fold may add (D29) */
  readonly continuationId: InputId
  readonly limits: KernelLimits
}
