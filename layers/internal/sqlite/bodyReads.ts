/**
 * Reads the messages of a body, page by page. The store and the reader call it. A commit that replaces the body begins
 * to delete the rows of the old one, and later commits continue. If rows are missing, the head tells whether they were
 * replaced or lost.
 *
 * @since 0.1.0
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { RuntimeId } from "../../../src/domain/Ids.js"
import type { Message } from "../../../src/domain/Message.js"
import { BodyReplaced, type ReadError, StoreCorrupt } from "../../../src/domain/StoreErrors.js"
import type { Row } from "./database.js"
import { type All, keyOf, pageRows, valid } from "./paging.js"
import * as Rows from "./rows.js"
import { rowsPerRuntime } from "./schema.js"

/** Reads the head of a runtime. @since 0.1.0 @category models */
export type HeadOf = (id: RuntimeId) => Effect.Effect<Option.Option<Rows.StoredHead>, ReadError>

/**
 * Emits the messages from a position on. If the body is replaced before the first message was emitted, reading
 * restarts. Later it continues to the end of the old body, or fails `BodyReplaced` if rows of it are gone.
 *
 * @since 0.1.0
 * @category reading
 */
export const history = (all: All, headOf: HeadOf, id: RuntimeId, from: number): Stream.Stream<Message, ReadError> => {
  const current = bodyOf(all, headOf, id)
  const beginning = (body: Body): Place => ({ body, next: body.start + Math.max(0, from), isBegun: false })
  const page = (place: Place) =>
    Effect.gen(function*() {
      const read = yield* pageAt(all, place)
      if (Either.isRight(read)) return read.right
      const now = yield* current
      if (now.start === place.body.start && now.generation === place.body.generation) return yield* missing(read.left)
      if (place.isBegun) return yield* new BodyReplaced({ runtimeId: id })
      return [Chunk.empty<Message>(), Option.some(beginning(now))] as const
    })
  return Stream.unwrap(
    Effect.map(current, (body) => Stream.paginateChunkEffect(beginning(body), page))
  )
}

// --- internal ---

/** The keys of the rows of one generation. */
interface Body {
  readonly generation: number
  readonly start: number
  readonly end: number
}

interface Place {
  readonly body: Body
  readonly next: number
  /** true once messages were emitted */
  readonly isBegun: boolean
}

/** Finds the row that contains a position: it begins at the position or before it. */
const pageSql = `SELECT key, doc, digest FROM message WHERE key < ? AND key >= coalesce(
    (SELECT max(key) FROM message WHERE key <= ? AND key >= ?), ?) ORDER BY key LIMIT ${pageRows}`

const isOpaqueSql = "SELECT 1 FROM opaque_body WHERE rt = ?"

const nothing: Body = { generation: -1, start: 0, end: 0 }

/** Reads the current body. An opaque body counts its messages, but has no rows to list. */
const bodyOf = (all: All, headOf: HeadOf, id: RuntimeId): Effect.Effect<Body, ReadError> =>
  Effect.gen(function*() {
    const stored = yield* headOf(id)
    if (Option.isNone(stored)) return nothing
    const { head: { body: { generation, messageCount }, bodyStart }, rt } = stored.value
    const start = rt * rowsPerRuntime + bodyStart
    const isOpaque = messageCount > 0 && (yield* all(isOpaqueSql, [rt])).length > 0
    return { generation, start, end: isOpaque ? start : start + messageCount }
  })

type Page = readonly [Chunk.Chunk<Message>, Option.Option<Place>]

/** Returns a page and the next place, or the position of the first missing message. */
const pageAt = (all: All, { body, next }: Place): Effect.Effect<Either.Either<Page, number>, ReadError> =>
  Effect.gen(function*() {
    if (next >= body.end) return Either.right([Chunk.empty(), Option.none()])
    const rows = yield* all(pageSql, [body.end, next, body.start, next])
    const found: Array<Message> = []
    let after = next
    for (const row of rows) {
      const messages = yield* messagesOf(row)
      // the first row may begin before the requested position; the others are contiguous
      if (keyOf(row) > after || keyOf(row) + messages.length <= after) return Either.left(after)
      for (const message of messages.slice(Math.max(0, next - keyOf(row)))) found.push(message)
      after = keyOf(row) + messages.length
    }
    const isLast = rows.length < pageRows
    if (isLast && after < body.end) return Either.left(after)
    const rest = isLast ? Option.none() : Option.some({ body, next: after, isBegun: true })
    return Either.right([Chunk.unsafeFromArray(found), rest])
  })

const messagesOf: (row: Row) => Effect.Effect<ReadonlyArray<Message>, ReadError> = valid(Rows.messagesOf)

const missing = (position: number) =>
  new StoreCorrupt({ table: "message", key: String(position), detail: "the message is missing" })
