/**
 * The command `meerkat receipts`. It reads beside a running process.
 *
 * @since 0.1.0
 */
import type { StoredReceipt } from "../../services/RuntimeStore.js"
import { time } from "./output.js"
import { type Columns, listed, ofSession, summary } from "./reading.js"

/** `meerkat receipts`: lists the committed runs of a session. @since 0.1.0 @category commands */
export const receipts = ofSession(
  "receipts",
  "List the committed runs of a session.",
  (reads, { runtimeId }, { json }) => listed(json, reads.receipts(runtimeId), columns)
)

// --- internal ---

const columns: Columns<StoredReceipt> = {
  header: ["RUN", "SEQ", "INPUTS", "MESSAGES", "COMMITTED (UTC)", "OUTCOME"],
  row: ({ committedAt, outcome, receipt }) => [
    receipt.runId,
    String(receipt.sequence),
    String(receipt.contributingInputIds.length),
    String(receipt.messageCount),
    time(committedAt),
    summary(outcome)
  ]
}
