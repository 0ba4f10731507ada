/**
 * Bindings of a session, and turns that somebody else runs in its run slot (D26).
 *
 * @since 0.1.0
 */
import type { Command } from "../../domain/Command.js"
import type { EpochId, RunId } from "../../domain/Ids.js"
import * as Table from "../table.js"
import { answered, external, internal } from "./command.js"

/** What a bundle of bindings is known by. @since 0.1.0 @category models */
export interface BindingFacts {
  readonly fence: number
  readonly epochId: EpochId
}

/** Hands out the session's binding; the first fence stays until a reset or recycle. @since 0.1.0 @category commands */
export const prepareBindings = (fence: number): Command<BindingFacts> =>
  external("prepareBindings", (fold) =>
    answered(Table.fire(fold, "Bind", { fence }), ({ state }) => ({
      fence: state.binding?.fence ?? fence,
      epochId: state.operations.epoch.epochId
    })))

/** Whether the model may be changed now: the session is bound and not on its way out. @since 0.1.0 @category commands */
export const admitReconfigure: Command<void> = external(
  "admitReconfigure",
  (fold) => answered(Table.fire(fold, "Reconfigure", {}), () => undefined)
)

/** Takes the run slot for a turn of somebody else; no batch starts meanwhile. @since 0.1.0 @category commands */
export const beginServiceTurn = (options: { readonly runId: RunId }): Command<void> =>
  external(
    "beginServiceTurn",
    (fold, env) =>
      answered(Table.fire(fold, "BeginService", { runId: options.runId, inputIds: [], at: env.now }), () => undefined)
  )

/** @since 0.1.0 @category commands */
export const completeServiceTurn = (options: { readonly runId: RunId }): Command<void> =>
  internal("completeServiceTurn", (fold) => answered(Table.fire(fold, "CompleteService", options), () => undefined))

/** @since 0.1.0 @category commands */
export const failServiceTurn = (options: { readonly runId: RunId; readonly detail: string }): Command<void> =>
  internal("failServiceTurn", (fold) => answered(Table.fire(fold, "FailService", options), () => undefined))

/** @since 0.1.0 @category commands */
export const cancelServiceTurn = (options: { readonly runId: RunId; readonly reason: string }): Command<void> =>
  internal("cancelServiceTurn", (fold) => answered(Table.fire(fold, "CancelService", options), () => undefined))
