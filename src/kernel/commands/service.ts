/**
 * The commands for bindings and service turns: turns that a caller runs in the session's run slot (D26). The
 * service-turn code of the machine submits them.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import { bounded } from "../../domain/BoundedText.js"
import type { Command, RunOutput } from "../../domain/Command.js"
import type { EpochId, RunId } from "../../domain/Ids.js"
import type { OfRun } from "../rows/run.js"
import type { Fold, Step } from "../table.js"
import * as Table from "../table.js"
import { answered, external, internal } from "./command.js"
import { receiptOf } from "./run.js"

/** What identifies a session's bindings. @since 0.1.0 @category models */
export interface BindingFacts {
  readonly fence: number
  readonly epochId: EpochId
}

/** Binds the session. The first fence stays until a reset or recycle. @since 0.1.0 @category commands */
export const prepareBindings = (fence: number): Command<BindingFacts> =>
  external("prepareBindings", (fold) =>
    answered(Table.fire(fold, "Bind", { fence }), ({ state }) => ({
      fence: state.binding?.fence ?? fence,
      epochId: state.operations.epoch.epochId
    })))

/**
 * Accepts if the model may be changed now: the session is bound and idle, attached or running.
 *
 * @since 0.1.0
 * @category commands
 */
export const admitReconfigure: Command<void> = external(
  "admitReconfigure",
  (fold) => answered(Table.fire(fold, "Reconfigure", {}), () => undefined)
)

/**
 * Takes the run slot for a service turn; no batch starts meanwhile. A repeated call for the turn that holds the slot
 * replies `first: false`.
 *
 * @since 0.1.0
 * @category commands
 */
export const beginServiceTurn = (options: { readonly runId: RunId }): Command<{ readonly first: boolean }> =>
  external("beginServiceTurn", (fold, env) =>
    answered(
      Table.fire(fold, "BeginService", { runId: options.runId, inputIds: [], at: env.now }),
      ({ state }) => ({ first: state !== fold.state })
    ))

/** Names a turn by its id; null means the turn that holds the slot. @since 0.1.0 @category models */
export interface OfTurn {
  readonly runId: RunId | null
}

/**
 * Ends the service turn as completed. With an output its body and a receipt are written; without one nothing is.
 *
 * @since 0.1.0
 * @category commands
 */
export const completeServiceTurn = (options: OfTurn & { readonly output?: RunOutput }): Command<OfRun> =>
  ending("completeServiceTurn", options, (fold, { runId }) => {
    const { output } = options
    return Table.fire(fold, "CompleteService", {
      runId,
      outcome: output?.outcome ?? { _tag: "CompletedWithoutResult" },
      receipt: output === undefined ? null : receiptOf(fold.state, runId, output),
      part: output?.session ?? null
    })
  })

/** Ends the service turn as failed; nothing is written. @since 0.1.0 @category commands */
export const failServiceTurn = (options: OfTurn & { readonly detail: string }): Command<OfRun> =>
  ending(
    "failServiceTurn",
    options,
    (fold, { runId }) => Table.fire(fold, "FailService", { runId, detail: bounded(options.detail) })
  )

/** Ends the service turn as cancelled; nothing is written. @since 0.1.0 @category commands */
export const cancelServiceTurn = (options: OfTurn & { readonly reason: string }): Command<OfRun> =>
  ending(
    "cancelServiceTurn",
    options,
    (fold, { runId }) => Table.fire(fold, "CancelService", { runId, reason: bounded(options.reason) })
  )

// --- internal ---

/** Replies which turn ended. Internal, because the owner of a turn may work until the session is gone. */
const ending = (name: string, options: OfTurn, end: (fold: Fold, run: OfRun) => Step): Command<OfRun> =>
  internal(name, (fold) => {
    const { lifecycle } = fold.state
    const runId = options.runId ?? (lifecycle._tag === "Running" ? lifecycle.runId : null)
    return runId === null
      ? Either.left(Table.refuse(fold, "run_active"))
      : answered(end(fold, { runId }), () => ({ runId }))
  })
