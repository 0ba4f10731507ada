/**
 * Small readings and rewritings of records and states that rows and commands share.
 *
 * @since 0.1.0
 */
import type { CompletionOutcome } from "../domain/Completion.js"
import type { InputId, RunId } from "../domain/Ids.js"
import type { InputFacts, InputRecord, InputTerminal, TerminalInput } from "../domain/InputRecord.js"
import type { Lifecycle, Running } from "../domain/RuntimeState.js"
import type { SessionState } from "../domain/SessionState.js"
import * as Ledger from "./Ledger.js"

/** The record without its words, as it is written when only facts change. @since 0.1.0 @category accessors */
export const factsOf = (record: InputRecord): InputFacts => {
  const { input: _words, ...facts } = record
  return facts
}

/** What a record is known by once it ended. @since 0.1.0 @category models */
export interface Ending {
  readonly terminal: InputTerminal
  readonly at: number
  /** absent when the receipt has it */
  readonly outcome?: CompletionOutcome
  readonly sequence?: number
}

/** The row that remains of an input that ended. @since 0.1.0 @category constructors */
export const endedRow = (record: InputRecord, { at, outcome, sequence, terminal }: Ending): TerminalInput => ({
  inputId: record.inputId,
  kind: record.kind,
  admissionSeq: record.admissionSeq,
  lane: record.lane,
  durability: record.durability,
  terminal,
  attempts: record.attempts,
  charged: record.charged,
  crashed: record.crashed,
  createdAt: record.createdAt,
  completedAt: at,
  ...(record.idempotencyKey === undefined ? {} : { idempotencyKey: record.idempotencyKey }),
  ...(record.lastRunId === undefined ? {} : { lastRunId: record.lastRunId }),
  ...(outcome === undefined ? {} : { outcome }),
  ...(sequence === undefined ? {} : { lastSequence: sequence })
})

/** The run in progress, if it is this one. @since 0.1.0 @category accessors */
export const runOf = (state: SessionState, runId: RunId): Running | undefined =>
  state.lifecycle._tag === "Running" && state.lifecycle.runId === runId ? state.lifecycle : undefined

/** The records of a run in batch order. @since 0.1.0 @category accessors */
export const membersOf = (state: SessionState, run: Running): ReadonlyArray<InputRecord> =>
  run.inputIds.flatMap((id) => {
    const record = Ledger.get(state.ledger, id)
    return record === undefined ? [] : [record]
  })

/** Whether a retired session has nothing left to drain. @since 0.1.0 @category guards */
export const isDrained = ({ ledger, lifecycle }: SessionState): boolean =>
  lifecycle._tag === "Retired" && Ledger.size(ledger) === 0

/** The token of the live loop. @since 0.1.0 @category accessors */
export const loopOf = (state: SessionState): number | null =>
  state.registration._tag === "Active" ? state.registration.token : null

/** Whether an input waits in a lane. @since 0.1.0 @category guards */
export const hasQueued = (state: SessionState): boolean =>
  Ledger.laneSize(state.ledger, "steer") + Ledger.laneSize(state.ledger, "queue") > 0

/** Idle in the sense of D24: attached if a loop is live. @since 0.1.0 @category accessors */
export const resting = (state: SessionState): Lifecycle =>
  loopOf(state) === null ? { _tag: "Idle" } : { _tag: "Attached" }

/** @since 0.1.0 @category combinators */
export const withLifecycle = (state: SessionState, lifecycle: Lifecycle): SessionState => ({ ...state, lifecycle })

/** @since 0.1.0 @category combinators */
export const withRecord = (state: SessionState, record: InputRecord): SessionState => ({
  ...state,
  ledger: Ledger.put(state.ledger, record)
})

/** Takes an input out of the ledger and out of what is still to be written of it. @since 0.1.0 @category combinators */
export const withoutRecord = (state: SessionState, id: InputId): SessionState =>
  clean({ ...state, ledger: Ledger.remove(state.ledger, id) }, id)

/** The input's facts ride with the next hard commit. @since 0.1.0 @category combinators */
export const soil = (state: SessionState, id: InputId): SessionState =>
  state.dirty.inputs.includes(id)
    ? state
    : { ...state, dirty: { ...state.dirty, inputs: [...state.dirty.inputs, id] } }

/** The input's facts are written by the decision at hand. @since 0.1.0 @category combinators */
export const clean = (state: SessionState, id: InputId): SessionState =>
  state.dirty.inputs.includes(id)
    ? { ...state, dirty: { ...state.dirty, inputs: state.dirty.inputs.filter((other) => other !== id) } }
    : state
