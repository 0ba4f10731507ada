/** @since 0.1.0 */
import * as Schema from "effect/Schema"
import { OperationId, SessionId } from "./Ids.js"
import { optional } from "./Json.js"
import { Name } from "./Text.js"

/** Only the first kind can have a peer channel; only the second wakes an idle session. @since 0.1.0 @category schemas */
export const OperationKind = Schema.Literal("mob_member_child", "background_tool_op")
/** @since 0.1.0 @category models */
export type OperationKind = typeof OperationKind.Type

/** What a background operation is. `process`-owned ones end with the process, `external` ones are completed by id (D28). @since 0.1.0 @category schemas */
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

/** @since 0.1.0 @category schemas */
export const OperationResult = Schema.Struct({
  content: Schema.String,
  isError: Schema.Boolean,
  durationMs: Schema.NonNegativeInt,
  tokensUsed: Schema.NonNegativeInt
})
/** @since 0.1.0 @category models */
export type OperationResult = typeof OperationResult.Type

/** @since 0.1.0 @category schemas */
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

/** @since 0.1.0 @category schemas */
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

/** Peer of a member-child operation once it is ready. @since 0.1.0 @category schemas */
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

/** Who has seen how much of the feed; every move is a max-merge. @since 0.1.0 @category schemas */
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
  /** everything up to this sequence is gone */
  readonly droppedThrough: number
  readonly watermark: number
}

/** One consistent reading of the feed. With a `gap` the entries are those that are left. @since 0.1.0 @category models */
export interface FeedBatch {
  readonly entries: ReadonlyArray<CompletionEntry>
  /** sequence of the newest entry, 0 when there was never one */
  readonly watermark: number
  readonly droppedThrough: number
  readonly gap: FeedGap | null
}
