/** @since 0.1.0 */
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
 * The next entries after a cursor. The state is read once and what is waited for is another state than that one, so an
 * entry that comes between the reading and the waiting is not missed; nothing is queued, so nothing is read twice.
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

/** The stored feed from a cursor, then what comes. */
export const follow = (authority: SessionAuthority, after: number): Stream.Stream<FeedItem, OperationError> =>
  Stream.unfoldChunkEffect(after, (cursor) => nextPage(authority, cursor))
