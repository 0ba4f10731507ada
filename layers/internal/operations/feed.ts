/**
 * The stream of a session's completion feed. `SessionOperations.feed` returns it. Invariant: a follower gets every
 * entry once and in order, or a gap.
 *
 * @since 0.1.0
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { SessionAuthority } from "../../../services/MachineAuthority.js"
import type { FeedItem } from "../../../services/SessionOperations.js"
import type { OperationError } from "../../../src/domain/Errors.js"
import { OpInternal } from "../../../src/domain/Errors.js"
import type { FeedBatch } from "../../../src/domain/Operation.js"
import { listSince } from "../../../src/kernel/feed.js"

const itemsOf = ({ entries, gap }: FeedBatch): ReadonlyArray<FeedItem> => [
  ...(gap === null ? [] : [{ _tag: "Gap", gap } as const]),
  ...entries.map((entry): FeedItem => ({ _tag: "Completion", entry }))
]

type Page = Option.Option<readonly [Chunk.Chunk<FeedItem>, number]>

/**
 * Returns the entries after a cursor. It reads the state once and then waits for any other state, so an entry that
 * arrives in between is not missed. It buffers nothing, so no entry is emitted twice.
 */
const nextPage = (authority: SessionAuthority, after: number): Effect.Effect<Page, OperationError> =>
  Effect.flatMap(authority.health, (health) => {
    const state = authority.unsafeState()
    const batch = listSince(state, after)
    const items = itemsOf(batch)
    if (items.length > 0) return Effect.succeedSome([Chunk.unsafeFromArray(items), batch.watermark])
    if (health._tag === "ReloadRequired") {
      return Effect.fail(
        new OpInternal({ detail: `the session must be registered again: ${health.reason}`, retryable: false })
      )
    }
    return authority.watches.isClosed() || state.operations.epoch.retired
      ? Effect.succeedNone
      : Effect.zipRight(authority.changedFrom(state), nextPage(authority, after))
  })

/** Emits the stored feed after a cursor, then new entries. */
export const follow = (authority: SessionAuthority, after: number): Stream.Stream<FeedItem, OperationError> =>
  Stream.unfoldChunkEffect(after, (cursor) => nextPage(authority, cursor))
