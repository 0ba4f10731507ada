/**
 * The garbage collection of blobs. An application runs it when the store is quiet. Invariant: it removes no blob that
 * an open input, a stored message or a recent put refers to.
 *
 * @since 0.1.0
 */
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

/** Options of `collect`. @since 0.1.0 @category models */
export interface CollectOptions {
  /** keeps blobs younger than this, because an input may be about to refer to them; one hour if absent */
  readonly olderThan?: Duration.DurationInput
  /** blobs that are referred to elsewhere, for instance in opaque bodies, which `collect` cannot read */
  readonly alsoKeep?: ReadonlySet<string>
}

/** The result of `collect`. @since 0.1.0 @category models */
export interface Collected {
  readonly kept: number
  readonly removed: number
  readonly bytesRemoved: number
}

/**
 * Removes blobs that no open input and no message of a stored session refers to: media of refused and ended inputs, of
 * replaced bodies and of interrupted puts. It reads every message of the store, so run it when the load is low. It may
 * run beside a live machine. Fails if the store cannot be read or a blob cannot be removed.
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
    // Names first, blobs second: a blob that is named in between was put, or put again, in between.
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
      // an input loses its content when it ends
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
