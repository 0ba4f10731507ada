/**
 * What holds in every state that commands lead to, and is not already impossible to write down.
 *
 * @since 0.1.0
 */
import * as Array from "effect/Array"
import * as HashMap from "effect/HashMap"
import type { InputRecord } from "../domain/InputRecord.js"
import type { SessionState } from "../domain/SessionState.js"
import { membersOf } from "./facts.js"
import * as Ledger from "./Ledger.js"
import { isRetired } from "./selection.js"
import { objections } from "./toolVisibility.js"

/** An invariant that does not hold; `id` is that of the published catalogue. @since 0.1.0 @category models */
export interface Violation {
  readonly id: string
  readonly detail: string
}

/** Every invariant that the state breaks; none in a sound one. @since 0.1.0 @category invariants */
export const violations = (state: SessionState): ReadonlyArray<Violation> =>
  checks.flatMap(({ check, id }) => check(state).map((detail) => ({ id, detail })))

/** Ids of the invariants that are checked. @since 0.1.0 @category invariants */
export const invariantIds = (): ReadonlyArray<string> => checks.map(({ id }) => id)

// --- internal ---

type Check = (state: SessionState) => ReadonlyArray<string>

const when = (broken: boolean, detail: string): ReadonlyArray<string> => broken ? [detail] : []

const runOf = ({ lifecycle }: SessionState) => lifecycle._tag === "Running" ? lifecycle : null

const loopIsLive = ({ registration }: SessionState): boolean => registration._tag === "Active"

const open = (state: SessionState): ReadonlyArray<InputRecord> => Ledger.all(state.ledger)

const staged = (state: SessionState): ReadonlyArray<InputRecord> =>
  open(state).filter(({ status }) => status.type === "staged")

/** P5, P7: a live loop and the phase agree. */
const attachment: Check = (state) => {
  const { lifecycle, registration } = state
  switch (lifecycle._tag) {
    case "Idle":
      return when(loopIsLive(state), "idle beside a live loop")
    case "Attached":
      return when(
        !loopIsLive(state) && !(registration._tag === "Draining" && registration.token !== null),
        "attached without a loop"
      )
    case "Running":
      return [
        ...when(lifecycle.returnTo === "Idle" && loopIsLive(state), "a run returns to idle beside a live loop"),
        ...when(
          lifecycle.returnTo === "Attached" && (registration._tag === "Queuing" || registration._tag === "Attaching"),
          "a run returns to a loop that is gone"
        )
      ]
    case "Retired":
      return []
    case "Stopped":
    case "Destroyed":
      return when(loopIsLive(state) || registration._tag === "Attaching", `a loop beside ${lifecycle._tag}`)
  }
}

const drainOnly: Check = (state) =>
  when(
    state.registration._tag === "Active" && state.registration.drainOnly !== isRetired(state),
    "a loop drains exactly while its session is retired"
  )

const contributors: Check = (state) => {
  const run = runOf(state)
  if (run === null) return []
  const members = membersOf(state, run)
  return [
    ...when(run.owner === "service" && run.inputIds.length > 0, "a service turn has inputs"),
    ...when(run.owner !== "service" && run.inputIds.length === 0, "a run without contributors"),
    ...when(members.length !== run.inputIds.length, "a contributor is not open"),
    ...when(
      members.some(({ lastRunId, status }) =>
        status.type !== "staged" || status.runId !== run.runId || lastRunId !== run.runId
      ),
      "a contributor is not staged for its run"
    )
  ]
}

const singleFlight: Check = (state) => {
  const ids = runOf(state)?.inputIds ?? []
  return staged(state).flatMap(({ inputId }) => when(!ids.includes(inputId), `${inputId} is staged for no current run`))
}

const lanes: Check = (state) => {
  const { ledger } = state
  return (["queue", "steer", "staged"] as const).flatMap((index) => {
    const listed = index === "staged" ? Ledger.staged(ledger) : Ledger.lane(ledger, index)
    const belong = open(state).filter(({ lane, status }) => index === (status.type === "staged" ? "staged" : lane))
    return when(
      listed.length !== belong.length || listed.some((record, at) => record !== belong[at]),
      `the index ${index} is not what the records say`
    )
  })
}

