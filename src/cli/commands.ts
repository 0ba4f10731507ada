/**
 * The command tree of the program. `main` runs it.
 *
 * @since 0.1.0
 */
import * as Command from "@effect/cli/Command"
import { history } from "./history.js"
import { inputs } from "./inputs.js"
import { ops } from "./ops.js"
import { receipts } from "./receipts.js"
import { resume } from "./resume.js"
import { run } from "./run.js"
import { send } from "./send.js"
import { sessions } from "./sessions.js"
import { show } from "./show.js"

/** All commands of the program. @since 0.1.0 @category commands */
export const meerkat = Command.make("meerkat").pipe(
  Command.withDescription("Durable, resumable sessions for any agent that reads a prompt and writes an answer."),
  Command.withSubcommands([run, send, resume, sessions, show, inputs, receipts, ops, history])
)
