/**
 * The command `meerkat run` with its options. Its body is loaded only when the command runs.
 *
 * @since 0.1.0
 */
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Common from "./options.js"

/** `meerkat run`: one turn of a session. @since 0.1.0 @category commands */
export const run = Command.make(
  "run",
  {
    db: Common.db,
    acceptLoss: Common.acceptLoss,
    session: Options.text("session").pipe(
      Options.withPseudoName("ID"),
      Options.optional,
      Options.withDescription("The session to begin or to continue. Default: a new one, whose name is printed.")
    ),
    ...Common.executor,
    key: Common.key,
    json: Common.json,
    prompt: Common.prompt
  },
  (flags) => Effect.flatMap(Effect.promise(() => import("./runTurn.js")), ({ runTurn }) => runTurn(flags))
).pipe(
  Command.withDescription("Run one turn of a session and print the answer.")
)
