/** @since 0.1.0 */
import type { InputId, OperationId, RequestId, RunId, RuntimeId } from "../../domain/Ids.js"
import type { CompletionEntry } from "../../domain/Operation.js"
import type { RuntimeCommit } from "../../domain/RuntimeCommit.js"

interface Counts {
  readonly attempts: number
  readonly charged: number
  readonly crashed: number
}

/** What the kernel staged for a run. @since 0.1.0 @category models */
export interface StagedFacts {
  readonly inputs: ReadonlyArray<InputId>
  readonly completions: ReadonlyArray<CompletionEntry>
}

/** What follows from all acknowledged commits. @since 0.1.0 @category models */
export interface StoreLedger {
  readonly counts: Map<InputId, Counts>
  readonly ended: Map<InputId, string>
  /** sequence of the next receipt of a run */
  readonly receipts: Map<RunId, number>
  /** the run whose receipt names an input */
  readonly consumed: Map<InputId, RunId>
  /** the committed run that was given a feed entry, by `<epoch> <seq>` */
  readonly delivered: Map<string, RunId>
  /** operations that were ever stored, and where */
  readonly operations: Map<OperationId, RuntimeId>
  /** operations in a feed */
  readonly fed: Map<OperationId, number>
  readonly cursors: Map<string, { readonly agentApplied: number; readonly injected: number; readonly lastSeq: number }>
  /** what was staged for each run: a run may be found committed by the next process only */
  readonly staged: Map<RunId, StagedFacts>
  /** commits by their request id: each is counted once */
  readonly seen: Set<RequestId>
  /** commits of which somebody was told that they did not happen */
  readonly denied: Set<RequestId>
  /** runtimes whose last incarnation ended in good order: it was unregistered, and all it wrote was acknowledged */
  readonly tidy: Set<RuntimeId>
  /** what was decided about an input when it was admitted, and never changes */
  readonly stamps: Map<InputId, string>
  /** what was handed to the store and not answered, newest last: an answer may come too late, a process die before it */
  readonly pending: Map<RuntimeId, Array<RuntimeCommit>>
  /** the newest incarnation of a runtime */
  readonly incarnations: Map<RuntimeId, number>
}

/** @since 0.1.0 @category constructors */
export const make = (): StoreLedger => ({
  counts: new Map(),
  ended: new Map(),
  receipts: new Map(),
  consumed: new Map(),
  delivered: new Map(),
  operations: new Map(),
  fed: new Map(),
  cursors: new Map(),
  staged: new Map(),
  seen: new Set(),
  denied: new Set(),
  tidy: new Set(),
  stamps: new Map(),
  pending: new Map(),
  incarnations: new Map()
})