const sequences: Check = (state) => {
  const seqs = open(state).map(({ admissionSeq }) => admissionSeq)
  return [
    ...when(new Set(seqs).size !== seqs.length, "an admission sequence is used twice"),
    ...when(seqs.some((seq) => seq >= state.ledger.nextAdmissionSeq), "an admission sequence was never handed out"),
    ...when(state.ledger.imageSeq > state.ledger.nextAdmissionSeq, "the image goes beyond what was handed out")
  ]
}

const keys: Check = (state) => {
  const held = open(state).flatMap(({ idempotencyKey, inputId }) =>
    idempotencyKey === undefined ? [] : [{ idempotencyKey, inputId }]
  )
  return when(
    HashMap.size(state.ledger.keys) !== held.length ||
      held.some(({ idempotencyKey, inputId }) => Ledger.ofKey(state.ledger, idempotencyKey)?.inputId !== inputId),
    "the keys are not those of the open inputs"
  )
}

const ended: Check = (state) => {
  const { _tag } = state.lifecycle
  return _tag !== "Stopped" && _tag !== "Destroyed" ? [] : [
    ...when(Ledger.size(state.ledger) > 0, `open inputs in a session that is ${_tag}`),
    ...when(state.silentIntents.length > 0, `silent intents in a session that is ${_tag}`)
  ]
}

const counts: Check = (state) =>
  open(state).flatMap(({ attempts, charged, crashed, inputId, status }) => [
    ...when(charged + crashed > attempts, `${inputId} was charged more often than staged`),
    ...when(status.type === "staged" && attempts === 0, `${inputId} is staged and was never counted`)
  ])

const dirt: Check = (state) =>
  state.dirty.inputs.flatMap((id) => [
    ...when(Ledger.get(state.ledger, id) === undefined, `${id} is owed to the store, but ended`),
    ...when(state.dirty.inputs.indexOf(id) !== state.dirty.inputs.lastIndexOf(id), `${id} is owed twice`)
  ])

const intents: Check = ({ silentIntents }) =>
  when(
    silentIntents.some((intent, at) => at > 0 && intent <= (silentIntents[at - 1] ?? "")),
    "silent intents are not a sorted set"
  )

const operationsDone: Check = ({ lifecycle, operations }) =>
  lifecycle._tag !== "Destroyed" ? [] : [
    ...when(!operations.epoch.retired, "a destroyed session's epoch goes on"),
    ...when(HashMap.size(operations.records) !== operations.completed.length, "a destroyed session's operation goes on")
  ]

const feed: Check = ({ operations: { epoch, feed: entries } }) => {
  const seqs = entries.map(({ seq }) => seq)
  const expected = seqs.length === 0 ? [] : Array.range(epoch.lastSeq - seqs.length + 1, epoch.lastSeq)
  return [
    ...when(!(seqs.length === expected.length && seqs.every((seq, at) => seq === expected[at])), "the feed has a gap"),
    ...when(
      Math.max(epoch.cursors.agentApplied, epoch.cursors.injected, epoch.cursors.observed) > epoch.lastSeq,
      "a cursor is beyond the feed"
    )
  ]
}

const tools: Check = (state) => state.tools === null ? [] : objections(state.tools.visibility)

const checks: ReadonlyArray<{ readonly id: string; readonly check: Check }> = [
  { id: "P5/P7", check: attachment },
  { id: "D5", check: drainOnly },
  { id: "SNP-03", check: contributors },
  { id: "P16", check: singleFlight },
  { id: "SNP-04/P11", check: lanes },
  { id: "P15", check: sequences },
  { id: "SNP-07", check: keys },
  { id: "SNP-06/P17", check: ended },
  { id: "P18", check: counts },
  { id: "D11", check: dirt },
  { id: "REG-21", check: intents },
  { id: "D28/D30", check: operationsDone },
  { id: "FEED-01", check: feed },
  { id: "P22", check: tools }
]
