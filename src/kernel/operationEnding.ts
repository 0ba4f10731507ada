/**
 * How operations end: sequence, feed entry, barrier and retention, for one operation or many at once. The operation
 * commands and the opening call it.
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

/** A barrier whose members have all ended; outcomes in the order of the call. @since 0.1.0 @category models */
export interface SatisfiedBarrier {
  readonly requestId: WaitRequestId
  readonly outcomes: ReadonlyArray<OperationEnd>
}

/** The result of ending operations. @since 0.1.0 @category models */
export interface Ended {
  readonly operations: Operations
  /** the ended records, in feed order */
  readonly records: ReadonlyArray<OperationRecord>
  readonly entries: ReadonlyArray<CompletionEntry>
  /** operations that retention dropped */
  readonly evicted: ReadonlyArray<OperationId>
  readonly satisfied: SatisfiedBarrier | null
}

/** An operation and the outcome with which it ends. @since 0.1.0 @category models */
export interface Ending {
  readonly record: OperationRecord
  readonly outcome: OperationOutcome
}

/**
 * Ends live operations. Each gets the next sequence and one feed entry. The barrier copies the outcome of each member
 * and is cleared once it has all. Then retention drops the oldest operations that no barrier waits for.
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

/** The puts of the ends: kept rows, feed entries, epoch, dropped rows. @since 0.1.0 @category transitions */
export const putsOf = (ended: Ended): ReadonlyArray<Emit> => [
  ...ended.records
    .filter(({ spec }) => !ended.evicted.includes(spec.id))
    .map((record): Emit => ({ _tag: "PutOperation", record })),
  ...ended.entries.map((entry): Emit => ({ _tag: "PutFeed", entry })),
  { _tag: "PutEpoch", epoch: ended.operations.epoch },
  ...ended.evicted.map((id): Emit => ({ _tag: "DropOperation", id }))
]

/**
 * The notices of the ends: for watchers, for the barrier's waiter, and the events.
 *
 * @since 0.1.0
 * @category transitions
 */
export const noticesOf = (ended: Ended): ReadonlyArray<Emit> => [
  ...ended.entries.map(({ operationId, outcome }): Emit => ({ _tag: "SettleOperation", id: operationId, outcome })),
  ...(ended.satisfied === null ? [] : [{ _tag: "BarrierSatisfied", ...ended.satisfied } as const]),
  ...ended.records.map((record): Emit => ({ _tag: "Event", event: changed(record) }))
]

/** Makes the event for an operation's current status. @since 0.1.0 @category transitions */
export const changed = (record: OperationRecord) => ({
  _tag: "OperationChanged" as const,
  operationId: record.spec.id,
  status: record.status,
  ...(record.outcome === undefined ? {} : { outcome: record.outcome })
})

/**
 * Drops the oldest terminal operations beyond `maxCompletedOperations` (at least 1), but never members of the barrier.
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

/** Removes terminal operations from the records; their feed entries stay. @since 0.1.0 @category retention */
export const forget = (operations: Operations, ids: ReadonlyArray<OperationId>): Operations => ({
  ...operations,
  records: HashMap.removeMany(operations.records, ids),
  completed: operations.completed.filter((id) => !ids.includes(id))
})

/** True if the pending barrier waits for this operation. @since 0.1.0 @category retention */
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
  // keeps the three times of a record in order even if the clock was set back
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

/** Returns the known outcomes in the order of `members`. @since 0.1.0 @category accessors */
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
