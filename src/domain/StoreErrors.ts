/** @since 0.1.0 */
import * as Schema from "effect/Schema"
import { InputId, RequestId, RunId, RuntimeId } from "./Ids.js"

/** Somebody else held the file too long; nothing was written. @since 0.1.0 @category errors */
export class StoreBusy
  extends Schema.TaggedError<StoreBusy>()("StoreBusy", { operation: Schema.String, waitedMs: Schema.Number })
{}
/** No space left; nothing was written. @since 0.1.0 @category errors */
export class StoreFull
  extends Schema.TaggedError<StoreFull>()("StoreFull", { operation: Schema.String, detail: Schema.String })
{}
/** The medium failed; nothing was written. @since 0.1.0 @category errors */
export class StoreIo extends Schema.TaggedError<StoreIo>()("StoreIo", {
  operation: Schema.String,
  code: Schema.String,
  detail: Schema.String,
  cause: Schema.optional(Schema.Defect)
}) {}
/** Whether the commit happened is not known; never compensate, look again. @since 0.1.0 @category errors */
export class StoreOutcomeUnknown extends Schema.TaggedError<StoreOutcomeUnknown>()("StoreOutcomeUnknown", {
  requestId: RequestId,
  detail: Schema.String
}) {}
/** A stored row cannot be read or does not match its digest. @since 0.1.0 @category errors */
export class StoreCorrupt extends Schema.TaggedError<StoreCorrupt>()("StoreCorrupt", {
  table: Schema.String,
  key: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `stored row ${this.table} ${this.key} is damaged: ${this.detail}`
  }
}
/** The body was replaced while it was read, and the rest of the old one is gone; read it anew. @since 0.1.0 @category errors */
export class BodyReplaced extends Schema.TaggedError<BodyReplaced>()("BodyReplaced", { runtimeId: RuntimeId }) {
  override get message() {
    return "the body was replaced while it was read"
  }
}
/** The file is older than what was acknowledged: restored from a copy, or its write-ahead log is gone. @since 0.1.0 @category errors */
export class StoreRegressed extends Schema.TaggedError<StoreRegressed>()("StoreRegressed", {
  path: Schema.String,
  acknowledged: Schema.Number,
  found: Schema.Number
}) {}
/** Written by a newer version; nothing was touched. @since 0.1.0 @category errors */
export class SchemaFromFuture extends Schema.TaggedError<SchemaFromFuture>()("SchemaFromFuture", {
  path: Schema.String,
  found: Schema.Number,
  supported: Schema.Number
}) {}
/** Not a store of ours, or one whose tables were altered; nothing was touched. @since 0.1.0 @category errors */
export class SchemaUnsupported extends Schema.TaggedError<SchemaUnsupported>()("SchemaUnsupported", {
  path: Schema.String,
  detail: Schema.String
}) {}
/** Another process (or another part of this one) has the file. @since 0.1.0 @category errors */
export class StoreLocked extends Schema.TaggedError<StoreLocked>()("StoreLocked", {
  path: Schema.String,
  holder: Schema.String
}) {}
/**
 * The file of the store was removed, renamed or replaced while it was open, or is missing where a store was. Nothing is
 * written any more. `rescued` names the file that holds all of it, the commits that could not be acknowledged included;
 * it can be opened as a store, or moved back.
 *
 * @since 0.1.0
 * @category errors
 */
