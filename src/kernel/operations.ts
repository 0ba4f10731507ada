/**
 * The commands of a session's background operations. The operations registry of the machine submits them.
 *
 * Invariants: a change that does not end an operation is a deferred write: its id becomes dirty and nothing is put. An
 * end is hard: one commit holds record, feed entry, epoch and dropped rows, before any watcher sees it. A refusal is
 * the reply and changes nothing.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import * as HashMap from "effect/HashMap"
import * as Option from "effect/Option"
import { bounded } from "../domain/BoundedText.js"
import type { Command, Decision, Emit } from "../domain/Command.js"
import type { OperationError } from "../domain/Errors.js"
import { OpDuplicateWait, OpNotFound, OpOwnerRetired, OpWaitAlreadyActive } from "../domain/Errors.js"
import type { OperationId, WaitRequestId } from "../domain/Ids.js"
import type {
  OperationEnd,
  OperationOutcome,
  OperationPeer,
  OperationRecord,
  OperationResult,
  OperationSpec
} from "../domain/Operation.js"
import type { Dirty, Env, Operations, SessionState } from "../domain/SessionState.js"
import type { Ended, Ending } from "./operationEnding.js"
import {
  changed,
  endOperations,
  forget,
  inOrder,
  isPinned,
  liveOperations,
  noticesOf,
  putsOf,
  retain
} from "./operationEnding.js"
import type { OperationAction, OperationRow } from "./operationRows.js"
import { rowFor } from "./operationRows.js"

/** The operation after the call, or the error. @since 0.1.0 @category models */
export type OperationReply = Either.Either<OperationRecord, OperationError>

/** Returns the operation with this id, or null. @since 0.1.0 @category accessors */
export const getOperation = (state: SessionState, id: OperationId): OperationRecord | null =>
  Option.getOrNull(HashMap.get(state.operations.records, id))

/** Returns every kept operation, ordered by display name. @since 0.1.0 @category accessors */
export const listOperations = (state: SessionState): ReadonlyArray<OperationRecord> =>
  Array.from(HashMap.values(state.operations.records)).sort((a, b) =>
    order(a.spec.displayName, b.spec.displayName) ||
    order(a.spec.id, b.spec.id)
  )

// ---------------------------------------------------------------------------------------------------------------------
// one operation
// ---------------------------------------------------------------------------------------------------------------------

/**
 * Registers an operation in status `provisioning`. An id may be reused once its operation and feed entry were dropped.
 *
 * @since 0.1.0
 * @category commands
 */
export const registerOperation = (spec: OperationSpec): Command<OperationReply> =>
  answering("register", spec.id, (state, env, row) =>
    soft(state, row, {
      spec,
      status: "provisioning",
      peerReady: false,
      progressCount: 0,
      createdAt: env.now
    }))

/** Starts an operation that was registered. @since 0.1.0 @category commands */
export const provisioningSucceeded = (id: OperationId): Command<OperationReply> =>
  changing("provisioningSucceeded", id, (record, now) => ({ ...record, startedAt: Math.max(now, record.createdAt) }))

/** Registers and starts an operation in one command. @since 0.1.0 @category commands */
export const startOperation = (spec: OperationSpec): Command<OperationReply> => ({
  name: "operation.start",
  decide: (state, env) =>
    Either.flatMap(registerOperation(spec).decide(state, env), (registered) =>
      Either.isLeft(registered.reply)
        ? Either.right(registered)
        : Either.map(
          provisioningSucceeded(spec.id).decide(registered.state, env),
          (started) => ({ ...started, emits: [...registered.emits, ...started.emits] })
        ))
})

/** Counts one progress report; its content is not kept. @since 0.1.0 @category commands */
export const reportProgress = (id: OperationId): Command<OperationReply> =>
  changing("reportProgress", id, (record) => ({ ...record, progressCount: record.progressCount + 1 }))

/** Records the reachable peer of a member child, once per operation. @since 0.1.0 @category commands */
export const peerReady = (id: OperationId, peer: OperationPeer): Command<OperationReply> =>
  changing("peerReady", id, (record) => ({ ...record, peerReady: true, peer }))

