/**
 * The command `meerkat sessions`. It reads beside a running process.
 *
 * @since 0.1.0
 */
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import type { StoredSession } from "../../services/RuntimeStore.js"
import * as Common from "./options.js"
import { time } from "./output.js"
import { type Columns, listed, look } from "./reading.js"

/** `meerkat sessions`: lists the sessions of a store. @since 0.1.0 @category commands */
export const sessions = Command.make(
  "sessions",
  {
    db: Common.db,
    json: Common.json,
    pending: Options.boolean("pending").pipe(Options.withDescription("Only sessions with open inputs."))
  },
  ({ db, json, pending }) => look(db, (reads) => listed(json, reads.sessions({ pendingOnly: pending }), columns))
).pipe(Command.withDescription("List the sessions of a store."))

// --- internal ---

const columns: Columns<StoredSession> = {
  header: ["SESSION", "STATE", "PENDING", "MESSAGES", "UPDATED (UTC)"],
  row: (session) => [
    session.sessionId,
    session.lifecycle,
    String(session.pendingInputs),
    String(session.messageCount),
    time(session.updatedAt)
  ]
}
