/** @since 0.1.0 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { BlobFailed } from "../services/BlobStore.js"
import { BlobStore } from "../services/BlobStore.js"
import { RuntimeStore } from "../services/RuntimeStore.js"
import type { RuntimeId } from "../src/domain/Ids.js"
import type { ContentBlock } from "../src/domain/Message.js"
import type { ReadError } from "../src/domain/StoreErrors.js"

/** @since 0.1.0 @category models */
export interface CollectOptions {
  /** blobs written later than this long ago are kept: somebody may be about to name them; an hour unless told */
  readonly olderThan?: Duration.DurationInput
  /** blobs that are named elsewhere, for instance in opaque bodies, which nothing here can read */
  readonly alsoKeep?: ReadonlySet<string>
}

/** @since 0.1.0 @category models */
export interface Collected {
  readonly kept: number
  readonly removed: number
  readonly bytesRemoved: number
}

/**
 * Removes blobs that no open input and no message of a stored session names: what is left of inputs that were refused
 * after their media had been put aside, of ended inputs, of bodies that were replaced, and of puts that were cut off. It reads every message of the
 * store, so it is something for a quiet hour. May run beside a live machine.
 *
 * @example
 * ```ts
 * import * as BlobCollection from "effect-meerkat/layers/BlobCollection"
 *
 * const nightly = BlobCollection.collect({ olderThan: "1 day" })
 * ```
 *
 * @since 0.1.0
 * @category running
 */
export const collect = (
  options: CollectOptions = {}
): Effect.Effect<Collected, ReadError | BlobFailed, RuntimeStore | BlobStore> =>
  Effect.gen(function*() {
    const blobs = yield* BlobStore
    const before = (yield* Clock.currentTimeMillis) - Duration.toMillis(options.olderThan ?? Duration.hours(1))
    // Names first, blobs second: what is named in between was written, or written again, in between.
    const named = yield* namesOfAll
    const total = { kept: 0, removed: 0, bytesRemoved: 0 }
    yield* Stream.runForEach(blobs.list, ({ blobId, bytes, writtenAt }) => {
      if (writtenAt >= before || named.has(blobId) || options.alsoKeep?.has(blobId) === true) {
        return Effect.sync(() => void total.kept++)
      }
      return Effect.map(blobs.remove(blobId, { writtenBefore: before }), (removed) => {
        if (!removed) return void total.kept++
        total.removed++
        total.bytesRemoved += bytes
      })
    })
    return total
  })

// --- internal ---

const add = (names: Set<string>) => (blocks: ReadonlyArray<ContentBlock>): void => {
  for (const block of blocks) if (block.type !== "text" && block.data.type === "blob") names.add(block.data.blobId)
}

const namesOf = (store: RuntimeStore["Type"], id: RuntimeId, names: Set<string>): Effect.Effect<void, ReadError> =>
  Effect.zipRight(
    Stream.runForEach(
      // with its end an input's payload has gone
      store.inputs(id, { openOnly: true }),
      ({ input }) =>
        Effect.sync(() => input !== undefined && "blocks" in input ? add(names)(input.blocks ?? []) : undefined)
    ),
    Stream.runForEach(store.history(id), ({ blocks }) => Effect.sync(() => add(names)(blocks)))
  )

const namesOfAll = Effect.gen(function*() {
  const store = yield* RuntimeStore
  const names = new Set<string>()
  yield* Stream.runForEach(store.sessions(), ({ runtimeId }) => namesOf(store, runtimeId, names))
  return names
})
