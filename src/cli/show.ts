/**
 * The command `meerkat show`. It reads beside a running process.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { inputColumns } from "./inputs.js"
import { json as document, line, table, time } from "./output.js"
import { ofSession } from "./reading.js"

/** `meerkat show`: shows a session and its open inputs. @since 0.1.0 @category commands */
export const show = ofSession(
  "show",
  "Show a session and its open inputs.",
  (reads, session, { json }) =>
    Effect.gen(function*() {
      const inputs = Array.from(yield* Stream.runCollect(reads.inputs(session.runtimeId)))
      const open = inputs.filter(({ phase }) => phase === "queued" || phase === "staged")
      if (json) return yield* document({ ...session, inputs: inputs.length, open })
      yield* line(`session   ${session.sessionId}`)
      yield* line(`state     ${session.lifecycle}`)
      yield* line(`messages  ${session.messageCount}`)
      yield* line(`inputs    ${inputs.length}, ${open.length} of them open`)
      yield* line(`updated   ${time(session.updatedAt)} UTC`)
      if (open.length > 0) yield* Effect.zipRight(line(""), table(inputColumns.header, open.map(inputColumns.row)))
    })
)
