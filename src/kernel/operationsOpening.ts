/**
 * How the stored operations of a session are opened (D28, D30). The opening of a session calls it; the next incarnation
 * continues the stored epoch.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import * as HashMap from "effect/HashMap"
import type { Emit } from "../domain/Command.js"
import type { EpochId, OperationId } from "../domain/Ids.js"
import type { CompletionEntry, OperationRecord } from "../domain/Operation.js"
import type { EpochFacts, RuntimeImage } from "../domain/RuntimeCommit.js"
import type { Env, Operations } from "../domain/SessionState.js"
import type { Ending } from "./operationEnding.js"
import { endOperations, liveOperations, putsOf } from "./operationEnding.js"
import { isTerminalStatus, statusOfOutcome } from "./operationRows.js"

/** The part of an opening image that this module reads. @since 0.1.0 @category models */
export type OperationsImage = Pick<RuntimeImage, "epoch" | "operations" | "feed">

/**
 * The opened operations, and the puts of the opening commit; no puts without a change.
 *
 * @since 0.1.0
 * @category models
 */
export interface OperationsOpening {
  readonly operations: Operations
  readonly emits: ReadonlyArray<Emit>
}

/** A contradiction between stored rows. @since 0.1.0 @category models */
export interface OperationsCorruption {
  readonly table: "epoch" | "operation" | "feed"
  readonly key: string
  readonly reason: string
}

/** Makes the first epoch of a session; no operation has ended in it. @since 0.1.0 @category constructors */
export const mintEpoch = (epochId: EpochId): EpochFacts => ({
  epochId,
  retired: false,
  lastSeq: 0,
  droppedThrough: 0,
  cursors: { agentApplied: 0, observed: 0, injected: 0 }
})

/** The state of a session without operations. @since 0.1.0 @category constructors */
export const emptyOperations = (epoch: EpochFacts): Operations => ({
  records: HashMap.empty(),
  completed: [],
  feed: [],
  epoch,
  barrier: null
})

/**
 * Adopts the stored epoch with its feed and cursors, or mints one (`epochId`) for a session without an epoch. Live
 * operations of the last process end `Terminated{"runtime restarted"}` with new sequences; external operations stay. A
 * pending barrier was lost with the process that waited. Fails if the stored rows contradict each other.
 *
 * @since 0.1.0
 * @category opening
 */
export const openOperations = (
  image: OperationsImage,
  epochId: EpochId,
  env: Pick<Env, "now" | "limits">
): Either.Either<OperationsOpening, OperationsCorruption> => {
  const { epoch } = image
  if (epoch === null) return openFresh(image, epochId)
  const feed = image.feed.filter(({ seq }) => seq > epoch.droppedThrough)
  const corruption = epochCorruption(epoch) ?? feedCorruption(epoch, feed) ?? recordsCorruption(epoch, feed, image)
  if (corruption !== null) return Either.left(corruption)
  const operations = restore(epoch, feed, image.operations)
  const endings = liveOperations(operations)
    .filter(({ spec }) => spec.owner === "process")
    .map((record): Ending => ({ record, outcome: { _tag: "Terminated", reason: "runtime restarted" } }))
  if (endings.length === 0) return Either.right({ operations, emits: [] })
  const ended = endOperations(operations, endings, env.now, env.limits)
  return Either.right({ operations: ended.operations, emits: putsOf(ended) })
}

// --- internal ---

const openFresh = (
  image: OperationsImage,
  epochId: EpochId
): Either.Either<OperationsOpening, OperationsCorruption> => {
  const operation = image.operations[0]
  if (operation !== undefined) return Either.left(corrupt("operation", operation.spec.id, "it belongs to no epoch"))
  const entry = image.feed[0]
  if (entry !== undefined) return Either.left(corrupt("feed", entry.seq, "it belongs to no epoch"))
  const epoch = mintEpoch(epochId)
  return Either.right({ operations: emptyOperations(epoch), emits: [{ _tag: "PutEpoch", epoch }] })
}

const restore = (
  epoch: EpochFacts,
  feed: ReadonlyArray<CompletionEntry>,
  records: ReadonlyArray<OperationRecord>
): Operations => ({
  records: HashMap.fromIterable(records.map((record) => [record.spec.id, record] as const)),
  completed: records
    .filter(({ status }) => isTerminalStatus(status))
    .sort((a, b) => (a.completionSeq ?? 0) - (b.completionSeq ?? 0))
    .map(({ spec }) => spec.id),
  feed,
  epoch,
  barrier: null
})

const corrupt = (table: OperationsCorruption["table"], key: string | number, reason: string): OperationsCorruption => ({
  table,
  key: String(key),
  reason
})

const epochCorruption = ({ cursors, droppedThrough, epochId, lastSeq, retired }: EpochFacts) => {
  const { agentApplied, injected, observed } = cursors
  if (retired) return corrupt("epoch", epochId, "it was retired, but its session was not destroyed")
  if (droppedThrough > lastSeq) {
    return corrupt("epoch", epochId, `entries were dropped through ${droppedThrough}, but the last one is ${lastSeq}`)
  }
  if (Math.max(agentApplied, observed, injected) > lastSeq) {
    return corrupt("epoch", epochId, `a cursor is beyond the last entry, ${lastSeq}`)
  }
  return injected > observed
    ? corrupt("epoch", epochId, `injected (${injected}) is ahead of observed (${observed})`)
    : null
}

const feedCorruption = ({ droppedThrough, lastSeq }: EpochFacts, feed: ReadonlyArray<CompletionEntry>) => {
  const misplaced = feed.findIndex(({ seq }, i) => seq !== droppedThrough + 1 + i)
  const entry = feed[misplaced]
  if (entry !== undefined) return corrupt("feed", entry.seq, `entry ${droppedThrough + 1 + misplaced} was expected`)
  return droppedThrough + feed.length === lastSeq
    ? null
    : corrupt("feed", droppedThrough + feed.length, `the feed ends here, but the last entry is ${lastSeq}`)
}

const recordsCorruption = (
  epoch: EpochFacts,
  feed: ReadonlyArray<CompletionEntry>,
  { operations }: OperationsImage
): OperationsCorruption | null => {
  const taken = new Map<number, OperationId>()
  for (const record of operations) {
    const reason = recordObjection(record, epoch, feed, taken)
    if (reason !== null) return corrupt("operation", record.spec.id, reason)
    if (record.completionSeq !== undefined) taken.set(record.completionSeq, record.spec.id)
  }
  return null
}

const recordObjection = (
  { completionSeq: seq, outcome, spec, status }: OperationRecord,
  { droppedThrough, lastSeq }: EpochFacts,
  feed: ReadonlyArray<CompletionEntry>,
  taken: ReadonlyMap<number, OperationId>
): string | null => {
  if (!isTerminalStatus(status)) {
    return outcome === undefined && seq === undefined ? null : `it is ${status}, but has an outcome or a sequence`
  }
  if (outcome === undefined) return `it is ${status}, but has no outcome`
  if (statusOfOutcome(outcome) !== status) return `it is ${status}, but its outcome is ${outcome._tag}`
  if (seq === undefined) return `it is ${status}, but has no sequence`
  if (seq < 1 || seq > lastSeq) return `its sequence ${seq} is outside the feed, which ends at ${lastSeq}`
  const other = taken.get(seq)
  if (other !== undefined) return `its sequence ${seq} is also that of ${other}`
  const entry = feed[seq - droppedThrough - 1]
  return entry === undefined || entry.operationId === spec.id
    ? null
    : `its sequence ${seq} is in the feed for ${entry.operationId}`
}
