/**
 * The command `meerkat ops`. It reads beside a running process.
 *
 * @since 0.1.0
 */
import type { OperationRecord } from "../domain/Operation.js"
import { brief, time } from "./output.js"
import { type Columns, listed, ofSession } from "./reading.js"

/** `meerkat ops`: lists the background operations of a session. @since 0.1.0 @category commands */
export const ops = ofSession(
  "ops",
  "List the background operations of a session.",
  (reads, { runtimeId }, { json }) => listed(json, reads.operations(runtimeId), columns)
)

// --- internal ---

const columns: Columns<OperationRecord> = {
  header: ["OPERATION", "NAME", "OWNER", "STATUS", "CREATED (UTC)"],
  row: ({ createdAt, spec, status }) => [
    spec.id,
    brief(spec.displayName, 30),
    spec.owner,
    status,
    time(createdAt)
  ]
}
