/**
 * The typed errors of stores, and the guards that say how a caller may react to them.
 *
 * Stores raise them; the authorities, the settlements and the machine handle them. Invariant: an error says whether
 * something was written; only `StoreOutcomeUnknown` leaves that open.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { InputId, RequestId, RunId, RuntimeId } from "./Ids.js"

/** Another connection held the file too long; nothing was written. @since 0.1.0 @category errors */
export class StoreBusy
  extends Schema.TaggedError<StoreBusy>()("StoreBusy", { operation: Schema.String, waitedMs: Schema.Number })
{}
/** The medium or the file has no space left; nothing was written. @since 0.1.0 @category errors */
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
/** The outcome of a commit is unknown. The caller must look it up with `witness`, and must not compensate. @since 0.1.0 @category errors */
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
/** A commit replaced the body during a read, and the rest of the old body is gone. The caller reads it again. @since 0.1.0 @category errors */
export class BodyReplaced extends Schema.TaggedError<BodyReplaced>()("BodyReplaced", { runtimeId: RuntimeId }) {
  override get message() {
    return "the body was replaced while it was read"
  }
}
/** The file misses acknowledged commits: it was restored from a copy, or its write-ahead log was deleted. @since 0.1.0 @category errors */
export class StoreRegressed extends Schema.TaggedError<StoreRegressed>()("StoreRegressed", {
  path: Schema.String,
  acknowledged: Schema.Number,
  found: Schema.Number
}) {}
/** A newer version wrote the store; nothing was changed. @since 0.1.0 @category errors */
export class SchemaFromFuture extends Schema.TaggedError<SchemaFromFuture>()("SchemaFromFuture", {
  path: Schema.String,
  found: Schema.Number,
  supported: Schema.Number
}) {}
/** The file is no store of this program, or its tables were altered; nothing was changed. @since 0.1.0 @category errors */
export class SchemaUnsupported extends Schema.TaggedError<SchemaUnsupported>()("SchemaUnsupported", {
  path: Schema.String,
  detail: Schema.String
}) {}
/** Another process, or another store of this process, has the file open. @since 0.1.0 @category errors */
export class StoreLocked extends Schema.TaggedError<StoreLocked>()("StoreLocked", {
  path: Schema.String,
  holder: Schema.String
}) {}
/**
 * The file of the store was removed, renamed or replaced while it was open, or is missing at the path of an earlier store.
 * Nothing more is written. `rescued` names a file with the whole content, including commits that could not be
 * acknowledged. It can be opened as a store, or moved back.
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
/** The path cannot be opened, for example because of a missing folder or missing permissions. @since 0.1.0 @category errors */
export class StoreUnavailable extends Schema.TaggedError<StoreUnavailable>()("StoreUnavailable", {
  path: Schema.String,
  detail: Schema.String,
  cause: Schema.optional(Schema.Defect)
}) {}
/** Another writer took over the file. @since 0.1.0 @category errors */
export class WriterFenced
  extends Schema.TaggedError<WriterFenced>()("WriterFenced", { held: Schema.Number, current: Schema.Number })
{}
/** The session was opened again or closed; this incarnation can write nothing more. @since 0.1.0 @category errors */
export class RuntimeFenced extends Schema.TaggedError<RuntimeFenced>()("RuntimeFenced", {
  runtimeId: RuntimeId,
  held: Schema.Number,
  current: Schema.Number
}) {}
/** The commit is based on a revision that differs from the stored one. @since 0.1.0 @category errors */
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
/** The session already has an input of this id. @since 0.1.0 @category errors */
export class InputConflict extends Schema.TaggedError<InputConflict>()("InputConflict", {
  inputId: InputId,
  detail: Schema.String
}) {}
/** A different receipt is stored for this run and sequence. @since 0.1.0 @category errors */
export class ReceiptConflict extends Schema.TaggedError<ReceiptConflict>()("ReceiptConflict", {
  runId: RunId,
  sequence: Schema.Number
}) {}
/** The commit contradicts the stored state in another way (feed gap, message position, retired epoch …). @since 0.1.0 @category errors */
export class CommitRefused extends Schema.TaggedError<CommitRefused>()("CommitRefused", {
  runtimeId: RuntimeId,
  detail: Schema.String
}) {}
/** The commit is larger than the store accepts; nothing was written. @since 0.1.0 @category errors */
export class CommitTooLarge
  extends Schema.TaggedError<CommitTooLarge>()("CommitTooLarge", { bytes: Schema.Number, limit: Schema.Number })
{}
/** A value in the commit has no stored form; nothing was written. @since 0.1.0 @category errors */
export class CommitUnencodable
  extends Schema.TaggedError<CommitUnencodable>()("CommitUnencodable", { detail: Schema.String })
{
  override get message() {
    return `the commit cannot be stored, and nothing was written: ${this.detail}`
  }
}
/** The store's scope is closed. @since 0.1.0 @category errors */
export class StoreClosed extends Schema.TaggedError<StoreClosed>()("StoreClosed", {}) {}

/** The errors of building a store layer. @since 0.1.0 @category errors */
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

/** The errors of a read. @since 0.1.0 @category errors */
export type ReadError = StoreBusy | StoreIo | StoreCorrupt | StoreClosed | StoreLost | BodyReplaced

/** The errors of a commit. @since 0.1.0 @category errors */
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
 * Whether no store can take the content of the commit. A commit without that content may succeed.
 *
 * @since 0.1.0
 * @category guards
 */
export const isUnwritable = (error: CommitError): error is CommitTooLarge | CommitUnencodable =>
  error._tag === "CommitTooLarge" || error._tag === "CommitUnencodable"

/**
 * Whether the caller may retry the same commit or read: nothing was written, and the retry may succeed.
 *
 * @since 0.1.0
 * @category guards
 */
export const isRetryable = (error: CommitError | ReadError): boolean =>
  error._tag === "StoreBusy" || error._tag === "StoreFull" || error._tag === "StoreIo" || error._tag === "BodyReplaced"

/**
 * Whether the store says "not now": it wrote nothing, the commit is valid, and the cause is temporary. A full disk or a
 * held lock may last for days; the same commit is still valid afterwards.
 *
 * `StoreIo` does not count as "not now". It wrote nothing either, but a failing medium may never recover.
 *
 * @since 0.1.0
 * @category guards
 */
export const isNotNow = (error: { readonly _tag: string }): error is StoreBusy | StoreFull =>
  error._tag === "StoreBusy" || error._tag === "StoreFull"

/**
 * Whether the store refuses the commit for its content, so that every retry of the same commit fails.
 *
 * @since 0.1.0
 * @category guards
 */
export const isDefinite = (error: CommitError): error is CommitTooLarge | CommitUnencodable | CommitRefused =>
  isUnwritable(error) || error._tag === "CommitRefused"
