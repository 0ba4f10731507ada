/** The predicates of every step of a session, which compare the state before with the state after. */
import type { Emit } from "../../../src/domain/Command.js"
import type { CompletionOutcome } from "../../../src/domain/Completion.js"
import type { InputId, RunId } from "../../../src/domain/Ids.js"
import type { InputRecord, TerminalInput } from "../../../src/domain/InputRecord.js"
import type { Running } from "../../../src/domain/RuntimeState.js"
import type { SessionState } from "../../../src/domain/SessionState.js"
import { runOf } from "../../../src/kernel/facts.js"
import { violations } from "../../../src/kernel/invariants.js"
import { when } from "../../../src/kernel/invariants/invariant.js"
import * as Ledger from "../../../src/kernel/Ledger.js"
import { endOfFold } from "../../../src/kernel/wake.js"
import type { StepPredicate } from "./engine.js"
import type { Deed, Node } from "./node.js"
import { budgets, envOf } from "./node.js"

type NodeStep = StepPredicate<Node, Deed>

/** A condition on steps within one registration. */
const living = (
  id: string,
  says: string,
  check: (before: SessionState, deed: Deed, after: SessionState) => ReadonlyArray<string>
): NodeStep => ({
  id,
  says,
  check: (before, deed, after) =>
    before.live === null || after.live === null ? [] : check(before.live, deed, after.live)
})

export const nodeSteps: ReadonlyArray<NodeStep> = [
  living(
    "P8",
    "a run ends with one outcome, told once, and its contributors end or are requeued with it",
    (before, deed, after) => runEnds(before, deed, after)
  ),
  living(
    "P9",
    "a run begins without a receipt or a request of an earlier run",
    (before, _, after) => runBegins(before, after)
  ),
  {
    id: "P13'",
    says: "an input leaves the ledger with one terminal row and one matching outcome, and its waiters are told",
    check: (before, deed, after) => endings(before, deed, after)
  },
  {
    id: "P14",
    says: "an ended input does not change and does not come back",
    check: (before, deed, after) => finality(before, deed, after)
  },
  {
    id: "D10",
    says: "a run that failed, or ended with its process, is charged to at least one of its inputs",
    check: (before, deed, after) => accounts(before, deed, after)
  },
  {
    id: "D10'",
    says: "a crash abandons an input only if its stored row says that it ran alone, and nothing was staged beside it",
    check: (before, deed) => condemned(before, deed)
  },
  {
    id: "P28",
    says: "counters only grow: sequences, cursors, revisions, charges, stored revision",
    check: (before, deed, after) => monotone(before, deed, after)
  },
  {
    id: "P29",
    says: "destroyed is final; stopped becomes destroyed, or idle by a registration; retirement outlives restarts",
    check: (before, deed, after) => successors(before, deed, after)
  },
  {
    id: "COMMIT",
    says: "the store accepts every commit, and every change except a deferred write has one",
    check: (_, { objection }) => objection === null ? [] : [objection]
  },
  living(
    "STATES",
    "what holds of a state also holds of every state with the same key",
    (_, __, after) => violations(after).map(({ detail, id }) => `${id}: ${detail}`)
  ),
  {
    id: "D29",
    says: "after a fold, no due wake is missing",
    check: (before, _, after) =>
      before.live === null || after.live === null || after.live === before.live
        ? []
        : when(endOfFold(after.live, envOf(after, budgets)).state !== after.live, "the fold ended too early")
  }
]

// --- internal ---

const running = ({ lifecycle }: SessionState): Running | undefined =>
  lifecycle._tag === "Running" ? lifecycle : undefined

const eventsOfRun = (emits: ReadonlyArray<Emit>): ReadonlyArray<RunId> =>
  emits.flatMap((emit) =>
    emit._tag === "Event" &&
      (emit.event._tag === "RunCompleted" || emit.event._tag === "RunFailed" || emit.event._tag === "RunCancelled")
      ? [emit.event.runId]
      : []
  )

