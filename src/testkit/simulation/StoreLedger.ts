/** @since 0.1.0 */
import type { InputId, OperationId, RunId, RuntimeId } from "../../domain/Ids.js"

interface Counts {
  readonly attempts: number
  readonly charged: number
  readonly crashed: number
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
  /** operations in a feed */
  readonly fed: Map<OperationId, number>
  readonly cursors: Map<string, { readonly agentApplied: number; readonly injected: number; readonly lastSeq: number }>
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
  fed: new Map(),
  cursors: new Map(),
  incarnations: new Map()
})
