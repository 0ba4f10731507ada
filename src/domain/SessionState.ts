/** @since 0.1.0 */
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
 * The open inputs of a session. `inputs` is the truth; `queue`, `steer`, `staged` (admission order) and `keys` are
 * indexes of it that only the ledger module of the kernel writes, always together.
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
  /** how many queued inputs drive (D12), so that a loop with none to run need not look at those that only ride along */
  readonly driving: number
  readonly nextAdmissionSeq: number
  /** inputs with a lower sequence came out of the opening image: they are staged by a hard commit */
  readonly imageSeq: number
}

/** The pending wait-all barrier of a session. @since 0.1.0 @category models */
export interface Barrier {
  readonly requestId: WaitRequestId
  readonly members: ReadonlyArray<OperationId>
  /** outcomes of members that ended, copied so that eviction cannot lose them */
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

/** Facts that are published already and ride with the next hard commit (soft facts). @since 0.1.0 @category models */
export interface Dirty {
  readonly inputs: ReadonlyArray<InputId>
  readonly operations: ReadonlyArray<OperationId>
  readonly dropOperations: ReadonlyArray<OperationId>
  readonly cursors: boolean
}

/** Which tools a session shows, and what this process knows of them. @since 0.1.0 @category models */
export interface Tools {
  readonly visibility: SessionToolVisibilityState
  readonly catalogs: ToolCatalogs
  /** a run began with what was staged before it; the store is told with its boundary, and would come to the same */
  readonly unsaved: boolean
}

/** Everything the kernel knows of one session. @since 0.1.0 @category models */
export interface SessionState {
  readonly sessionId: SessionId
  readonly runtimeId: RuntimeId
  readonly lifecycle: Lifecycle
  readonly registration: Registration
  readonly ledger: Ledger
  readonly silentIntents: ReadonlyArray<string>
  /** `prepareBindings` was called: the fence of the bundle it handed out */
  readonly binding: { readonly fence: number } | null
  readonly operations: Operations
  readonly head: SessionHead
  /** null in a session that never decided about its tools */
  readonly tools: Tools | null
  /** further persisted slices by name; a slice that is not used costs nothing */
  readonly slices: Readonly<Record<string, Json>>
  readonly dirty: Dirty
}

/** Limits that rules of the kernel depend on; see `MeerkatMachineConfig` for their meaning and defaults. @since 0.1.0 @category models */
export interface KernelLimits {
  readonly maxAttempts: number
  readonly crashBudget: number
  /** milliseconds a terminal input keeps its key; null = for ever */
  readonly keyRetentionMs: number | null
  /** newest terminal inputs that keep their key; null = all */
  readonly keyRetentionCount: number | null
  readonly maxCompletedOperations: number
  readonly maxConcurrentOperations: number | null
  readonly feedRetention: number
}

/** What a fold of commands may know of the world: taken by the worker before it starts. @since 0.1.0 @category models */
export interface Env {
  /** epoch milliseconds */
  readonly now: number
  /** fresh id for the continuation that the end of the fold may add (D29) */
  readonly continuationId: InputId
  readonly limits: KernelLimits
}