/** Asks an operation to wind down. @since 0.1.0 @category commands */
export const requestRetire = (id: OperationId): Command<OperationReply> =>
  changing("requestRetire", id, (record) => record)

/**
 * Ends an operation as failed before its start; after the start it equals `failOperation`.
 *
 * @since 0.1.0
 * @category commands
 */
export const provisioningFailed = (id: OperationId, error: string): Command<OperationReply> =>
  ending("provisioningFailed", id, { _tag: "Failed", error: bounded(error) })

/** Ends an operation as completed. @since 0.1.0 @category commands */
export const completeOperation = (id: OperationId, result: OperationResult): Command<OperationReply> =>
  ending("complete", id, { _tag: "Completed", result })

/** Ends an operation as failed. @since 0.1.0 @category commands */
export const failOperation = (id: OperationId, error: string): Command<OperationReply> =>
  ending("fail", id, { _tag: "Failed", error: bounded(error) })

/** Ends an operation before its start. @since 0.1.0 @category commands */
export const abortOperation = (id: OperationId, reason?: string): Command<OperationReply> =>
  ending("abort", id, { _tag: "Aborted", ...(reason === undefined ? {} : { reason: bounded(reason) }) })

/** Ends an operation as cancelled. @since 0.1.0 @category commands */
export const cancelOperation = (id: OperationId, reason?: string): Command<OperationReply> =>
  ending("cancel", id, { _tag: "Cancelled", ...(reason === undefined ? {} : { reason: bounded(reason) }) })

/** Ends an operation as retired. @since 0.1.0 @category commands */
export const markRetired = (id: OperationId): Command<OperationReply> => ending("markRetired", id, { _tag: "Retired" })

// ---------------------------------------------------------------------------------------------------------------------
// many operations
// ---------------------------------------------------------------------------------------------------------------------

/** Which operations `terminateOwner` ends. @since 0.1.0 @category models */
export interface TerminateOptions {
  /** true at unregistration, which external operations outlive (D28) */
  readonly onlyProcessOwned: boolean
  /** ends only the oldest ones; all of them if absent */
  readonly atMost?: number
}

/**
 * Ends the live operations with `Terminated{reason}` in one commit and replies their ids. Destroy and the closing
 * commit contain it.
 *
 * @since 0.1.0
 * @category commands
 */
export const terminateOperations = (
  state: SessionState,
  env: Env,
  reason: string,
  options: TerminateOptions
): Decision<ReadonlyArray<OperationId>> => {
  const endings = liveOperations(state.operations)
    .filter(({ spec }) => !options.onlyProcessOwned || spec.owner === "process")
    .slice(0, options.atMost)
    .map((record): Ending => ({ record, outcome: { _tag: "Terminated", reason } }))
  return endings.length === 0
    ? { state, emits: [], reply: [] }
    : hard(state, endOperations(state.operations, endings, env.now, env.limits), endings.map((e) => e.record.spec.id))
}

/** `terminateOperations` as a command. @since 0.1.0 @category commands */
export const terminateOwner = (
  reason: string,
  options: TerminateOptions = { onlyProcessOwned: false }
): Command<ReadonlyArray<OperationId>> =>
  command("operations.terminateOwner", (state, env) => terminateOperations(state, env, bounded(reason), options))

/** Retires the epoch for good; destroy calls it after `terminateOperations` (D30). @since 0.1.0 @category commands */
export const retireEpoch = (state: SessionState): Decision<void> => {
  if (state.operations.epoch.retired) return { state, emits: [], reply: undefined }
  const epoch = { ...state.operations.epoch, retired: true }
  return {
    state: { ...state, operations: { ...state.operations, epoch, barrier: null } },
    emits: [{ _tag: "PutEpoch", epoch }],
    reply: undefined
  }
}

/**
 * Replies the terminal operations in the order of their ends, and drops them. Members of a pending barrier stay until
 * it ends; the feed does not change.
 *
 * @since 0.1.0
 * @category commands
 */
