/**
 * Runs of the loop, and of `acceptInputAndRun`: how a batch is staged, and the four ways in which its run can end.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import { bounded } from "../../domain/BoundedText.js"
import type { Command, RunFailure, RunOutput, StagedRun } from "../../domain/Command.js"
import type { CompletionOutcome } from "../../domain/Completion.js"
import type { RunId } from "../../domain/Ids.js"
import type { AbandonReason, InputRecord } from "../../domain/InputRecord.js"
import type { RunBoundaryReceipt } from "../../domain/Receipt.js"
import type { Clearance, Running } from "../../domain/RuntimeState.js"
import type { Env, KernelLimits, SessionState } from "../../domain/SessionState.js"
import { loopOf, membersOf, runOf } from "../facts.js"
import { setAgentApplied } from "../feed.js"
import { charged, isRetired, lead, selectBatch } from "../selection.js"
import { clearanceOfBatch } from "../suspicion.js"
import type { Fold, Step } from "../table.js"
import * as Table from "../table.js"
import { answered, external, internal } from "./command.js"
import { beginning, stagedRun } from "./staging.js"

/** What a loop stages its next batch with. @since 0.1.0 @category models */
export interface StageOptions {
  /** the attachment that asks */
  readonly token: number
  readonly runId: RunId
  /** what the machine grants: inputs that need more are passed over */
  readonly clearance: Clearance
  /** only the lead of the batch, since the store refused the batch as a whole */
  readonly leadOnly?: boolean
}

/**
 * Stages the next batch for a run of the loop that holds `token`. It answers null when no batch may run now: no input
 * drives under this clearance, another run has the slot, or the session is being taken down. The row of a suspect says
 * that it runs alone.
 *
 * @since 0.1.0
 * @category commands
 */
export const stage = (options: StageOptions): Command<StagedRun | null> =>
  internal("stage", (fold, env) => {
    const { lifecycle, registration } = fold.state
    if (lifecycle._tag === "Running" || registration._tag === "Draining") return Either.right(Table.answer(fold, null))
    if (loopOf(fold.state) !== options.token) return Either.left(Table.refuse(fold, "loop_live"))
    const selected = selectBatch(fold.state, env.now, env.limits, options.clearance)
    const batch = options.leadOnly === true ? leadOf(selected) : selected
    if (batch.length === 0) return Either.right(Table.answer(fold, null))
    const alone = clearanceOfBatch(batch, env.limits) === "alone"
    const begun = Table.fire(fold, "BeginRun", { ...beginning(options.runId, batch, env), token: options.token })
    return answered(
      each(begun, "Stage", batch, ({ inputId }) => ({ inputId, runId: options.runId, at: env.now, alone })),
      ({ state }) => stagedRun(state, options.runId)
    )
  })

/**
 * Ends the lead of the next batch, which the store refuses to stage: what is queued behind it can run then. Does nothing
 * when nothing would be staged.
 *
 * @since 0.1.0
 * @category commands
 */
export const endUnstageable = (
  options: Pick<StageOptions, "token" | "clearance"> & { readonly detail: string }
): Command<void> =>
  internal("endUnstageable", (fold, env) => {
    const { lifecycle, registration } = fold.state
    const isFree = lifecycle._tag !== "Running" && registration._tag !== "Draining" &&
      loopOf(fold.state) === options.token
    const doomed = isFree ? leadOf(selectBatch(fold.state, env.now, env.limits, options.clearance)) : []
    const reason: AbandonReason = { type: "failed" }
    const outcome: CompletionOutcome = { _tag: "Abandoned", reason: `its run cannot be stored: ${options.detail}` }
    const abandoned = each(
      Either.right(fold),
      "Abandon",
      doomed,
      ({ inputId }) => ({ inputId, at: env.now, reason, outcome })
    )
    return answered(abandoned, () => undefined)
  })

/**
 * The run ended well: its receipt, its body and the end of its inputs are one commit.
 *
 * @since 0.1.0
 * @category commands
 */
export const commitRun = (options: { readonly runId: RunId; readonly output: RunOutput }): Command<void> =>
  internal("commitRun", (fold, env) => {
    const { output, runId } = options
    const batch = batchOf(fold.state, runId)
    const receipt = receiptOf(fold.state, runId, output)
    const sequence = receipt === null ? null : receipt.sequence
    const { outcome } = output
    const consumed = each(
      Either.right(fold),
      "Consume",
      batch,
      ({ inputId }) => ({ inputId, at: env.now, sequence, outcome })
    )
    const committed = Table.thenFire(consumed, "CommitRun", { runId, outcome, receipt, part: output.session })
    return answered(
      Either.map(committed, (ended) => Table.absorb(ended, setAgentApplied(ended.state, output.agentApplied))),
      () => undefined
    )
  })

/**
 * The run failed (D10): its driving members are charged and retried later, alone if they were many, until their budget
 * is used up; a failure that is not worth a retry ends them at once. Members that only rode along go back as they were.
 *
 * @since 0.1.0
 * @category commands
 */
