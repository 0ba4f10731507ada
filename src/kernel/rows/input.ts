/**
 * The rows of the transition table for one input: how it enters, is staged for a run, returns to its lane, and ends.
 *
 * The table fires them for commands. Invariants: a terminal input has no further transition; every row emits what the
 * store must write for it.
 *
 * @since 0.1.0
 */
import type { Emit } from "../../domain/Command.js"
import type { CompletionOutcome } from "../../domain/Completion.js"
import type { InputId, RunId } from "../../domain/Ids.js"
import type { AbandonReason, InputRecord } from "../../domain/InputRecord.js"
import type { SessionState } from "../../domain/SessionState.js"
import type { Ending } from "../facts.js"
import { clean, endedRow, factsOf, soil, withoutRecord, withRecord } from "../facts.js"
import * as Ledger from "../Ledger.js"
import type { Table } from "../row.js"
import { inputRow } from "../row.js"

/** An input and the time of its transition. @since 0.1.0 @category models */
export interface Touch {
  readonly inputId: InputId
  readonly at: number
}

/** The triggers of these rows, with their payloads. @since 0.1.0 @category models */
export interface InputTriggers {
  /** a new input takes its place in a lane */
  readonly Enqueue: { readonly inputId: InputId; readonly record: InputRecord }
  /** a new input that its policy consumes at once */
  readonly ConsumeOnAccept: {
    readonly inputId: InputId
    readonly record: InputRecord
    readonly outcome: CompletionOutcome
  }
  /** stages the input for a run; `alone` marks a suspect that runs as the only one of its process */
  readonly Stage: Touch & { readonly runId: RunId; readonly alone?: boolean }
  /** returns the input to its lane, uncharged */
  readonly Requeue: Touch
  /** returns the input to its lane, charged with a failure (D10) */
  readonly Retry: Touch & { readonly notBefore: number; readonly solo: boolean }
  /** returns the input to its lane at recovery, with its new crash charges; `solo` retries it without other drivers */
  readonly RecoverInput: Touch & { readonly crashed: number; readonly solo: boolean }
  /** ends the input after its run; `sequence` names the receipt with the outcome, null if no receipt was written */
  readonly Consume: Touch & { readonly sequence: number | null; readonly outcome: CompletionOutcome }
  readonly Coalesce: Touch & { readonly by: InputId }
  readonly Supersede: Touch & { readonly by: InputId }
  readonly Abandon: Touch & { readonly reason: AbandonReason; readonly outcome: CompletionOutcome }
  /** abandons the input because its last staging failed, and counts that failure */
  readonly AbandonCharged: Touch & { readonly reason: AbandonReason; readonly outcome: CompletionOutcome }
  readonly Promote: Touch
}

/** The rows. @since 0.1.0 @category rows */
export const inputRows: Table<InputTriggers> = {
  Enqueue: [
    inputRow("enqueue", {
      from: ["absent"],
      to: ["queued"],
      update: (state, { record }) => withRecord(state, record),
      emit: (_, { record }) => [{ _tag: "InsertInput", record }, accepted(record)]
    })
  ],
  ConsumeOnAccept: [
    inputRow("consumeOnAccept", {
      from: ["absent"],
      to: ["consumed"],
      // the record is added and removed again, because it still uses up an admission sequence
      update: (state, { inputId, record }) => withoutRecord(withRecord(state, record), inputId),
      emit: (_, { outcome, record }) => [
        accepted(record),
        ...endings(record, { terminal: { type: "consumed" }, at: record.createdAt, outcome }, outcome, true)
      ]
    })
  ],
  Stage: [
    inputRow("stageFresh", {
      from: ["queued"],
      to: ["staged"],
      guards: { fresh: (state, { inputId }) => isFresh(state, inputId) },
      update: (state, payload) => soil(staged(state, payload), payload.inputId),
      emit: (next, payload) => stagedEvent(next, payload)
    }),
    inputRow("stageKnown", {
      from: ["queued"],
      to: ["staged"],
      update: (state, payload) => clean(staged(state, payload), payload.inputId),
      emit: (next, payload) => [...written(next, payload.inputId), ...stagedEvent(next, payload)]
    })
  ],
  Requeue: [
    inputRow("requeue", {
      from: ["staged"],
      to: ["queued"],
      update: (state, { at, inputId }) => revised(state, inputId, () => ({ status: queued, updatedAt: at })),
      emit: (next, { inputId }) => requeuedEmits(next, inputId)
    })
  ],
  Retry: [
    inputRow("retry", {
      from: ["staged"],
      to: ["queued"],
      update: (state, { at, inputId, notBefore, solo }) =>
        revised(state, inputId, (record) => ({
          status: queued,
          charged: record.charged + 1,
          solo: record.solo || solo,
          notBefore,
          updatedAt: at
        })),
      emit: (next, { inputId }) => requeuedEmits(next, inputId)
    })
  ],
  RecoverInput: [
    inputRow("recover", {
      from: ["staged"],
      to: ["queued"],
      update: (state, { at, crashed, inputId, solo }) =>
        revised(state, inputId, (record) => ({
          status: queued,
          crashed,
          solo: record.solo || solo,
          updatedAt: at
        })),
      emit: (next, { inputId }) => requeuedEmits(next, inputId)
    })
  ],
  Consume: [
    inputRow("consume", {
      from: ["staged"],
      to: ["consumed"],
      update: (state, { inputId }) => withoutRecord(state, inputId),
      emit: (_, { at, inputId, outcome, sequence }, previous) =>
        ended(
          previous,
          inputId,
          { terminal: { type: "consumed" }, at, ...(sequence === null ? { outcome } : { sequence }) },
          outcome
        )
    })
  ],
  Coalesce: [
    inputRow("coalesce", {
      from: ["queued"],
      to: ["coalesced"],
      update: (state, { inputId }) => withoutRecord(state, inputId),
      emit: (_, { at, by, inputId }, previous) => {
        const outcome: CompletionOutcome = { _tag: "Abandoned", reason: `coalesced into ${by}` }
        return ended(previous, inputId, { terminal: { type: "coalesced", into: by }, at, outcome }, outcome)
      }
    })
  ],
  Supersede: [
    inputRow("supersede", {
      from: ["queued"],
      to: ["superseded"],
      update: (state, { inputId }) => withoutRecord(state, inputId),
      emit: (_, { at, by, inputId }, previous) => {
        const outcome: CompletionOutcome = { _tag: "Abandoned", reason: `superseded by ${by}` }
        return ended(previous, inputId, { terminal: { type: "superseded", by }, at, outcome }, outcome)
      }
    })
  ],
  Abandon: [
    inputRow("abandon", {
      from: ["queued", "staged"],
      to: ["abandoned"],
      update: (state, { inputId }) => withoutRecord(state, inputId),
      emit: (_, { at, inputId, outcome, reason }, previous) =>
        ended(previous, inputId, { terminal: { type: "abandoned", reason }, at, outcome }, outcome)
    })
  ],
  AbandonCharged: [
    inputRow("abandonCharged", {
      from: ["staged"],
      to: ["abandoned"],
      update: (state, { inputId }) => withoutRecord(state, inputId),
      emit: (_, { at, inputId, outcome, reason }, previous) => {
        const counted = changed(previous, inputId, (record) => ({ charged: record.charged + 1 }))
        return ended(counted, inputId, { terminal: { type: "abandoned", reason }, at, outcome }, outcome)
      }
    })
  ],
  Promote: [
    inputRow("promote", {
      from: ["queued"],
      guards: { in_queue_lane: (state, { inputId }) => Ledger.get(state.ledger, inputId)?.lane === "queue" },
      update: (state, { at, inputId }) => revised(state, inputId, () => ({ lane: "steer", updatedAt: at })),
      emit: (next, { inputId }) => written(next, inputId)
    }),
    inputRow("promoteAgain", { from: ["queued"] })
  ]
}

