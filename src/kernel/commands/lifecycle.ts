/**
 * What is done to a session as a whole: retired, reset, recycled, recovered, stopped, destroyed.
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

/** What waiters are told when their input ends with something that happened to its session. @since 0.1.0 @category constructors */
export const reasons = {
  retired: "retired without runtime loop",
  reset: "runtime reset",
  stopped: "runtime stopped",
  destroyed: "runtime destroyed"
} as const

/** @since 0.1.0 @category models */
export interface RetireReport {
  readonly inputsAbandoned: number
  /** inputs that still run, the current ones included */
  readonly inputsPendingDrain: number
}

/** @since 0.1.0 @category models */
export interface AbandonReport {
  readonly inputsAbandoned: number
}

/** @since 0.1.0 @category models */
export interface RecycleReport {
  readonly inputsTransferred: number
}

/** @since 0.1.0 @category models */
export interface RecoverReport {
  readonly inputsRecovered: number
  readonly inputsAbandoned: number
  readonly inputsRequeued: number
}

/**
 * Accepts nothing more and drains what is there, held inputs too; without a loop nobody would, so what is queued is
 * abandoned (D24). A run in progress ends as it would.
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

/** Abandons everything that is queued and begins anew, loop and body as they are. @since 0.1.0 @category commands */
export const reset: Command<AbandonReport> = external("reset", (fold, env) => {
  const open = Ledger.all(fold.state.ledger)
  const fresh = Table.thenFire(Table.fire(fold, "Reset", {}), "SetDrainOnly", { drainOnly: false })
  return answered(abandon(fresh, env, open, "reset"), () => ({ inputsAbandoned: open.length }))
})

/** Begins anew and keeps what is queued; brings a retired session back. @since 0.1.0 @category commands */
export const recycle: Command<RecycleReport> = external("recycle", (fold) =>
  answered(
    Table.thenFire(Table.fire(fold, "Recycle", {}), "SetDrainOnly", { drainOnly: false }),
    ({ state }) => ({ inputsTransferred: Ledger.size(state.ledger) })
  ))

/** Reports what is open; a live session has nothing that needs repair. @since 0.1.0 @category commands */
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
 * Ends the session until it is registered anew; what is queued is abandoned. Refused while a run is going on: the layer
 * waits for its end first.
 *
 * @since 0.1.0
 * @category commands
 */
export const stop: Command<AbandonReport> = external("stop", (fold, env) => {
  const open = Ledger.all(fold.state.ledger)
  const stopped = Table.thenFire(Table.fire(fold, "Stop", {}), "DropLoop", {})
  return answered(abandon(stopped, env, open, "stopped"), () => ({ inputsAbandoned: open.length }))
})

/** Ends the session for good, a run in progress included (D25). @since 0.1.0 @category commands */
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
