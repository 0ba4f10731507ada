/** @since 0.1.0 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"

/** Bytes could not be kept, read or removed. @since 0.1.0 @category errors */
export class BlobFailed extends Schema.TaggedError<BlobFailed>()("BlobFailed", {
  operation: Schema.Literal("put", "get", "list", "remove"),
  blobId: Schema.String,
  detail: Schema.String,
  cause: Schema.optional(Schema.Defect)
}) {
  override get message(): string {
    return `${this.operation} of blob ${this.blobId}: ${this.detail}`
  }
}

/** What is kept. @since 0.1.0 @category models */
export interface StoredBlob {
  readonly blobId: string
  readonly bytes: number
  /** epoch milliseconds */
  readonly writtenAt: number
}

/** When a blob may be removed. @since 0.1.0 @category models */
export interface RemoveCondition {
  /** epoch milliseconds */
  readonly writtenBefore: number
}

/**
 * Where large media of inputs and messages are kept, outside the session store (D34). Optional: a machine that is built
 * with one in its context takes media of more than `blobThreshold` bytes out of what it stores and leaves the blob's id;
 * without one they stay inline, up to `maxCommitBytes`.
 *
 * A blob is named by the SHA-256 of its bytes, so that the same bytes are kept once and a damaged blob cannot be taken
 * for what was written.
 *
 * @since 0.1.0
 * @category tags
 */
export class BlobStore extends Context.Tag("effect-meerkat/services/BlobStore")<BlobStore, {
  /**
   * Keeps bytes; durable when this returns, as far as the store is. Answers their id. Bytes that are there already are
   * not written again, but count as written now.
   */
  readonly put: (bytes: Uint8Array) => Effect.Effect<string, BlobFailed>
  /** The bytes; none if there is no such blob. Bytes that are not what was written are a failure. */
  readonly get: (blobId: string) => Effect.Effect<Option.Option<Uint8Array>, BlobFailed>
  /**
   * Forgets a blob and answers whether there was one. With a condition a blob that is put again meanwhile stays: a put
   * that has returned can rely on it, whichever process it is of.
   */
  readonly remove: (blobId: string, condition?: RemoveCondition) => Effect.Effect<boolean, BlobFailed>
  /** All that takes room; what puts that were cut off left behind too, under ids that no put answers. */
  readonly list: Stream.Stream<StoredBlob, BlobFailed>
}>() {}
