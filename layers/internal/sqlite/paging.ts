/**
 * Pages of rows, and the handling of unreadable rows. The reads of the store and the reader use it.
 *
 * @since 0.1.0
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { CorruptRow } from "../../../src/domain/RuntimeCommit.js"
import type { ReadError } from "../../../src/domain/StoreErrors.js"
import type { Row, Value } from "./database.js"
import type { Quarantine } from "./quarantine.js"
import * as Rows from "./rows.js"
import { rowsPerRuntime } from "./schema.js"

/** Runs a read statement. @since 0.1.0 @category models */
export type All = (sql: string, params: ReadonlyArray<Value>) => Effect.Effect<ReadonlyArray<Row>, ReadError>

/** The number of rows per page. @since 0.1.0 @category models */
export const pageRows = 256

/**
 * The condition for the rows of a runtime after the last row of the previous page.
 *
 * @since 0.1.0
 * @category statements
 */
export const numbered = (runtime: string): string =>
  `key >= ${runtime} * ${rowsPerRuntime} AND key < (${runtime} + 1) * ${rowsPerRuntime} AND key > ?
  ORDER BY key LIMIT ${pageRows}`

/** Returns the key of a row. @since 0.1.0 @category accessors */
export const keyOf = (row: Row): number => Number(row["key"])

/** Decodes the first row, if any. @since 0.1.0 @category decoding */
export const first =
  <A>(decode: (row: Row) => Effect.Effect<A, ReadError>) =>
  ([row]: ReadonlyArray<Row>): Effect.Effect<Option.Option<A>, ReadError> =>
    row === undefined ? Effect.succeedNone : Effect.asSome(decode(row))

/** Decodes a row that must be readable; fails if it is not. @since 0.1.0 @category decoding */
export const valid =
  <A>(decode: (row: Row) => Either.Either<A, CorruptRow>) => (row: Row): Effect.Effect<A, ReadError> =>
    Effect.mapError(decode(row), Rows.corrupt)

/** Emits the pages of a statement whose last parameter is the key to continue after. @since 0.1.0 @category paging */
export const pager =
  (all: All) => (sql: string, params: ReadonlyArray<Value>, keyOf: (row: Row) => Value, start: Value = -1) =>
    Stream.paginateChunkEffect(start, (after) =>
      Effect.map(all(sql, [...params, after]), (rows) => {
        const last = rows.length < pageRows ? undefined : rows[rows.length - 1]
        return [Chunk.unsafeFromArray(rows), Option.map(Option.fromNullable(last), keyOf)]
      }))

/** Emits readable rows; unreadable rows are quarantined and skipped. @since 0.1.0 @category paging */
export const skimming = <A>(
  decode: (row: Row) => Either.Either<A, CorruptRow>,
  setAside: Quarantine["add"]
) =>
<E>(rows: Stream.Stream<Row, E>): Stream.Stream<A, E> =>
  Stream.filterMapEffect(rows, (row) => {
    const value = decode(row)
    return Option.some(
      Either.isRight(value) ? Effect.succeedSome(value.right) : Effect.as(setAside(value.left, row), Option.none<A>())
    )
  }).pipe(Stream.filterMap((value) => value))
