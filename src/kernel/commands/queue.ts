/**
 * The commands by which callers edit a session's queue, and the list of silent intents. The machine submits them.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import type { Command, Rejection } from "../../domain/Command.js"
import type { CompletionOutcome } from "../../domain/Completion.js"
import type { InputId } from "../../domain/Ids.js"
import type { AbandonReason } from "../../domain/InputRecord.js"
import * as Ledger from "../Ledger.js"
import type { Fold, Step } from "../table.js"
import * as Table from "../table.js"
import { answered, external } from "./command.js"

/** Cancels a queued input; fails for any other (D22). @since 0.1.0 @category commands */
export const retract = (inputId: InputId): Command<void> =>
  external("retract", (fold, env) => {
    const reason: AbandonReason = { type: "cancelled" }
    const outcome: CompletionOutcome = { _tag: "Cancelled" }
    return answered(
      Table.thenFire(editable(fold, inputId), "Abandon", { inputId, at: env.now, reason, outcome }),
      () => undefined
    )
  })

/**
 * Moves a queued input to the steer lane, where it keeps its admission order (D22). A held input stays held and runs
 * with the next steer batch. `moved` is false if it was in that lane already.
 *
 * @since 0.1.0
 * @category commands
 */
export const promote = (inputId: InputId): Command<{ readonly moved: boolean }> =>
  external("promote", (fold, env) =>
    answered(
      Table.thenFire(editable(fold, inputId), "Promote", { inputId, at: env.now }),
      ({ state }) => ({ moved: state !== fold.state })
    ))

/**
 * Sets the intents of peer requests that start no turn. A stopped session ignores it; a destroyed one refuses it.
 *
 * @since 0.1.0
 * @category commands
 */
export const setSilentIntents = (intents: ReadonlyArray<string>): Command<ReadonlyArray<string>> =>
  external("setSilentIntents", (fold) =>
    answered(
      Table.fire(fold, "SetSilentIntents", { intents: Array.from(new Set(intents)).sort() }),
      ({ state }) => state.silentIntents
    ))

// --- internal ---

const editable = (fold: Fold, inputId: InputId): Step => {
  const record = Ledger.get(fold.state.ledger, inputId)
  return record?.status.type === "queued"
    ? Table.fire(fold, "EditQueue", {})
    : Either.flatMap(
      Table.fire(fold, "EditQueue", {}),
      () => Either.left(notQueued(fold, inputId, record?.status.type ?? "unknown"))
    )
}

const notQueued = (fold: Fold, inputId: InputId, phase: string): Rejection => ({
  _tag: "Invalid",
  command: fold.command,
  detail: { _tag: "InputNotQueued", inputId, phase }
})
