/**
 * Settlement: makes the end of a run durable, for runs of the loop, inline runs and service turns (D21).
 *
 * The owner of a run calls `settle` once, with the end of the run. Invariants: a result stays in memory until the store
 * commits it or refuses it for good; only one owner tries to commit an end, because a session has one run slot.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type { TurnOutput } from "../../services/CoreExecutor.js"
import type { SessionAuthority, SubmitError } from "../../services/MachineAuthority.js"
import type { MeerkatMachineOptions } from "../../services/MeerkatMachineConfig.js"
import type { InterruptReason } from "../../services/RuntimeLoop.js"
import type { Command, RunOutput, StagedRun } from "../../src/domain/Command.js"
import type { CompletionOutcome } from "../../src/domain/Completion.js"
import type { InputId, RunId } from "../../src/domain/Ids.js"
import type { InputRecord } from "../../src/domain/InputRecord.js"
import type { SessionState } from "../../src/domain/SessionState.js"
import type { CommitError } from "../../src/domain/StoreErrors.js"
import { isNotNow, isUnwritable } from "../../src/domain/StoreErrors.js"
import { cancelRun, commitRun, failRun, requeueRun } from "../../src/kernel/commands/run.js"
import { cancelServiceTurn, completeServiceTurn, failServiceTurn } from "../../src/kernel/commands/service.js"
import { runOf } from "../../src/kernel/facts.js"
import type { Blobs } from "./blobs.js"
import type { Insistence, OnReload } from "./insist.js"
import { insist, insistOrReload, orReload, runGone } from "./insist.js"
import type { Failure } from "./runFailure.js"
import { ofRefusal, unstored } from "./runFailure.js"
import type { RunContext } from "./runOutput.js"
import { toRunOutput } from "./runOutput.js"
import type { Refusal } from "./stored.js"

/** The commands that end a run of one kind. */
export interface Endings {
  readonly commit: (output: RunOutput) => Command<unknown>
  readonly fail: (failure: Failure, notBefore: number) => Command<unknown>
  readonly cancel: (reason: string) => Command<unknown>
  /** puts its inputs back uncharged; a service turn has no inputs and only ends */
  readonly giveBack: (reason: string) => Command<unknown>
}

/** The commands for a run of the loop, or an inline run. */
export const stagedRun = (runId: RunId): Endings => ({
  commit: (output) => commitRun({ runId, output }),
  fail: (failure, notBefore) => failRun({ runId, failure: { ...failure, notBefore } }),
  cancel: (reason) => cancelRun({ runId, reason }),
  giveBack: () => requeueRun({ runId })
})

/** The commands for a service turn. */
export const serviceTurn = (runId: RunId): Endings => ({
  commit: (output) => completeServiceTurn({ runId, output }),
  fail: ({ detail }) => failServiceTurn({ runId, detail }),
  cancel: (reason) => cancelServiceTurn({ runId, reason }),
  giveBack: (reason) => cancelServiceTurn({ runId, reason })
})

/** What is needed to settle an end without a result. */
export interface Ending {
  readonly authority: SessionAuthority
  readonly config: MeerkatMachineOptions
  readonly runId: RunId
  readonly endings: Endings
  /** called before the first pause: the settlement may now last as long as the outage of the store */
  readonly onPause?: () => void
}

/** What is needed to settle a run. */
export interface Settling extends Ending {
  readonly blobs: Pick<Blobs, "ofOutput">
  readonly records: ReadonlyArray<InputRecord>
  /** true if the caller gets a result that the store refuses for good: then the run is put back, without a reload */
  readonly ownResult: boolean
}

/** How a run ended. */
export type End =
  | { readonly _tag: "Output"; readonly output: TurnOutput; readonly context: RunContext }
  /** the run succeeded and writes no body; `command` records that */
  | { readonly _tag: "Done"; readonly command: Command<unknown> }
  | { readonly _tag: "Failed"; readonly failure: Failure }
  | { readonly _tag: "Interrupted"; readonly reason: InterruptReason; readonly why: string }

/** The result of a settlement. `Refused`: no commit can hold the result, so the run was settled as failed. */
export type Settled = { readonly _tag: "Settled" } | { readonly _tag: "Refused"; readonly refusal: Refusal }

/**
 * Makes the end of a run durable. Waits as long as the store says "not now"; see `insist`. Fails if the end could not be
 * committed.
 */
export const settle = (settling: Settling, end: End): Effect.Effect<Settled, SubmitError> => {
  switch (end._tag) {
    case "Output":
      return output(settling, end.output, end.context)
    case "Done":
      return commit(settling, end.command, null, 0)
    case "Failed":
      return fail(settling, end.failure)
    case "Interrupted":
      switch (end.reason) {
        case "cancelled":
          return cancel(settling, end.why)
        case "requeue":
          return giveBack(settling, end.why)
        case "destroyed":
          return Effect.succeed(settled)
      }
  }
}

/** Puts the inputs of a run back into their lanes, uncharged. Does nothing for a run that has ended. */
export const giveBack = (ending: Ending, reason: string): Effect.Effect<Settled, SubmitError> =>
  told(ending, ending.endings.giveBack(reason))

/** Ends the inputs of a run as cancelled. */
export const cancel = (ending: Ending, reason: string): Effect.Effect<Settled, SubmitError> =>
  told(ending, ending.endings.cancel(reason))