export const failRun = (options: { readonly runId: RunId; readonly failure: RunFailure }): Command<void> =>
  internal("failRun", (fold, env) => {
    const { failure, runId } = options
    const batch = batchOf(fold.state, runId)
    const accounts = new Set(charged(batch, isRetired(fold.state)))
    const retried = failure.retryable ? Array.from(accounts).filter((record) => isSpared(record, env.limits)) : []
    const spared = new Set(retried)
    const { notBefore, outcome } = failure
    const at = env.now
    const solo = batch.length > 1
    const riders = batch.filter((record) => !accounts.has(record))
    const doomed = Array.from(accounts).filter((record) => !spared.has(record))
    const back = each(Either.right(fold), "Requeue", riders, ({ inputId }) => ({ inputId, at }))
    const later = each(back, "Retry", retried, ({ inputId }) => ({ inputId, at, notBefore, solo }))
    const accounted = each(later, "AbandonCharged", doomed, (record) => ({
      inputId: record.inputId,
      at,
      outcome,
      reason: doom(record, failure)
    }))
    const willRetry = retried.length > 0
    return answered(Table.thenFire(accounted, "FailRun", { runId, detail: failure.detail, willRetry }), () => undefined)
  })

/** The run was cancelled: its inputs are not tried again. @since 0.1.0 @category commands */
export const cancelRun = (options: { readonly runId: RunId; readonly reason: string }): Command<void> =>
  internal("cancelRun", (fold, env) => {
    const reason: AbandonReason = { type: "cancelled" }
    const outcome: CompletionOutcome = { _tag: "Cancelled" }
    const abandoned = each(
      Either.right(fold),
      "Abandon",
      batchOf(fold.state, options.runId),
      ({ inputId }) => ({ inputId, at: env.now, reason, outcome })
    )
    const { runId } = options
    return answered(
      Table.thenFire(abandoned, "CancelRun", { runId, reason: bounded(options.reason) }),
      () => undefined
    )
  })

/** The run was ended from outside: its inputs go back as they were, charged to nobody. @since 0.1.0 @category commands */
export const requeueRun = (options: { readonly runId: RunId }): Command<void> =>
  internal("requeueRun", (fold, env) => answered(requeued(fold, env, options.runId), () => undefined))

/** @since 0.1.0 @category combinators */
export const requeued = (fold: Fold, env: Env, runId: RunId): Step =>
  Table.thenFire(
    each(Either.right(fold), "Requeue", batchOf(fold.state, runId), ({ inputId }) => ({ inputId, at: env.now })),
    "RequeueRun",
    { runId }
  )

/**
 * The receipt of a run that ended well. Ephemeral inputs are not listed; one that lists none is written only for a body
 * that changed (D20).
 *
 * @since 0.1.0
 * @category constructors
 */
export const receiptOf = (state: SessionState, runId: RunId, output: RunOutput): RunBoundaryReceipt | null => {
  const batch = batchOf(state, runId)
  const contributingInputIds = batch.flatMap(({ durability, inputId }) => durability === "ephemeral" ? [] : [inputId])
  if (contributingInputIds.length === 0 && output.session === null) return null
  return {
    runId,
    sequence: runOf(state, runId)?.sequence ?? 0,
    boundary: lead(batch)?.semantics.boundary ?? "run_start",
    contributingInputIds,
    conversationDigest: output.conversationDigest,
    messageCount: output.messageCount
  }
}

/** Asks that the current run be interrupted; once per run (D16, D17). @since 0.1.0 @category commands */
export const requestCancel = (
  options: { readonly reason: string }
): Command<{ readonly runId: RunId; readonly first: boolean }> => request("requestCancel", "RequestCancel", options)

/** Asks that the current run end at its next boundary; once per run (D16). @since 0.1.0 @category commands */
export const requestYield = (
  options: { readonly reason: string }
): Command<{ readonly runId: RunId; readonly first: boolean }> => request("requestYield", "RequestYield", options)

// --- internal ---

const batchOf = (state: SessionState, runId: RunId): ReadonlyArray<InputRecord> => {
  const run = runOf(state, runId)
  return run === undefined ? [] : membersOf(state, run)
}

const leadOf = (batch: ReadonlyArray<InputRecord>): ReadonlyArray<InputRecord> => {
  const first = lead(batch)
  return first === undefined ? [] : [first]
}

const each = <K extends keyof Table.Triggers>(
  step: Step,
  on: K,
  batch: ReadonlyArray<InputRecord>,
  payload: (record: InputRecord) => Table.Triggers[K]
): Step => Either.flatMap(step, (fold) => Table.fireEach(fold, on, batch.map(payload)))

const isSpared = (record: InputRecord, { maxAttempts }: KernelLimits): boolean => record.charged + 1 < maxAttempts

const doom = (record: InputRecord, { retryable }: RunFailure): AbandonReason =>
  retryable ? { type: "max_attempts_exhausted", attempts: record.charged + 1 } : { type: "failed" }

const current = ({ lifecycle }: SessionState): Running | undefined =>
  lifecycle._tag === "Running" ? lifecycle : undefined

const request = (
  name: string,
  on: "RequestCancel" | "RequestYield",
  options: { readonly reason: string }
): Command<{ readonly runId: RunId; readonly first: boolean }> =>
  external(name, (fold) =>
    Either.flatMap(Table.fire(fold, on, { reason: bounded(options.reason) }), (marked) => {
      const run = current(marked.state)
      return run === undefined
        ? Either.left(Table.refuse(fold, "run_active"))
        : Either.right(Table.answer(marked, { runId: run.runId, first: marked.state !== fold.state }))
    }))
