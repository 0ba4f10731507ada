/**
 * The text of a turn, for executors that take one text.
 *
 * @since 0.1.0
 */
import type { Turn } from "../../services/CoreExecutor.js"
import { textOf } from "../../src/domain/Message.js"

/**
 * Returns a turn as one text: its context, then its messages, separated by blank lines. A single prompt is returned
 * unchanged.
 *
 * @since 0.1.0
 * @category accessors
 */
export const promptOf = (turn: Pick<Turn, "appends" | "contexts">): string =>
  [
    ...turn.contexts.map((context) => context.text),
    ...turn.appends.map((message) => textOf(message.blocks))
  ].join("\n\n")
