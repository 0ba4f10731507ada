/**
 * The command that writes deferred writes. The session authority submits it when no hard commit took them in time.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import type { Command } from "../../domain/Command.js"
import { foldDirty } from "../round.js"

/** Commits the deferred writes that are due (D11). @since 0.1.0 @category commands */
export const flushDirty: Command<void> = {
  name: "flushDirty",
  decide: (state) => Either.right({ ...foldDirty(state), reply: undefined })
}