const runEnds = (before: SessionState, { emits }: Deed, after: SessionState): ReadonlyArray<string> => {
  const run = running(before)
  const told = eventsOfRun(emits)
  if (run === undefined || runOf(after, run.runId) !== undefined) {
    return when(told.length > 0, "the end of a run is told, but no run ended")
  }
  const destroyed = after.lifecycle._tag === "Destroyed"
  return [
    ...when(told.length !== (destroyed ? 0 : 1) || told.some((id) => id !== run.runId), `told ${told.length} times`),
    ...run.inputIds.flatMap((id) =>
      when(Ledger.get(after.ledger, id)?.status.type === "staged", `${id} is still staged`)
    )
  ]
}

const runBegins = (before: SessionState, after: SessionState): ReadonlyArray<string> => {
  const run = running(after)
  if (run === undefined || runOf(before, run.runId) !== undefined) return []
  return [
    ...when(running(before) !== undefined, "it began during another run"),
    ...when(run.sequence !== 0, "it begins with a receipt"),
    ...when(run.cancel !== null || run.yieldRequest !== null, "it begins with a request")
  ]
}

const agrees = (row: TerminalInput): boolean => {
  const { outcome, terminal } = row
  if (outcome === undefined) return terminal.type === "consumed" && row.lastSequence !== undefined
  return outcomesOf(row).includes(outcome._tag) && row.lastSequence === undefined
}

const outcomesOf = ({ terminal }: TerminalInput): ReadonlyArray<CompletionOutcome["_tag"]> => {
  switch (terminal.type) {
    case "consumed":
      return ["Completed", "CompletedWithoutResult", "CallbackPending", "CompletedWithFinalizationFailure"]
    case "coalesced":
    case "superseded":
      return ["Abandoned"]
    case "abandoned":
      switch (terminal.reason.type) {
        case "cancelled":
          return ["Cancelled"]
        case "retired":
        case "reset":
        case "stopped":
        case "destroyed":
          return ["RuntimeTerminated"]
        default:
          return ["Abandoned", "AbandonedWithError"]
      }
  }
}

const endings = (before: Node, deed: Deed, after: Node): ReadonlyArray<string> => {
  const rows = deed.ended
  const settled = deed.emits.flatMap((emit) => emit._tag === "Settle" ? [emit.inputId] : [])
  const told = (id: InputId) => settled.filter((other) => other === id).length
  return [
    ...gone(before, after).flatMap((id) =>
      when(rows.filter(({ inputId }) => inputId === id).length !== 1, `${id} is gone without exactly one terminal row`)
    ),
    ...rows.flatMap((row) => when(!agrees(row), `${row.inputId} ended ${row.terminal.type} with ${row.outcome?._tag}`)),
    // An input that ends in an opening has no waiters.
    ...(before.live === null ? [] : rows).flatMap(({ inputId }) =>
      when(told(inputId) !== 1, `the waiters of ${inputId} were told ${told(inputId)} times`)
    )
  ]
}

/** The inputs that were open before and are not afterwards. Ephemeral inputs may end with the process. */
const gone = (before: Node, after: Node): ReadonlyArray<InputId> =>
  before.live === null
    ? Array.from(before.stored.inputs.keys()).filter((id) => !isOpen(after, id))
    : after.live === null || sameLedger(before, after)
    ? []
    : Ledger.all(before.live.ledger).flatMap(({ inputId }) => isOpen(after, inputId) ? [] : [inputId])

const sameLedger = (before: Node, after: Node): boolean =>
  before.live !== null && before.live.ledger === after.live?.ledger

const isOpen = ({ live, stored }: Node, id: InputId): boolean =>
  live === null ? stored.inputs.has(id) : Ledger.get(live.ledger, id) !== undefined

const finality = (before: Node, deed: Deed, after: Node): ReadonlyArray<string> => [
  ...deed.ended.flatMap(({ inputId }) => when(before.stored.ended.has(inputId), `${inputId} ended twice`)),
  ...(after.live === null || (sameLedger(before, after) && before.stored.ended === after.stored.ended)
    ? []
    : Ledger.all(after.live.ledger)).flatMap(({ inputId }) =>
      when(after.stored.ended.has(inputId), `${inputId} ended and is open`)
    ),
  ...(before.stored.ended === after.stored.ended ? [] : Array.from(before.stored.ended)).flatMap((id) =>
    when(!after.stored.ended.has(id), `${id} is open again`)
  )
]

