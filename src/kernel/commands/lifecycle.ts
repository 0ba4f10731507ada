/**
 * The lifecycle commands of a session: retire, reset, recycle, recover, stop and destroy. The machine submits them.
 * Invariant: an ended session has no open input and no loop.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import type { Command } from "../../domain/Command.js"
import type { CompletionOutcome } from "../../domain/Completion.js"
import type { AbandonReason, InputRecord } from "../../domain/InputRecord.js"
import type { Env } from "../../domain/SessionState.js"
import { loopOf } from "../facts.js"
import * as Ledger from "../Ledger.js"
import { retireEpoch, terminateOperations } from "../operations.js"
import type { Fold, Step } from "../table.js"
import * as Table from "../table.js"
import { answered, external } from "./command.js"

/** The reasons that waiters receive when a lifecycle command ends their input. @since 0.1.0 @category constructors */
export const reasons = {
  retired: "retired without runtime loop",
  reset: "runtime reset",
  stopped: "runtime stopped",
  destroyed: "runtime destroyed"
} as const

/** The result of `retire`. @since 0.1.0 @category models */
export interface RetireReport {
  readonly inputsAbandoned: number
  /** inputs that will still run, those of the current run included */
  readonly inputsPendingDrain: number
}

/** The result of `reset`, `stop` and `destroy`. @since 0.1.0 @category models */
export interface AbandonReport {
  readonly inputsAbandoned: number
}

/** The result of `recycle`. @since 0.1.0 @category models */
export interface RecycleReport {
  readonly inputsTransferred: number
}

/** The result of `recover`. @since 0.1.0 @category models */
export interface RecoverReport {
  readonly inputsRecovered: number
  readonly inputsAbandoned: number
  readonly inputsRequeued: number
}

/**
 * Retires the session: it accepts no more inputs and drains its queue, held inputs included. Without a loop nothing
 * would drain the queue, so the queued inputs are abandoned (D24). A run in progress ends normally.
 *
 * @since 0.1.0
 * @category commands
 */
export const retire: Command<RetireReport> = external("retire", (fold, env) => {
  const retired = Table.thenFire(Table.fire(fold, "Retire", {}), "SetDrainOnly", { drainOnly: true })
  const doomed = loopOf(fold.state) === null ? queuedOf(fold) : []
  return answered(abandon(retired, env, doomed, "retired"), ({ state }) => ({
    inputsAbandoned: doomed.length,
    inputsPendingDrain: Ledger.size(state.ledger)
  }))
})

/** Abandons every open input and resets the session; loop and body stay. @since 0.1.0 @category commands */
export const reset: Command<AbandonReport> = external("reset", (fold, env) => {
  const open = Ledger.all(fold.state.ledger)
  const fresh = Table.thenFire(Table.fire(fold, "Reset", {}), "SetDrainOnly", { drainOnly: false })
  return answered(abandon(fresh, env, open, "reset"), () => ({ inputsAbandoned: open.length }))
})

/** Resets the session but keeps its queue; revives a retired session. @since 0.1.0 @category commands */
export const recycle: Command<RecycleReport> = external("recycle", (fold) =>
  answered(
    Table.thenFire(Table.fire(fold, "Recycle", {}), "SetDrainOnly", { drainOnly: false }),
    ({ state }) => ({ inputsTransferred: Ledger.size(state.ledger) })
  ))

/** Reports the open inputs. A live session needs no repair, so nothing changes. @since 0.1.0 @category commands */
export const recover: Command<RecoverReport> = external(
  "recover",
  (fold) =>
    answered(Table.fire(fold, "Recover", {}), ({ state }) => ({
      inputsRecovered: Ledger.size(state.ledger),
      inputsAbandoned: 0,
      inputsRequeued: 0
    }))
)

/**
 * Stops the session until it is registered again, and abandons its queue. The table refuses it during a run: the
 * machine waits for the end of the run first.
 *
 * @since 0.1.0
 * @category commands
 */
export const stop: Command<AbandonReport> = external("stop", (fold, env) => {
  const open = Ledger.all(fold.state.ledger)
  const stopped = Table.thenFire(Table.fire(fold, "Stop", {}), "DropLoop", {})
  return answered(abandon(stopped, env, open, "stopped"), () => ({ inputsAbandoned: open.length }))
})

/** Destroys the session for good; a run in progress ends with it (D25). @since 0.1.0 @category commands */
export const destroy: Command<AbandonReport> = external("destroy", (fold, env) => {
  const open = Ledger.all(fold.state.ledger)
  const destroyed = Table.thenFire(Table.fire(fold, "Destroy", {}), "DropLoop", {})
  const terminated = Either.map(abandon(destroyed, env, open, "destroyed"), (ended) => withoutOperations(ended, env))
  return answered(terminated, () => ({ inputsAbandoned: open.length }))
})

// --- internal ---

const queuedOf = ({ state }: Fold): ReadonlyArray<InputRecord> =>
  Ledger.all(state.ledger).filter(({ status }) => status.type === "queued")

const abandon = (
  step: Step,
  env: Env,
  records: ReadonlyArray<InputRecord>,
  why: keyof typeof reasons
): Step => {
  const reason: AbandonReason = { type: why }
  const outcome: CompletionOutcome = { _tag: "RuntimeTerminated", reason: reasons[why] }
  return Either.flatMap(
    step,
    (fold) => Table.fireEach(fold, "Abandon", records.map(({ inputId }) => ({ inputId, at: env.now, reason, outcome })))
  )
}

const withoutOperations = (fold: Fold, env: Env): Fold => {
  const terminated = Table.absorb(
    fold,
    terminateOperations(fold.state, env, reasons.destroyed, { onlyProcessOwned: false })
  )
  return Table.absorb(terminated, retireEpoch(terminated.state))
}
