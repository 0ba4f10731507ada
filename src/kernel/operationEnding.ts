/**
 * How operations end: numbers, feed, barrier and retention, for one of them or many at once.
 *
 * @since 0.1.0
 */
import * as HashMap from "effect/HashMap"
import * as Option from "effect/Option"
import type { Emit } from "../domain/Command.js"
import type { OperationId, WaitRequestId } from "../domain/Ids.js"
import type { CompletionEntry, OperationEnd, OperationOutcome, OperationRecord } from "../domain/Operation.js"
import type { Barrier, KernelLimits, Operations } from "../domain/SessionState.js"
import { appendEntries } from "./feed.js"
import { isTerminalStatus, statusOfOutcome } from "./operationRows.js"

/** A barrier all of whose members ended. Outcomes in the order that was asked for. @since 0.1.0 @category models */
export interface SatisfiedBarrier {
  readonly requestId: WaitRequestId
  readonly outcomes: ReadonlyArray<OperationEnd>
}

/** What ending some operations did. @since 0.1.0 @category models */
export interface Ended {
  readonly operations: Operations
  /** the records as they ended, in feed order */
  readonly records: ReadonlyArray<OperationRecord>
  readonly entries: ReadonlyArray<CompletionEntry>
  /** operations that retention forgot */
  readonly evicted: ReadonlyArray<OperationId>
  readonly satisfied: SatisfiedBarrier | null
}

/** An operation that is to end. @since 0.1.0 @category models */
export interface Ending {
  readonly record: OperationRecord
  readonly outcome: OperationOutcome
}

/**
 * Ends live operations: each gets the next sequence and one feed entry; the barrier keeps a copy of each member's
 * outcome and is cleared when it has all; then retention forgets the oldest that no barrier waits for.
 *
 * @since 0.1.0
 * @category transitions
 */
export const endOperations = (
  operations: Operations,
  endings: ReadonlyArray<Ending>,
  now: number,
  limits: KernelLimits
): Ended => {
  const first = operations.epoch.lastSeq + 1
  const ended = endings.map((ending, i) => endOne(ending, first + i, now))
  const records = ended.map(({ record }) => record)
  const entries = ended.map(({ entry }) => entry)
  const { barrier, satisfied } = passBarrier(operations.barrier, endings)
  const fed = appendEntries(operations, entries, limits.feedRetention)
  const kept = retain({
    ...fed,
    records: records.reduce((map, record) => HashMap.set(map, record.spec.id, record), fed.records),
    completed: [...fed.completed, ...records.map(({ spec }) => spec.id)],
    barrier
  }, limits)
  return { operations: kept.operations, records, entries, evicted: kept.evicted, satisfied }
}

/** What is written of it: rows that stay, feed, epoch, rows that go. @since 0.1.0 @category transitions */
export const putsOf = (ended: Ended): ReadonlyArray<Emit> => [
  ...ended.records
    .filter(({ spec }) => !ended.evicted.includes(spec.id))
    .map((record): Emit => ({ _tag: "PutOperation", record })),
  ...ended.entries.map((entry): Emit => ({ _tag: "PutFeed", entry })),
  { _tag: "PutEpoch", epoch: ended.operations.epoch },
  ...ended.evicted.map((id): Emit => ({ _tag: "DropOperation", id }))
]

/** Who is told of it: watchers, the barrier's waiter, the events. @since 0.1.0 @category transitions */
export const noticesOf = (ended: Ended): ReadonlyArray<Emit> => [
  ...ended.entries.map(({ operationId, outcome }): Emit => ({ _tag: "SettleOperation", id: operationId, outcome })),
  ...(ended.satisfied === null ? [] : [{ _tag: "BarrierSatisfied", ...ended.satisfied } as const]),
  ...ended.records.map((record): Emit => ({ _tag: "Event", event: changed(record) }))
]

/** The event that tells of an operation's status. @since 0.1.0 @category transitions */
export const changed = (record: OperationRecord) => ({
  _tag: "OperationChanged" as const,
  operationId: record.spec.id,
  status: record.status,
  ...(record.outcome === undefined ? {} : { outcome: record.outcome })
})

/**
 * Forgets the oldest terminal operations beyond `maxCompletedOperations` (at least 1), never members of the barrier.
 *
 * @since 0.1.0
 * @category retention
 */
export const retain = (
  operations: Operations,
  limits: KernelLimits
): { readonly operations: Operations; readonly evicted: ReadonlyArray<OperationId> } => {
  const excess = operations.completed.length - Math.max(1, limits.maxCompletedOperations)
  if (excess <= 0) return { operations, evicted: [] }
  const evicted = operations.completed.filter((id) => !isPinned(operations, id)).slice(0, excess)
  return evicted.length === 0 ? { operations, evicted } : { operations: forget(operations, evicted), evicted }
}

/** Takes terminal operations out of the records; their feed entries stay. @since 0.1.0 @category retention */
export const forget = (operations: Operations, ids: ReadonlyArray<OperationId>): Operations => ({
  ...operations,
  records: HashMap.removeMany(operations.records, ids),
  completed: operations.completed.filter((id) => !ids.includes(id))
})

/** Whether the pending barrier waits for this operation. @since 0.1.0 @category retention */
export const isPinned = (operations: Operations, id: OperationId): boolean =>
  operations.barrier !== null && operations.barrier.members.includes(id)

/** The live operations, oldest first. @since 0.1.0 @category accessors */
export const liveOperations = (operations: Operations): ReadonlyArray<OperationRecord> =>
  Array.from(HashMap.values(operations.records))
    .filter(({ status }) => !isTerminalStatus(status))
    .sort((a, b) => a.createdAt - b.createdAt || (a.spec.id < b.spec.id ? -1 : 1))

// --- internal ---

const endOne = (
  { outcome, record }: Ending,
  seq: number,
  now: number
): { readonly record: OperationRecord; readonly entry: CompletionEntry } => {
  // the three times of a record stay in order, also when the clock was set back
  const completedAt = Math.max(now, record.startedAt ?? record.createdAt)
  const { displayName, id: operationId, kind } = record.spec
  return {
    record: { ...record, status: statusOfOutcome(outcome), outcome, completionSeq: seq, completedAt },
    entry: { seq, operationId, kind, displayName, outcome, completedAt }
  }
}

const passBarrier = (
  barrier: Barrier | null,
  endings: ReadonlyArray<Ending>
): { readonly barrier: Barrier | null; readonly satisfied: SatisfiedBarrier | null } => {
  if (barrier === null) return { barrier, satisfied: null }
  const outcomes = endings
    .filter(({ record }) => barrier.members.includes(record.spec.id))
    .reduce((map, { outcome, record }) => HashMap.set(map, record.spec.id, outcome), barrier.outcomes)
  return HashMap.size(outcomes) < barrier.members.length
    ? { barrier: { ...barrier, outcomes }, satisfied: null }
    : { barrier: null, satisfied: { requestId: barrier.requestId, outcomes: inOrder(barrier.members, outcomes) } }
}

/** The outcomes that are there, in the order asked for. @since 0.1.0 @category accessors */
export const inOrder = (
  members: ReadonlyArray<OperationId>,
  outcomes: HashMap.HashMap<OperationId, OperationOutcome>
): ReadonlyArray<OperationEnd> =>
  members.flatMap((id) =>
    Option.match(HashMap.get(outcomes, id), {
      onNone: (): ReadonlyArray<OperationEnd> => [],
      onSome: (outcome): ReadonlyArray<OperationEnd> => [[id, outcome]]
    })
  )
