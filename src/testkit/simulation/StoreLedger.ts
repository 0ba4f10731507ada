/**
 * What the acknowledged commits of a simulation add up to. The store monitor maintains it, and the audits compare it
 * with the store.
 *
 * @since 0.1.0
 */
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

/** The sum of all acknowledged commits. @since 0.1.0 @category models */
export interface StoreLedger {
  readonly counts: Map<InputId, Counts>
  readonly ended: Map<InputId, string>
  /** sequence of the next receipt of a run */
  readonly receipts: Map<RunId, number>
  /** the run whose receipt names an input */
  readonly consumed: Map<InputId, RunId>
  /** the committed run that received a feed entry, by `<epoch> <seq>` */
  readonly delivered: Map<string, RunId>
  /** every operation that was ever stored, and its runtime */
  readonly operations: Map<OperationId, RuntimeId>
  /** operations in a feed */
  readonly fed: Map<OperationId, number>
  readonly cursors: Map<string, { readonly agentApplied: number; readonly injected: number; readonly lastSeq: number }>
  /** what was staged for each run: perhaps only the next process finds its commit */
  readonly staged: Map<RunId, StagedFacts>
  /** commits by request id, so that each is counted once */
  readonly seen: Set<RequestId>
  /** commits that a caller was told did not happen */
  readonly denied: Set<RequestId>
  /** runtimes whose last incarnation was unregistered after all its writes were acknowledged */
  readonly tidy: Set<RuntimeId>
  /** the decisions about an input at its admission, which never change */
  readonly stamps: Map<InputId, string>
  /** commits without an answer yet, newest last: the answer may come too late, or the process may die before */
  readonly pending: Map<RuntimeId, Array<RuntimeCommit>>
  /** the newest incarnation of a runtime */
  readonly incarnations: Map<RuntimeId, number>
}

/** Makes an empty ledger. @since 0.1.0 @category constructors */
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
