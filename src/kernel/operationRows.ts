/**
 * The transition table of one background operation, as data. The operation commands look their row up here.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import type { OperationError } from "../domain/Errors.js"
import {
  OpAlreadyPeerReady,
  OpAlreadyRegistered,
  OpInvalidTransition,
  OpMaxConcurrentExceeded,
  OpNotFound,
  OpPeerNotExpected
} from "../domain/Errors.js"
import type { OperationId } from "../domain/Ids.js"
import type { OperationOutcome, OperationRecord, OperationStatus } from "../domain/Operation.js"

/** An action on an operation; also the label in `OpInvalidTransition`. @since 0.1.0 @category models */
export type OperationAction =
  | "register"
  | "provisioningSucceeded"
  | "provisioningFailed"
  | "reportProgress"
  | "peerReady"
  | "complete"
  | "fail"
  | "abort"
  | "cancel"
  | "requestRetire"
  | "markRetired"
  | "terminate"

/** What a guard may read. `limit: null` means no limit. @since 0.1.0 @category models */
export interface OperationSubject {
  readonly id: OperationId
  readonly record: OperationRecord | null
  /** an ended operation with this id is still in the feed, where an id names one operation */
  readonly inFeed: boolean
  readonly active: number
  readonly limit: number | null
}

/** A condition beside the status, and the error if it does not hold. @since 0.1.0 @category models */
export interface OperationGuard {
  readonly name: string
  readonly objection: (subject: OperationSubject) => OperationError | null
}

/** One row of the table. Its guards are evaluated in order, before the status. @since 0.1.0 @category models */
export interface OperationRow {
  readonly id: string
  readonly on: OperationAction
  readonly from: ReadonlyArray<OperationStatus | "absent">
  readonly to: OperationStatus | "same"
  readonly guards: ReadonlyArray<OperationGuard>
}

const unregistered: OperationGuard = {
  name: "unregistered",
  objection: ({ id, inFeed, record }) => record === null && !inFeed ? null : new OpAlreadyRegistered({ id })
}

const belowLimit: OperationGuard = {
  name: "below_limit",
  objection: ({ active, limit }) =>
    limit === null || active < limit ? null : new OpMaxConcurrentExceeded({ limit, active })
}

const peerExpected: OperationGuard = {
  name: "peer_expected",
  objection: ({ id, record }) => record?.spec.kind === "mob_member_child" ? null : new OpPeerNotExpected({ id })
}

const peerNotReady: OperationGuard = {
  name: "peer_not_ready",
  objection: ({ id, record }) => record?.peerReady === true ? new OpAlreadyPeerReady({ id }) : null
}

const row = (
  on: OperationAction,
  from: OperationRow["from"],
  to: OperationRow["to"],
  guards: ReadonlyArray<OperationGuard> = []
): OperationRow => ({ id: `operation.${on}`, on, from, to, guards })

const live = ["provisioning", "running", "retiring"] as const
const started = ["running", "retiring"] as const

const table: Readonly<Record<OperationAction, OperationRow>> = {
  register: row("register", ["absent"], "provisioning", [unregistered, belowLimit]),
  provisioningSucceeded: row("provisioningSucceeded", ["provisioning"], "running"),
  provisioningFailed: row("provisioningFailed", live, "failed"),
  reportProgress: row("reportProgress", started, "same"),
  peerReady: row("peerReady", started, "same", [peerExpected, peerNotReady]),
  complete: row("complete", started, "completed"),
  fail: row("fail", live, "failed"),
  abort: row("abort", ["provisioning"], "aborted"),
  cancel: row("cancel", live, "cancelled"),
  requestRetire: row("requestRetire", ["running"], "retiring"),
  markRetired: row("markRetired", started, "retired"),
  terminate: row("terminate", live, "terminated")
}

/** The rows, in the order of an operation's life. @since 0.1.0 @category table */
export const operationRows: ReadonlyArray<OperationRow> = Object.values(table)

/** True for the statuses of ended operations. @since 0.1.0 @category table */
export const isTerminalStatus = (status: OperationStatus): boolean =>
  status !== "provisioning" && status !== "running" && status !== "retiring"

/** Returns the status that belongs to an outcome. @since 0.1.0 @category table */
export const statusOfOutcome = (outcome: OperationOutcome): OperationStatus => {
  switch (outcome._tag) {
    case "Completed":
      return "completed"
    case "Failed":
      return "failed"
    case "Aborted":
      return "aborted"
    case "Cancelled":
      return "cancelled"
    case "Retired":
      return "retired"
    case "Terminated":
      return "terminated"
  }
}

/**
 * Returns the row for an action, or the error: first for an unknown id, then of the guards, then for the status.
 *
 * @since 0.1.0
 * @category table
 */
export const rowFor = (
  on: OperationAction,
  subject: OperationSubject
): Either.Either<OperationRow, OperationError> => {
  const row = table[on]
  const status = subject.record?.status ?? "absent"
  if (status === "absent" && !row.from.includes("absent")) return Either.left(new OpNotFound({ id: subject.id }))
  for (const guard of row.guards) {
    const error = guard.objection(subject)
    if (error !== null) return Either.left(error)
  }
  return row.from.includes(status)
    ? Either.right(row)
    : Either.left(new OpInvalidTransition({ id: subject.id, status, action: on }))
}
