/**
 * The blob store in memory, for tests and for machines without a file. Blobs are lost with the layer.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { StoredBlob } from "../services/BlobStore.js"
import { BlobStore } from "../services/BlobStore.js"
import { sha256 } from "./internal/digest.js"

/** Stores blobs in memory; they are lost when the layer closes. @since 0.1.0 @category layers */
export const layer: Layer.Layer<BlobStore> = Layer.sync(BlobStore, () => {
  const blobs = new Map<string, { readonly stored: StoredBlob; readonly bytes: Uint8Array }>()
  return BlobStore.of({
    put: (bytes) =>
      Effect.map(Clock.currentTimeMillis, (writtenAt) => {
        const blobId = sha256(bytes)
        // a copy, because the caller may change its bytes afterwards
        const kept = blobs.get(blobId)?.bytes ?? bytes.slice()
        blobs.set(blobId, { stored: { blobId, bytes: kept.byteLength, writtenAt }, bytes: kept })
        return blobId
      }),
    get: (blobId) =>
      Effect.sync(() => Option.map(Option.fromNullable(blobs.get(blobId)), ({ bytes }) => bytes.slice())),
    remove: (blobId, condition) =>
      Effect.sync(() => {
        const writtenAt = blobs.get(blobId)?.stored.writtenAt ?? 0
        return writtenAt < (condition?.writtenBefore ?? Infinity) && blobs.delete(blobId)
      }),
    list: Stream.suspend(() => Stream.fromIterable(Array.from(blobs.values(), ({ stored }) => stored)))
  })
})