const accounts = (before: Node, { command, ended }: Deed, after: Node): ReadonlyArray<string> => {
  const registering = before.live === null
  if (after.live === null || (!registering && command !== "failRun")) return []
  const { ledger } = after.live
  const open = registering ? Array.from(before.stored.inputs.values()) : Ledger.all(before.live.ledger)
  const members = open.filter(({ durability, status }) =>
    status.type === "staged" && !(registering && durability === "ephemeral")
  )
  const isPaid = ({ charged, crashed, inputId }: InputRecord): boolean => {
    const next = Ledger.get(ledger, inputId)
    return next === undefined
      ? ended.some((row) => row.inputId === inputId)
      : (registering ? next.crashed > crashed : next.charged > charged)
  }
  return when(members.length > 0 && !members.some(isPaid), "the run is charged to none of its inputs")
}

const condemned = ({ stored }: Node, { ended }: Deed): ReadonlyArray<string> =>
  ended.flatMap(({ inputId, terminal }) => {
    if (terminal.type !== "abandoned" || terminal.reason.type !== "crash_budget_exhausted") return []
    const rows = Array.from(stored.inputs.values()).filter(({ status }) => status.type === "staged")
    const alone = rows.length === 1 &&
      rows.every((row) => row.inputId === inputId && row.status.type === "staged" && row.status.alone === true)
    return when(!alone, `${inputId} was abandoned after a crash and had not run alone`)
  })

const monotone = (before: Node, _: Deed, after: Node): ReadonlyArray<string> => [
  ...when(after.stored.head.revision < before.stored.head.revision, "the stored revision went back"),
  ...when(after.stored.head.nextAdmissionSeq < before.stored.head.nextAdmissionSeq, "the stored sequence went back"),
  ...(before.live === null || after.live === null ? [] : countersOf(before.live, after.live))
]

const countersOf = (before: SessionState, after: SessionState): ReadonlyArray<string> => {
  const down = (what: string, a: number, b: number) => when(b < a, `${what} went from ${a} back to ${b}`)
  const [old, now] = [before.operations.epoch, after.operations.epoch]
  const [was, is] = [before.tools?.visibility, after.tools?.visibility]
  const run = running(before)
  return [
    ...down("the admission sequence", before.ledger.nextAdmissionSeq, after.ledger.nextAdmissionSeq),
    ...when(before.ledger.imageSeq !== after.ledger.imageSeq, "the image moved"),
    ...down("the feed", old.lastSeq, now.lastSeq),
    ...down("what was dropped", old.droppedThrough, now.droppedThrough),
    ...down("agentApplied", old.cursors.agentApplied, now.cursors.agentApplied),
    ...down("observed", old.cursors.observed, now.cursors.observed),
    ...down("injected", old.cursors.injected, now.cursors.injected),
    ...down("the active revision", was?.activeRevision ?? 0, is?.activeRevision ?? 0),
    ...down("the staged revision", was?.stagedRevision ?? 0, is?.stagedRevision ?? 0),
    ...(run === undefined
      ? []
      : down("the receipt sequence", run.sequence, runOf(after, run.runId)?.sequence ?? run.sequence)),
    ...(before.ledger === after.ledger ? [] : Ledger.all(before.ledger)).flatMap((record) => {
      const next = Ledger.get(after.ledger, record.inputId)
      if (next === undefined) return []
      const { inputId } = record
      return [
        ...down(`attempts of ${inputId}`, record.attempts, next.attempts),
        ...down(`charges of ${inputId}`, record.charged, next.charged),
        ...down(`crashes of ${inputId}`, record.crashed, next.crashed),
        ...when(record.admissionSeq !== next.admissionSeq, `${inputId} lost its place`)
      ]
    })
  ]
}

const successors = (before: Node, { command }: Deed, after: Node): ReadonlyArray<string> => {
  const [was, is] = [before.stored.head.lifecycle, after.stored.head.lifecycle]
  const registering = before.live === null
  const revived = command === "reset" || command === "recycle"
  return [
    ...when(was === "destroyed" && (is !== "destroyed" || registering), `destroyed became ${is}`),
    ...when(
      was === "stopped" && is !== "stopped" && is !== "destroyed" && !(registering && is === "idle"),
      `stopped became ${is}`
    ),
    ...when(was === "retired" && is !== "retired" && is !== "destroyed" && !revived, `retired became ${is}`)
  ]
}
