/** @since 0.1.0 */
import type { Turn } from "../../services/CoreExecutor.js"
import { textOf } from "../../src/domain/Message.js"

/**
 * What a turn says, as one text: its context first, then its messages, a blank line between them. The text of a single
 * prompt is that prompt, unchanged.
 *
 * @since 0.1.0
 * @category accessors
 */
export const promptOf = (turn: Pick<Turn, "appends" | "contexts">): string =>
  [
    ...turn.contexts.map((context) => context.text),
    ...turn.appends.map((message) => textOf(message.blocks))
  ].join("\n\n")
