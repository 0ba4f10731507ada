/** @since 0.1.0 */
import * as Command from "@effect/cli/Command"
import { run } from "./run.js"

/** Every command of the program. @since 0.1.0 @category commands */
export const meerkat = Command.make("meerkat").pipe(
  Command.withDescription("Durable, resumable sessions for any agent that reads a prompt and writes an answer."),
  Command.withSubcommands([run])
)
