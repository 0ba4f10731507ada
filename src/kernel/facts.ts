/**
 * Small reads and updates of records and states. The rows and commands of the kernel share them.
 *
 * @since 0.1.0
 */
import type { CompletionOutcome } from "../domain/Completion.js"
import type { InputId, RunId } from "../domain/Ids.js"
import type { InputFacts, InputRecord, InputTerminal, TerminalInput } from "../domain/InputRecord.js"
import type { Lifecycle, Running } from "../domain/RuntimeState.js"
import type { SessionState } from "../domain/SessionState.js"
import * as Ledger from "./Ledger.js"

/**
 * Returns the record without its content: the form that is written when only facts change.
 *
 * @since 0.1.0
 * @category accessors
 */
export const factsOf = (record: InputRecord): InputFacts => {
  const { input: _words, ...facts } = record
  return facts
}

/** What the row of an ended input adds to its record. @since 0.1.0 @category models */
export interface Ending {
  readonly terminal: InputTerminal
  readonly at: number
  /** absent if the receipt holds it */
  readonly outcome?: CompletionOutcome
  readonly sequence?: number
}

/** Makes the row that remains of an ended input. @since 0.1.0 @category constructors */
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

/** Returns the run in progress if it has this id. @since 0.1.0 @category accessors */
export const runOf = (state: SessionState, runId: RunId): Running | undefined =>
  state.lifecycle._tag === "Running" && state.lifecycle.runId === runId ? state.lifecycle : undefined

/** Returns the open records of a run in batch order. @since 0.1.0 @category accessors */
export const membersOf = (state: SessionState, run: Running): ReadonlyArray<InputRecord> =>
  run.inputIds.flatMap((id) => {
    const record = Ledger.get(state.ledger, id)
    return record === undefined ? [] : [record]
  })

/** True if the session is retired and has no open input. @since 0.1.0 @category guards */
export const isDrained = ({ ledger, lifecycle }: SessionState): boolean =>
  lifecycle._tag === "Retired" && Ledger.size(ledger) === 0

/** Returns the token of the live loop; null without a loop. @since 0.1.0 @category accessors */
export const loopOf = (state: SessionState): number | null =>
  state.registration._tag === "Active" ? state.registration.token : null

/** True if a lane holds an input. @since 0.1.0 @category guards */
export const hasQueued = (state: SessionState): boolean =>
  Ledger.laneSize(state.ledger, "steer") + Ledger.laneSize(state.ledger, "queue") > 0

/**
 * The phase of a session without a run (D24): attached if a loop is live, else idle.
 *
 * @since 0.1.0
 * @category accessors
 */
export const resting = (state: SessionState): Lifecycle =>
  loopOf(state) === null ? { _tag: "Idle" } : { _tag: "Attached" }

/** Returns the state with another lifecycle. @since 0.1.0 @category combinators */
export const withLifecycle = (state: SessionState, lifecycle: Lifecycle): SessionState => ({ ...state, lifecycle })

/** Returns the state with this record inserted or replaced. @since 0.1.0 @category combinators */
export const withRecord = (state: SessionState, record: InputRecord): SessionState => ({
  ...state,
  ledger: Ledger.put(state.ledger, record)
})

/** Removes an input from the ledger and from the deferred writes. @since 0.1.0 @category combinators */
export const withoutRecord = (state: SessionState, id: InputId): SessionState =>
  clean({ ...state, ledger: Ledger.remove(state.ledger, id) }, id)

/** Adds the input's facts to the deferred writes. @since 0.1.0 @category combinators */
export const soil = (state: SessionState, id: InputId): SessionState =>
  state.dirty.inputs.includes(id)
    ? state
    : { ...state, dirty: { ...state.dirty, inputs: [...state.dirty.inputs, id] } }

/**
 * Removes the input from the deferred writes, because the current decision writes it.
 *
 * @since 0.1.0
 * @category combinators
 */
export const clean = (state: SessionState, id: InputId): SessionState =>
  state.dirty.inputs.includes(id)
    ? { ...state, dirty: { ...state.dirty, inputs: state.dirty.inputs.filter((other) => other !== id) } }
    : state