// --- internal ---

const queued: InputRecord["status"] = { type: "queued" }

/** Whether the input was accepted after the opening and never staged: then its staging may be a deferred write (D11). */
const isFresh = (state: SessionState, id: InputId): boolean => {
  const record = Ledger.get(state.ledger, id)
  return record !== undefined && record.attempts === 0 && record.admissionSeq >= state.ledger.imageSeq
}

const changed = (
  state: SessionState,
  id: InputId,
  change: (record: InputRecord) => Partial<InputRecord>
): SessionState => {
  const record = Ledger.get(state.ledger, id)
  return record === undefined ? state : withRecord(state, { ...record, ...change(record) })
}

/** Changes a record whose new facts this row emits for the store. */
const revised = (
  state: SessionState,
  id: InputId,
  change: (record: InputRecord) => Partial<InputRecord>
): SessionState => clean(changed(state, id, change), id)

const staged = (state: SessionState, { alone, at, inputId, runId }: InputTriggers["Stage"]): SessionState =>
  changed(state, inputId, (record) => ({
    status: alone === true ? { type: "staged", runId, alone } : { type: "staged", runId },
    attempts: record.attempts + 1,
    lastRunId: runId,
    updatedAt: at
  }))

const accepted = ({ input, inputId, kind }: InputRecord): Emit => ({
  _tag: "Event",
  event: {
    _tag: "InputAccepted",
    inputId,
    kind,
    ...(input.header.correlationId === undefined ? {} : { correlationId: input.header.correlationId })
  }
})

const stagedEvent = (next: SessionState, { inputId, runId }: InputTriggers["Stage"]): ReadonlyArray<Emit> => [{
  _tag: "Event",
  event: { _tag: "InputStaged", inputId, runId, attempt: Ledger.get(next.ledger, inputId)?.attempts ?? 0 }
}]

const written = (next: SessionState, id: InputId): ReadonlyArray<Emit> => {
  const record = Ledger.get(next.ledger, id)
  return record === undefined ? [] : [{ _tag: "UpdateInput", facts: factsOf(record) }]
}

const requeuedEmits = (next: SessionState, id: InputId): ReadonlyArray<Emit> => {
  const notBefore = Ledger.get(next.ledger, id)?.notBefore
  return [...written(next, id), {
    _tag: "Event",
    event: { _tag: "InputRequeued", inputId: id, ...(notBefore === undefined ? {} : { notBefore }) }
  }]
}

const endings = (
  record: InputRecord,
  ending: Ending,
  outcome: CompletionOutcome,
  inserted: boolean
): ReadonlyArray<Emit> => [
  { _tag: "EndInput", row: endedRow(record, ending), inserted },
  { _tag: "Settle", inputId: record.inputId, outcome },
  { _tag: "Event", event: { _tag: "InputEnded", inputId: record.inputId, terminal: ending.terminal, outcome } }
]

const ended = (
  previous: SessionState,
  id: InputId,
  ending: Ending,
  outcome: CompletionOutcome
): ReadonlyArray<Emit> => {
  const record = Ledger.get(previous.ledger, id)
  return record === undefined ? [] : endings(record, ending, outcome, false)
}