/** Returns the sequence of the last feed entry that the run received; 0 if it received none. */
export const agentApplied = ({ completions }: StagedRun): number => completions[completions.length - 1]?.seq ?? 0

/**
 * Interrupts a run that was asked to end before its fiber was known: that request found no fiber to interrupt, and still
 * counts. `isLeaving` says that the session takes no more runs from this owner.
 */
export const catchUp = (
  state: SessionState,
  runId: RunId,
  isLeaving: boolean,
  interrupt: (reason: InterruptReason) => Effect.Effect<void>
): Effect.Effect<void> => {
  if (state.lifecycle._tag === "Destroyed") return interrupt("destroyed")
  if (isLeaving) return interrupt("requeue")
  return (runOf(state, runId)?.cancel ?? null) === null ? Effect.void : interrupt("cancelled")
}

// --- internal ---

const settled: Settled = { _tag: "Settled" }

/** The time of the next attempt: an exponential, capped pause, jittered between 80 and 120 percent (D10). */
const notBefore = (config: MeerkatMachineOptions, charged: number): Effect.Effect<number> =>
  Effect.zipWith(Clock.currentTimeMillis, Random.next, (now, random) => {
    const pause = Duration.toMillis(config.retryBase) * 2 ** Math.min(charged, 30)
    return now + Math.round(Math.min(pause, Duration.toMillis(config.retryCap)) * (0.8 + random * 0.4))
  })

/**
 * The outcomes for the waiters of a batch if the session must be reloaded and its result cannot be committed. They get
 * the result, if it exists, with the error. Without a result they get the reload outcome of all waiters, and the input
 * runs again (D21).
 */
const finalizationFailure =
  (records: ReadonlyArray<InputRecord>, outcome: CompletionOutcome | null): OnReload => (reason) =>
    outcome?._tag !== "Completed" ? [] : records.map((record): readonly [InputId, CompletionOutcome] => [
      record.inputId,
      {
        _tag: "CompletedWithFinalizationFailure",
        result: outcome.result,
        error: { kind: "runtime_apply_failure", terminal: true, outcome: "failed", detail: reason }
      }
    ])

const insistence = (ending: Ending, onReload: OnReload, bytes: number): Insistence => {
  const { authority, config, onPause, runId } = ending
  return {
    authority,
    config,
    released: runGone(authority, runId),
    onReload,
    run: { runId, bytes },
    ...(onPause === undefined ? {} : { onPause })
  }
}

/** Settles an end without a result. */
const told = (ending: Ending, command: Command<unknown>, bytes = 0): Effect.Effect<Settled, SubmitError> =>
  Effect.as(insistOrReload(insistence(ending, () => [], bytes), command), settled)

const output = (settling: Settling, given: TurnOutput, context: RunContext): Effect.Effect<Settled, SubmitError> =>
  Effect.matchEffect(toRunOutput(settling.blobs, given, context), {
    onFailure: (refusal) => refused(settling, refusal),
    onSuccess: ({ bytes, made }) => commit(settling, settling.endings.commit(made), made.outcome, bytes)
  })

const commit = (
  settling: Settling,
  command: Command<unknown>,
  outcome: CompletionOutcome | null,
  bytes: number
): Effect.Effect<Settled, SubmitError> => {
  const how = insistence(settling, finalizationFailure(settling.records, outcome), bytes)
  return Effect.matchEffect(insist(how, command), {
    onFailure: (error) => {
      const refusal = error._tag === "CommitFailed" ? refusalOf(error.error) : null
      if (refusal !== null) return refused(settling, refusal)
      return settling.ownResult && error._tag === "CommitFailed" && !isNotNow(error.error)
        ? Effect.zipRight(Effect.ignore(giveBack(settling, "its end could not be stored")), Effect.fail(error))
        : orReload(how)(error)
    },
    onSuccess: () => Effect.succeed(settled)
  })
}

const refusalOf = (error: CommitError): Refusal | null => {
  if (!isUnwritable(error)) return null
  return error._tag === "CommitTooLarge"
    ? { _tag: "TooLarge", bytes: error.bytes, limit: error.limit }
    : { _tag: "Unstorable", detail: error.detail }
}

/** Settles the run as failed, because no commit can hold its result. */
const refused = (settling: Settling, refusal: Refusal): Effect.Effect<Settled, SubmitError> =>
  Effect.as(fail(settling, ofRefusal(refusal, settling.records.length)), { _tag: "Refused", refusal })

/**
 * Settles a failed run and computes when its inputs may run again (D10). If the store cannot write the failure, a short
 * one replaces it: the size of a failure must not block a session.
 */
const fail = (settling: Settling, failure: Failure): Effect.Effect<Settled, SubmitError> => {
  const charged = settling.records.reduce((most, record) => Math.max(most, record.charged), 0)
  const how = insistence(settling, () => [], failure.detail.length)
  return Effect.flatMap(
    notBefore(settling.config, charged),
    (later) =>
      Effect.matchEffect(insist(how, settling.endings.fail(failure, later)), {
        onFailure: (error) =>
          error._tag === "CommitFailed" && isUnwritable(error.error)
            ? told(settling, settling.endings.fail(unstored(error.error._tag), later))
            : orReload(how)(error),
        onSuccess: () => Effect.succeed(settled)
      })
  )
}
