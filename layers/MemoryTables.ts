/**
 * The rows that a memory store holds for each runtime. `RuntimeStoreMemory` owns and writes them; an image of them
 * can outlive the layer, and the simulation reads it. Invariant: a table that was never used is absent.
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

/** A terminal input and its position among the terminal inputs of its runtime. @since 0.1.0 @category models */
export interface Ended {
  readonly row: TerminalInput
  readonly ordinal: number
}

/** The rows of one runtime. @since 0.1.0 @category models */
export interface Tables {
  head: RuntimeHead
  open?: Map<InputId, InputRecord>
  /** terminal inputs, in the order of their ends */
  ended?: Map<InputId, Ended>
  keys?: Map<string, InputId>
  /** receipts, in commit order */
  receipts?: Map<string, StoredReceipt>
  messages?: Array<Message>
  opaque?: Uint8Array | undefined
  operations?: Map<OperationId, OperationRecord>
  feed?: ReadonlyArray<CompletionEntry>
  slices?: Map<string, Json>
}
