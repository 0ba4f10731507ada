/**
 * The command `meerkat history`. It reads beside a running process.
 *
 * @since 0.1.0
 */
import * as Stream from "effect/Stream"
import { textOf } from "../domain/Message.js"
import { json as document, line, visible } from "./output.js"
import { ofSession } from "./reading.js"

/** `meerkat history`: prints the messages of a session. @since 0.1.0 @category commands */
export const history = ofSession(
  "history",
  "Print the conversation of a session.",
  (reads, { runtimeId }, { json }) =>
    Stream.runForEach(
      reads.history(runtimeId),
      (message) => json ? document(message) : line(visible(`${message.role}: ${textOf(message.blocks)}`))
    )
)
