/**
 * The rows that a memory store holds for each runtime. `RuntimeStoreMemory` owns and writes them; an image of them
 * outlives the layer, and a simulation reads them from outside. A table that was never used is absent.
 *
 * @since 0.1.0
 */
import type { StoredReceipt } from "../services/RuntimeStore.js"
import type { InputId, OperationId } from "../src/domain/Ids.js"
import type { InputRecord, TerminalInput } from "../src/domain/InputRecord.js"
import type { Json } from "../src/domain/Json.js"
import type { Message } from "../src/domain/Message.js"
import type { CompletionEntry, OperationRecord } from "../src/domain/Operation.js"
import type { RuntimeHead } from "../src/kernel/validateCommit.js"

/** A terminal input and its place among those of its runtime. @since 0.1.0 @category models */
export interface Ended {
  readonly row: TerminalInput
  readonly ordinal: number
}

/** Rows of one runtime. @since 0.1.0 @category models */
export interface Tables {
  head: RuntimeHead
  open?: Map<InputId, InputRecord>
  /** in the order in which they ended */
  ended?: Map<InputId, Ended>
  keys?: Map<string, InputId>
  /** in commit order */
  receipts?: Map<string, StoredReceipt>
  messages?: Array<Message>
  opaque?: Uint8Array | undefined
  operations?: Map<OperationId, OperationRecord>
  feed?: ReadonlyArray<CompletionEntry>
  slices?: Map<string, Json>
}
