/**
 * The command `meerkat send` with its options. Its body is loaded only when the command runs.
 *
 * @since 0.1.0
 */
import * as Command from "@effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Common from "./options.js"

/** `meerkat send`: queues a prompt. @since 0.1.0 @category commands */
export const send = Command.make(
  "send",
  {
    db: Common.db,
    acceptLoss: Common.acceptLoss,
    key: Common.key,
    json: Common.json,
    session: Common.session,
    prompt: Common.prompt
  },
  (flags) => Effect.flatMap(Effect.promise(() => import("./sendPrompt.js")), ({ sendPrompt }) => sendPrompt(flags))
).pipe(Command.withDescription("Queue a prompt durably, without running it, and print the id of its input."))
