/**
 * The command `meerkat resume` with its options. Its body is loaded only when the command runs.
 *
 * @since 0.1.0
 */
import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Common from "./options.js"

/** `meerkat resume`: runs the open inputs. @since 0.1.0 @category commands */
export const resume = Command.make(
  "resume",
  {
    db: Common.db,
    acceptLoss: Common.acceptLoss,
    ...Common.executor,
    json: Common.json,
    sessions: Common.session.pipe(Args.repeated)
  },
  (flags) => Effect.flatMap(Effect.promise(() => import("./runPending.js")), ({ runPending }) => runPending(flags))
).pipe(Command.withDescription("Run the open inputs of the named or of all sessions, one session after the other."))