export const collectCompleted: Command<ReadonlyArray<OperationEnd>> = {
  name: "operations.collectCompleted",
  decide: (state) => {
    const collected = state.operations.completed.flatMap((id): ReadonlyArray<OperationEnd> => {
      const outcome = getOperation(state, id)?.outcome
      return outcome === undefined || isPinned(state.operations, id) ? [] : [[id, outcome]]
    })
    const ids = collected.map(([id]) => id)
    const next = ids.length === 0 ? state : dropped(state, forget(state.operations, ids), ids)
    return Either.right({ state: next, emits: [], reply: collected })
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// wait-all
// ---------------------------------------------------------------------------------------------------------------------

/** The reply of a wait-all; outcomes in the order of the call. @since 0.1.0 @category models */
export type WaitAllReply =
  | { readonly _tag: "Satisfied"; readonly requestId: WaitRequestId; readonly outcomes: ReadonlyArray<OperationEnd> }
  /** some have ended; `BarrierSatisfied` with this request id follows the end of the last of `pending` */
  | {
    readonly _tag: "Waiting"
    readonly requestId: WaitRequestId
    readonly pending: ReadonlyArray<OperationId>
    readonly outcomes: ReadonlyArray<OperationEnd>
  }

/**
 * Sets the session's single barrier for these operations. It sets no barrier if all of them have ended.
 *
 * @since 0.1.0
 * @category commands
 */
export const beginWaitAll = (options: {
  readonly requestId: WaitRequestId
  readonly ids: ReadonlyArray<OperationId>
}): Command<Either.Either<WaitAllReply, OperationError>> =>
  command("operations.beginWaitAll", (state) => {
    const objection = waitObjection(state, options.ids)
    if (objection !== null) return unchanged(state, objection)
    const { ids: members, requestId } = options
    const outcomes = outcomesOf(state.operations, members)
    const pending = members.filter((id) => !HashMap.has(outcomes, id))
    if (pending.length === 0) {
      const reply: WaitAllReply = { _tag: "Satisfied", requestId, outcomes: inOrder(members, outcomes) }
      return { state, emits: [], reply: Either.right(reply) }
    }
    const operations: Operations = { ...state.operations, barrier: { requestId, members, outcomes } }
    const reply: WaitAllReply = { _tag: "Waiting", requestId, pending, outcomes: inOrder(members, outcomes) }
    return { state: { ...state, operations }, emits: [], reply: Either.right(reply) }
  })

/** Removes the barrier of this request and replies whether it existed. @since 0.1.0 @category commands */
export const cancelWaitAll = (requestId: WaitRequestId): Command<boolean> =>
  command("operations.cancelWaitAll", (state, env) => {
    if (state.operations.barrier?.requestId !== requestId) return { state, emits: [], reply: false }
    const kept = retain({ ...state.operations, barrier: null }, env.limits)
    return { state: dropped(state, kept.operations, kept.evicted), emits: [], reply: true }
  })

// --- internal ---

const order = (a: string, b: string): number => a < b ? -1 : a > b ? 1 : 0

const command = <A>(name: string, decide: (state: SessionState, env: Env) => Decision<A>): Command<A> => ({
  name,
  decide: (state, env) => Either.right(decide(state, env))
})

const unchanged = <A>(state: SessionState, error: OperationError): Decision<Either.Either<A, OperationError>> => ({
  state,
  emits: [],
  reply: Either.left(error)
})

/** A destroyed session refuses every action; a session under teardown refuses new operations. */
const isClosed = (state: SessionState, on: OperationAction): boolean =>
  state.operations.epoch.retired || state.lifecycle._tag === "Destroyed" ||
  (on === "register" && state.registration._tag === "Draining")

/** Makes a command about one operation: looks its row up and applies `next` if the table has one. */
const answering = (
  on: OperationAction,
  id: OperationId,
  next: (state: SessionState, env: Env, row: OperationRow) => Decision<OperationReply>
): Command<OperationReply> =>
  command(`operation.${on}`, (state, env) => {
    if (isClosed(state, on)) return unchanged(state, new OpOwnerRetired({ sessionId: state.sessionId }))
    const { completed, feed, records } = state.operations
    const row = rowFor(on, {
      id,
      record: getOperation(state, id),
      inFeed: on === "register" && feed.some((entry) => entry.operationId === id),
      active: HashMap.size(records) - completed.length,
      limit: env.limits.maxConcurrentOperations
    })
    return Either.isLeft(row) ? unchanged(state, row.left) : next(state, env, row.right)
  })

/** Does the same for an operation that must exist: its row does not start from `absent`. */
const existing = (
  on: OperationAction,
  id: OperationId,
  next: (state: SessionState, env: Env, row: OperationRow, record: OperationRecord) => Decision<OperationReply>
): Command<OperationReply> =>
  answering(on, id, (state, env, row) => {
    const record = getOperation(state, id)
    return record === null ? unchanged(state, new OpNotFound({ id })) : next(state, env, row, record)
  })

const changing = (
  on: OperationAction,
  id: OperationId,
  update: (record: OperationRecord, now: number) => OperationRecord
): Command<OperationReply> => existing(on, id, (state, env, row, record) => soft(state, row, update(record, env.now)))

const ending = (on: OperationAction, id: OperationId, outcome: OperationOutcome): Command<OperationReply> =>
  existing(on, id, (state, env, _row, record) => {
    const ended = endOperations(state.operations, [{ record, outcome }], env.now, env.limits)
    return hard(state, ended, Either.right(ended.records[0] ?? record))
  })

/** Makes a non-terminal change: it is published at once and stored with the next commit. */
const soft = (state: SessionState, row: OperationRow, updated: OperationRecord): Decision<OperationReply> => {
  const record = row.to === "same" ? updated : { ...updated, status: row.to }
  const { id } = record.spec
  const event: Emit = { _tag: "Event", event: changed(record) }
  return {
    state: {
      ...state,
      operations: { ...state.operations, records: HashMap.set(state.operations.records, id, record) },
      dirty: touched(state.dirty, id)
    },
    emits: row.to === "same" ? [] : [event],
    reply: Either.right(record)
  }
}

const hard = <A>(state: SessionState, ended: Ended, reply: A): Decision<A> => ({
  state: {
    ...state,
    operations: ended.operations,
    dirty: written(state.dirty, [...ended.records.map(({ spec }) => spec.id), ...ended.evicted])
  },
  emits: [...putsOf(ended), ...noticesOf(ended)],
  reply
})

const touched = (dirty: Dirty, id: OperationId): Dirty => ({
  ...dirty,
  operations: dirty.operations.includes(id) ? dirty.operations : [...dirty.operations, id],
  dropOperations: dirty.dropOperations.filter((dropped) => dropped !== id)
})

/** Clears the deferred writes that a hard decision covers: its puts carry the newest record and all cursors. */
const written = (dirty: Dirty, ids: ReadonlyArray<OperationId>): Dirty => ({
  ...dirty,
  operations: dirty.operations.filter((id) => !ids.includes(id)),
  cursors: false
})

/** Drops operations without a put: the next commit deletes their rows. */
const dropped = (state: SessionState, operations: Operations, ids: ReadonlyArray<OperationId>): SessionState => ({
  ...state,
  operations,
  dirty: {
    ...state.dirty,
    operations: state.dirty.operations.filter((id) => !ids.includes(id)),
    dropOperations: [...state.dirty.dropOperations, ...ids]
  }
})

const waitObjection = (state: SessionState, ids: ReadonlyArray<OperationId>): OperationError | null => {
  if (isClosed(state, "terminate")) return new OpOwnerRetired({ sessionId: state.sessionId })
  const twice = ids.find((id, i) => ids.indexOf(id) < i)
  if (twice !== undefined) return new OpDuplicateWait({ id: twice })
  if (state.operations.barrier !== null) return new OpWaitAlreadyActive()
  const unknown = ids.find((id) => !HashMap.has(state.operations.records, id))
  return unknown === undefined ? null : new OpNotFound({ id: unknown })
}

const outcomesOf = (
  operations: Operations,
  ids: ReadonlyArray<OperationId>
): HashMap.HashMap<OperationId, OperationOutcome> =>
  HashMap.fromIterable(ids.flatMap((id): ReadonlyArray<OperationEnd> => {
    const outcome = Option.getOrUndefined(HashMap.get(operations.records, id))?.outcome
    return outcome === undefined ? [] : [[id, outcome]]
  }))
