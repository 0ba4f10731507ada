/**
 * Invariants of the ledger: the open inputs, their indexes and the run that some of them are staged for.
 *
 * @since 0.1.0
 */
import * as HashMap from "effect/HashMap"
import type { InputRecord } from "../../domain/InputRecord.js"
import type { SessionState } from "../../domain/SessionState.js"
import { membersOf } from "../facts.js"
import * as Ledger from "../Ledger.js"
import type { Invariant } from "./invariant.js"
import { when } from "./invariant.js"

/** The invariants, checked by `violations`. @since 0.1.0 @category invariants */
export const inputInvariants: ReadonlyArray<Invariant> = [
  { id: "P11", says: "an input is in a lane exactly while it is queued", check: (state) => lanes(state) },
  {
    id: "P12",
    says: "a staged input names its run; a queued input names no run",
    check: (state) => open(state).flatMap((record) => runNamed(record))
  },
  {
    id: "P13",
    says: "an open input has no end: terminal, outcome and receipt belong to rows outside the ledger",
    check: (state) =>
      open(state).flatMap((record) =>
        ofEnd.flatMap((key) => when(key in record, `${record.inputId} is open and has ${key}`))
      )
  },
  { id: "P15", says: "each admission sequence is assigned once", check: (state) => sequences(state) },
  { id: "P16", says: "every staged input is staged for the current run", check: (state) => singleFlight(state) },
  {
    id: "SNP-03",
    says: "a run has contributors, all of them open and staged for it; a service turn has none",
    check: (state) => contributors(state)
  },
  {
    id: "P17",
    says: "a stopped or destroyed session has no open input",
    check: (state) => when(isEnded(state) && Ledger.size(state.ledger) > 0, `open inputs in ${state.lifecycle._tag}`)
  },
  {
    id: "P18",
    says: "an input is charged at most once per staging",
    check: (state) => open(state).flatMap((record) => counts(record))
  },
  { id: "SNP-07", says: "the key index holds exactly the keys of open inputs", check: (state) => keys(state) },
  { id: "D11", says: "every input among the deferred writes is open and listed once", check: (state) => dirt(state) },
  {
    id: "REG-21",
    says: "silent intents are a sorted set, which is empty once the session has ended",
    check: (state) => intents(state)
  }
]

// --- internal ---

const ofEnd = ["terminal", "outcome", "completedAt", "lastSequence"] as const

const runOf = ({ lifecycle }: SessionState) => lifecycle._tag === "Running" ? lifecycle : null

const isEnded = ({ lifecycle: { _tag } }: SessionState): boolean => _tag === "Stopped" || _tag === "Destroyed"

const open = (state: SessionState): ReadonlyArray<InputRecord> => Ledger.all(state.ledger)

const queuedThatDrive = ({ ledger }: SessionState): number =>
  [...Ledger.lane(ledger, "queue"), ...Ledger.lane(ledger, "steer")].filter(Ledger.drives).length

const lanes = (state: SessionState): ReadonlyArray<string> => [
  ...when(state.ledger.driving !== queuedThatDrive(state), "the count of driving inputs does not match the lanes"),
  ...(["queue", "steer", "staged"] as const).flatMap((index) => {
    const { ledger } = state
    const listed = index === "staged" ? Ledger.staged(ledger) : Ledger.lane(ledger, index)
    const belong = open(state).filter(({ lane, status }) => index === (status.type === "staged" ? "staged" : lane))
    return when(
      listed.length !== belong.length || listed.some((record, at) => record !== belong[at]),
      `the index ${index} does not match the records`
    )
  })
]

const runNamed = ({ inputId, lastRunId, status }: InputRecord): ReadonlyArray<string> =>
  status.type === "staged"
    ? when(lastRunId !== status.runId, `${inputId} is staged for a run other than its last one`)
    : when("runId" in status, `${inputId} is queued and names a run`)

const contributors = (state: SessionState): ReadonlyArray<string> => {
  const run = runOf(state)
  if (run === null) return []
  const members = membersOf(state, run)
  return [
    ...when(run.owner === "service" && run.inputIds.length > 0, "a service turn has inputs"),
    ...when(run.owner !== "service" && run.inputIds.length === 0, "a run has no contributors"),
    ...when(members.length !== run.inputIds.length, "a contributor is not open"),
    ...when(
      members.some(({ status }) => status.type !== "staged" || status.runId !== run.runId),
      "a contributor is not staged for its run"
    )
  ]
}

const singleFlight = (state: SessionState): ReadonlyArray<string> => {
  const ids = runOf(state)?.inputIds ?? []
  return open(state).flatMap(({ inputId, status }) =>
    when(status.type === "staged" && !ids.includes(inputId), `${inputId} is staged, but not for the current run`)
  )
}

const sequences = (state: SessionState): ReadonlyArray<string> => {
  const seqs = open(state).map(({ admissionSeq }) => admissionSeq)
  const { imageSeq, nextAdmissionSeq } = state.ledger
  return [
    ...when(new Set(seqs).size !== seqs.length, "an admission sequence is used twice"),
    ...when(seqs.some((seq) => seq >= nextAdmissionSeq), "an admission sequence was never assigned"),
    ...when(imageSeq > nextAdmissionSeq, "the image's sequence is above every assigned one")
  ]
}

const keys = (state: SessionState): ReadonlyArray<string> => {
  const held = open(state).flatMap(({ idempotencyKey, inputId }) =>
    idempotencyKey === undefined ? [] : [{ idempotencyKey, inputId }]
  )
  return when(
    HashMap.size(state.ledger.keys) !== held.length ||
      held.some(({ idempotencyKey, inputId }) => Ledger.ofKey(state.ledger, idempotencyKey)?.inputId !== inputId),
    "the key index does not match the open inputs"
  )
}

const counts = ({ attempts, charged, crashed, inputId, status }: InputRecord): ReadonlyArray<string> => [
  ...when(charged + crashed > attempts, `${inputId} was charged more often than staged`),
  ...when(status.type === "staged" && attempts === 0, `${inputId} is staged, but has no attempt`),
  ...when(Math.min(attempts, charged, crashed) < 0, `${inputId} has a count below 0`)
]

const dirt = ({ dirty, ledger }: SessionState): ReadonlyArray<string> =>
  dirty.inputs.flatMap((id) => [
    ...when(Ledger.get(ledger, id) === undefined, `${id} is a deferred write, but ended`),
    ...when(dirty.inputs.indexOf(id) !== dirty.inputs.lastIndexOf(id), `${id} is a deferred write twice`)
  ])

const intents = (state: SessionState): ReadonlyArray<string> => [
  ...when(
    state.silentIntents.some((intent, at) => at > 0 && intent <= (state.silentIntents[at - 1] ?? "")),
    "silent intents are not a sorted set"
  ),
  ...when(isEnded(state) && state.silentIntents.length > 0, `silent intents in ${state.lifecycle._tag}`)
]
