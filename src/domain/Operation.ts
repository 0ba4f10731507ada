/**
 * Background operations of a session, and the feed of the operations that have ended.
 *
 * The kernel owns their transitions, the store keeps them, and executors start them. Invariants: sequences of the feed
 * have no gaps; cursors only grow.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { OperationId, SessionId } from "./Ids.js"
import { optional } from "./Json.js"
import { Name } from "./Text.js"

/** Only a `mob_member_child` can have a peer channel; only a `background_tool_op` wakes an idle session. @since 0.1.0 @category schemas */
export const OperationKind = Schema.Literal("mob_member_child", "background_tool_op")
/** @since 0.1.0 @category models */
export type OperationKind = typeof OperationKind.Type

/** Describes a background operation. A `process` one ends with the process; an `external` one is completed by id (D28). @since 0.1.0 @category schemas */
export const OperationSpec = Schema.Struct({
  id: OperationId,
  kind: OperationKind,
  owner: Schema.Literal("process", "external"),
  displayName: Name,
  sourceLabel: Name,
  childSessionId: optional(SessionId),
  expectPeerChannel: Schema.Boolean
})
/** @since 0.1.0 @category models */
export type OperationSpec = typeof OperationSpec.Type

/** The result of a completed operation. @since 0.1.0 @category schemas */
export const OperationResult = Schema.Struct({
  content: Schema.String,
  isError: Schema.Boolean,
  durationMs: Schema.NonNegativeInt,
  tokensUsed: Schema.NonNegativeInt
})
/** @since 0.1.0 @category models */
export type OperationResult = typeof OperationResult.Type

/** How an operation ended. @since 0.1.0 @category schemas */
export const OperationOutcome = Schema.Union(
  Schema.TaggedStruct("Completed", { result: OperationResult }),
  Schema.TaggedStruct("Failed", { error: Schema.String }),
  Schema.TaggedStruct("Aborted", { reason: optional(Schema.String) }),
  Schema.TaggedStruct("Cancelled", { reason: optional(Schema.String) }),
  Schema.TaggedStruct("Retired", {}),
  Schema.TaggedStruct("Terminated", { reason: Schema.String })
)
/** @since 0.1.0 @category models */
export type OperationOutcome = typeof OperationOutcome.Type

/** The status of an operation; the last six are terminal. @since 0.1.0 @category schemas */
export const OperationStatus = Schema.Literal(
  "provisioning",
  "running",
  "retiring",
  "completed",
  "failed",
  "aborted",
  "cancelled",
  "retired",
  "terminated"
)
/** @since 0.1.0 @category models */
export type OperationStatus = typeof OperationStatus.Type

/** The peer of a `mob_member_child` operation that is ready. @since 0.1.0 @category schemas */
export const OperationPeer = Schema.Struct({
  peerName: Name,
  peerId: Name,
  address: Name,
  publicKey: Name
})
/** @since 0.1.0 @category models */
export type OperationPeer = typeof OperationPeer.Type

/** One operation, live or terminal. @since 0.1.0 @category schemas */
export const OperationRecord = Schema.Struct({
  spec: OperationSpec,
  status: OperationStatus,
  peerReady: Schema.Boolean,
  peer: optional(OperationPeer),
  progressCount: Schema.NonNegativeInt,
  outcome: optional(OperationOutcome),
  completionSeq: optional(Schema.NonNegativeInt),
  createdAt: Schema.Number,
  startedAt: optional(Schema.Number),
  completedAt: optional(Schema.Number)
})
/** @since 0.1.0 @category models */
export type OperationRecord = typeof OperationRecord.Type

/** One entry of a session's completion feed. @since 0.1.0 @category schemas */
export const CompletionEntry = Schema.Struct({
  seq: Schema.NonNegativeInt,
  operationId: OperationId,
  kind: OperationKind,
  displayName: Name,
  outcome: OperationOutcome,
  completedAt: Schema.Number
})
/** @since 0.1.0 @category models */
export type CompletionEntry = typeof CompletionEntry.Type

/** How far the agent, the machine and the wake-ups have read the feed. A cursor never moves back. @since 0.1.0 @category schemas */
export const FeedCursors = Schema.Struct({
  agentApplied: Schema.NonNegativeInt,
  observed: Schema.NonNegativeInt,
  injected: Schema.NonNegativeInt
})
/** @since 0.1.0 @category models */
export type FeedCursors = typeof FeedCursors.Type

/** An operation and how it ended. @since 0.1.0 @category models */
export type OperationEnd = readonly [id: OperationId, outcome: OperationOutcome]

/** A reader of the feed asked for entries that are no longer kept. @since 0.1.0 @category models */
export interface FeedGap {
  readonly requestedAfter: number
  /** entries up to this sequence were dropped */
  readonly droppedThrough: number
  readonly watermark: number
}

/** One consistent read of the feed. If it has a `gap`, `entries` holds only the remaining entries. @since 0.1.0 @category models */
export interface FeedBatch {
  readonly entries: ReadonlyArray<CompletionEntry>
  /** sequence of the newest entry; 0 before the first */
  readonly watermark: number
  readonly droppedThrough: number
  readonly gap: FeedGap | null
}
