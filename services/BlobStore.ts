/**
 * The service that keeps large media outside the session store. The machine calls it when it stores or reads media of
 * more than `blobThreshold` bytes; `BlobCollection` removes what no session refers to.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"

/** The blob store could not put, get, list or remove bytes. @since 0.1.0 @category errors */
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

/** One stored blob, as `list` reports it. @since 0.1.0 @category models */
export interface StoredBlob {
  readonly blobId: string
  readonly bytes: number
  /** epoch milliseconds */
  readonly writtenAt: number
}

/** The condition under which `remove` may remove a blob. @since 0.1.0 @category models */
export interface RemoveCondition {
  /** epoch milliseconds */
  readonly writtenBefore: number
}

/**
 * Keeps large media of inputs and messages outside the session store (D34). The service is optional. A machine with a
 * blob store replaces media of more than `blobThreshold` bytes by the id of a blob. Without a blob store media stay
 * inline, up to `maxCommitBytes`.
 *
 * The id of a blob is the SHA-256 of its bytes. So equal bytes are stored once, and a read detects damaged bytes.
 *
 * @since 0.1.0
 * @category tags
 */
export class BlobStore extends Context.Tag("effect-meerkat/services/BlobStore")<BlobStore, {
  /**
   * Stores bytes and returns their id. They are durable when the call returns, as far as the implementation is durable.
   * Bytes that are stored already are not written again, but their write time is renewed.
   */
  readonly put: (bytes: Uint8Array) => Effect.Effect<string, BlobFailed>
  /** Returns the bytes, or none for an unknown id. Fails if the stored bytes do not match the id. */
  readonly get: (blobId: string) => Effect.Effect<Option.Option<Uint8Array>, BlobFailed>
  /**
   * Removes a blob and returns whether it existed. With a condition, the call keeps a blob that any process put again
   * in the meantime: a `put` that has returned can rely on its blob.
   */
  readonly remove: (blobId: string, condition?: RemoveCondition) => Effect.Effect<boolean, BlobFailed>
  /** Lists everything that takes space. Leftovers of interrupted puts are included, under ids that no put returns. */
  readonly list: Stream.Stream<StoredBlob, BlobFailed>
}>() {}
