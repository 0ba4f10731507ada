/**
 * Invariants of background operations, their barrier and their feed.
 *
 * @since 0.1.0
 */
import * as HashMap from "effect/HashMap"
import * as Option from "effect/Option"
import type { OperationRecord } from "../../domain/Operation.js"
import type { SessionState } from "../../domain/SessionState.js"
import { isTerminalStatus, statusOfOutcome } from "../operationRows.js"
import type { Invariant } from "./invariant.js"
import { when } from "./invariant.js"

/** The invariants, checked by `violations`. @since 0.1.0 @category invariants */
export const operationInvariants: ReadonlyArray<Invariant> = [
  {
    id: "P10",
    says: "a barrier has at least one member and lacks at least one outcome",
    check: ({ operations: { barrier } }) =>
      barrier === null ? [] : [
        ...when(barrier.members.length === 0, "a barrier without members"),
        ...when(HashMap.size(barrier.outcomes) >= barrier.members.length, "a barrier with every outcome")
      ]
  },
  {
    id: "P19",
    says: "status, outcome, sequence, times and peer of an operation agree; each ended operation is listed once",
    check: ({ operations: { completed, records } }) => [
      ...Array.from(HashMap.values(records)).flatMap((record) => agreement(record)),
      ...ended(Array.from(HashMap.values(records)), completed)
    ]
  },
  {
    id: "P20",
    says: "members of a barrier are known and distinct, and it has the outcomes of exactly the ended ones",
    check: (state) => barrier(state)
  },
  {
    id: "D28/D30",
    says: "destroying a session ends its epoch and every operation",
    check: ({ lifecycle, operations: { completed, epoch, records } }) =>
      lifecycle._tag !== "Destroyed" ? [] : [
        ...when(!epoch.retired, "the epoch of a destroyed session is not retired"),
        ...when(HashMap.size(records) !== completed.length, "an operation of a destroyed session is live")
      ]
  },
  {
    id: "FEED-01",
    says: "the feed has no gap, and no cursor is beyond it; what was injected was observed",
    check: (state) => feed(state)
  }
]

// --- internal ---

const agreement = (record: OperationRecord): ReadonlyArray<string> => {
  const { completedAt, completionSeq, outcome, peer, peerReady, spec, status } = record
  const terminal = isTerminalStatus(status)
  return [
    ...when(
      [outcome, completionSeq, completedAt].some((part) => (part !== undefined) !== terminal),
      `${spec.id} is ${status}, which its outcome, sequence or time contradicts`
    ),
    ...when(
      outcome !== undefined && statusOfOutcome(outcome) !== status,
      `${spec.id} is ${status}, but ended ${outcome?._tag}`
    ),
    ...when(peerReady !== (peer !== undefined), `${spec.id} has a peer and is not ready, or the other way round`),
    ...when(peerReady && spec.kind !== "mob_member_child", `${spec.id} has a peer, but is a ${spec.kind}`)
  ]
}

const ended = (records: ReadonlyArray<OperationRecord>, completed: ReadonlyArray<string>): ReadonlyArray<string> => {
  const terminal = records.filter(({ status }) => isTerminalStatus(status))
  return when(
    terminal.length !== completed.length || new Set(completed).size !== completed.length ||
      terminal.some(({ spec }) => !completed.includes(spec.id)),
    "the list of ended operations does not match the records"
  )
}

const barrier = ({ operations: { barrier: waiting, records } }: SessionState): ReadonlyArray<string> =>
  waiting === null ? [] : [
    ...when(new Set(waiting.members).size !== waiting.members.length, "a member is waited for twice"),
    ...waiting.members.flatMap((id) => {
      const record = Option.getOrUndefined(HashMap.get(records, id))
      return record === undefined
        ? [`the member ${id} is unknown`]
        : when(HashMap.has(waiting.outcomes, id) !== isTerminalStatus(record.status), `${id} is ${record.status}`)
    })
  ]

const feed = ({ operations: { epoch, feed: entries } }: SessionState): ReadonlyArray<string> => {
  const { cursors: { agentApplied, injected, observed }, droppedThrough, lastSeq } = epoch
  return [
    ...when(
      droppedThrough + entries.length !== lastSeq || entries.some(({ seq }, at) => seq !== droppedThrough + 1 + at),
      "the feed has a gap"
    ),
    ...when(Math.max(agentApplied, injected, observed) > lastSeq, "a cursor is beyond the feed"),
    ...when(injected > observed, "an entry was injected that was not observed")
  ]
}