export class StoreLost extends Schema.TaggedError<StoreLost>()("StoreLost", {
  path: Schema.String,
  /** what happened, as a clause whose subject is the store */
  detail: Schema.String,
  rescued: Schema.optional(Schema.String)
}) {
  override get message() {
    const saved = this.rescued === undefined ? "" : `; all that it held was saved as ${this.rescued}`
    return `the store ${this.path} ${this.detail}${saved}`
  }
}
/** The path cannot be opened: missing folder, no permission, a folder instead of a file … @since 0.1.0 @category errors */
export class StoreUnavailable extends Schema.TaggedError<StoreUnavailable>()("StoreUnavailable", {
  path: Schema.String,
  detail: Schema.String,
  cause: Schema.optional(Schema.Defect)
}) {}
/** Another writer took over the file. @since 0.1.0 @category errors */
export class WriterFenced
  extends Schema.TaggedError<WriterFenced>()("WriterFenced", { held: Schema.Number, current: Schema.Number })
{}
/** The session was opened anew or closed; this incarnation writes no more. @since 0.1.0 @category errors */
export class RuntimeFenced extends Schema.TaggedError<RuntimeFenced>()("RuntimeFenced", {
  runtimeId: RuntimeId,
  held: Schema.Number,
  current: Schema.Number
}) {}
/** The commit was computed from another revision than the stored one. @since 0.1.0 @category errors */
export class RevisionConflict extends Schema.TaggedError<RevisionConflict>()("RevisionConflict", {
  runtimeId: RuntimeId,
  expected: Schema.Number,
  actual: Schema.Number
}) {}
/** The key belongs to another input of the session. @since 0.1.0 @category errors */
export class IdempotencyConflict extends Schema.TaggedError<IdempotencyConflict>()("IdempotencyConflict", {
  key: Schema.String,
  ownerInputId: InputId
}) {}
/** The input id is known already. @since 0.1.0 @category errors */
export class InputConflict extends Schema.TaggedError<InputConflict>()("InputConflict", {
  inputId: InputId,
  detail: Schema.String
}) {}
/** A different receipt has this run and sequence. @since 0.1.0 @category errors */
export class ReceiptConflict extends Schema.TaggedError<ReceiptConflict>()("ReceiptConflict", {
  runId: RunId,
  sequence: Schema.Number
}) {}
/** The commit contradicts the stored state in another way (feed gap, message position, retired epoch …). @since 0.1.0 @category errors */
export class CommitRefused extends Schema.TaggedError<CommitRefused>()("CommitRefused", {
  runtimeId: RuntimeId,
  detail: Schema.String
}) {}
/** @since 0.1.0 @category errors */
export class CommitTooLarge
  extends Schema.TaggedError<CommitTooLarge>()("CommitTooLarge", { bytes: Schema.Number, limit: Schema.Number })
{}
/** Something in the commit cannot be written down; nothing was written. @since 0.1.0 @category errors */
export class CommitUnencodable
  extends Schema.TaggedError<CommitUnencodable>()("CommitUnencodable", { detail: Schema.String })
{
  override get message() {
    return `the commit cannot be stored, and nothing was written: ${this.detail}`
  }
}
/** The store's scope is closed. @since 0.1.0 @category errors */
export class StoreClosed extends Schema.TaggedError<StoreClosed>()("StoreClosed", {}) {}

/** What building a store layer can fail with. @since 0.1.0 @category errors */
export type OpenError =
  | StoreLocked
  | StoreUnavailable
  | SchemaFromFuture
  | SchemaUnsupported
  | StoreCorrupt
  | StoreRegressed
  | StoreLost
  | StoreIo
  | StoreBusy
  | StoreFull

/** @since 0.1.0 @category errors */
export type ReadError = StoreBusy | StoreIo | StoreCorrupt | StoreClosed | StoreLost | BodyReplaced

/** @since 0.1.0 @category errors */
export type CommitError =
  | StoreBusy
  | StoreFull
  | StoreIo
  | StoreOutcomeUnknown
  | StoreCorrupt
  | StoreClosed
  | StoreLost
  | CommitTooLarge
  | CommitUnencodable
  | WriterFenced
  | RuntimeFenced
  | RevisionConflict
  | IdempotencyConflict
  | InputConflict
  | ReceiptConflict
  | CommitRefused

/**
 * Whether it is what is in the commit that no store could take: without that it may be written.
 *
 * @since 0.1.0
 * @category guards
 */
export const isUnwritable = (error: CommitError): error is CommitTooLarge | CommitUnencodable =>
  error._tag === "CommitTooLarge" || error._tag === "CommitUnencodable"

/**
 * Whether the same commit or read may simply be tried again: nothing was written and nothing speaks against it.
 *
 * @since 0.1.0
 * @category guards
 */
export const isRetryable = (error: CommitError | ReadError): boolean =>
  error._tag === "StoreBusy" || error._tag === "StoreFull" || error._tag === "StoreIo" || error._tag === "BodyReplaced"

/**
 * Whether the store says "not now": it wrote nothing, the commit is sound, and what stops it passes by itself. A full
 * disk or a held lock may last for days; the same commit is then right on the day it ends.
 *
 * `StoreIo` is no such answer. It is definite as well, but a medium that fails may never recover.
 *
 * @since 0.1.0
 * @category guards
 */
export const isNotNow = (error: { readonly _tag: string }): error is StoreBusy | StoreFull =>
  error._tag === "StoreBusy" || error._tag === "StoreFull"

/**
 * Whether the commit itself is refused, so that the same commit is refused each time.
 *
 * @since 0.1.0
 * @category guards
 */
export const isDefinite = (error: CommitError): error is CommitTooLarge | CommitUnencodable | CommitRefused =>
  isUnwritable(error) || error._tag === "CommitRefused"
