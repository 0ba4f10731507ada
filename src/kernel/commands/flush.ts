/** @since 0.1.0 */
import * as Either from "effect/Either"
import type { Command } from "../../domain/Command.js"
import { foldDirty } from "../round.js"

/** Writes the soft facts that are due, when no hard commit came along to take them (D11). @since 0.1.0 @category commands */
export const flushDirty: Command<void> = {
  name: "flushDirty",
  decide: (state) => Either.right({ ...foldDirty(state), reply: undefined })
}
