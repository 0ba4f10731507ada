/**
 * Proves that a row does not exist. `reads`, `endedReads` and `lookup` call it when a look-up by key finds no row.
 *
 * A row with a damaged key is not found under its key, but it still lies in its place of the index. So a look-up without
 * a result checks the two rows beside that place. Invariant: a damaged row there fails the look-up only if it may be the
 * row that was asked for. Sessions share the tables, and the damage of one session must not affect another.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import type { RuntimeId } from "../../../src/domain/Ids.js"
import { type ReadError, StoreCorrupt } from "../../../src/domain/StoreErrors.js"
import type { Database, Row, SqlFault } from "./database.js"
import type { All } from "./paging.js"
import { sumOfKey, sumOfKnown } from "./sums.js"

/** The columns `below` and `above`: the rows beside the place of a `missing` row of `known`. @since 0.1.0 @category statements */
export const besideKnown = (missing: string, id: string, rt: string, sequence: string): string =>
  beside(missing, "known", "id, rt, sequence, ended, sum", ["id", "rt", "sequence"], `(${id}, ${rt}, ${sequence})`)

/** The columns `below` and `above`: the rows beside the place of a `missing` idempotency key. @since 0.1.0 @category statements */
export const besideKey = (missing: string, rt: string, key: string): string =>
  beside(missing, "dedup_key", "rt, key, input_id, sum", ["rt", "key"], `(${rt}, ${key})`)

/** Fails `StoreCorrupt` if a damaged row beside the place of an input id or run id may be that row. @since 0.1.0 @category validation */
export const knownIsAbsent = (all: All, row: Row): Effect.Effect<void, ReadError> => isAbsent(all, row, known)

/** Fails `StoreCorrupt` if a damaged row beside the place of a key may be that row. @since 0.1.0 @category validation */
export const keyIsAbsent = (all: All, row: Row): Effect.Effect<void, ReadError> => isAbsent(all, row, keys)

/**
 * Returns an error for each of the missing `ids` with a row beside its place that differs from its index entry. That row
 * may be the missing runtime, and a new session would hide it for good. So the caller creates no session for such an id.
 *
 * @since 0.1.0
 * @category reading
 */
export const doubtful = (db: Pick<Database, "all">, ids: ReadonlyArray<string>): Effect.Effect<Strays, SqlFault> =>
  ids.length === 0
    ? Effect.succeed(new Map())
    : Effect.map(db.all(doubtfulSql, [JSON.stringify(ids), JSON.stringify(ids)]), strays)

/** Errors by the runtime id that was asked for. @since 0.1.0 @category models */
export type Strays = ReadonlyMap<string, StoreCorrupt>

/** The statement and parameters of `doubtful` for one runtime. @since 0.1.0 @category statements */
export const doubtfulOne = (id: RuntimeId) => [doubtfulSql, [JSON.stringify([id]), JSON.stringify([id])]] as const

/** Decodes the rows of `doubtfulOne`. @since 0.1.0 @category decoding */
export const strays = (rows: ReadonlyArray<Row>): Strays =>
  new Map(rows.map((row) => [
    String(row["id"]),
    new StoreCorrupt({
      table: "runtime",
      key: String(row["id"]),
      detail: `the index names ${String(row["said"])}, its row ${String(row["found"])}`
    })
  ]))

// --- internal ---

const beside = (
  missing: string,
  table: string,
  columns: string,
  key: ReadonlyArray<string>,
  place: string
): string => {
  const names = key.join(", ")
  const row = `SELECT json_array(${columns}) FROM ${table} WHERE (${names})`
  const down = key.map((name) => `${name} DESC`).join(", ")
  const where = (compare: string, order: string) => `${row} ${compare} ${place} ORDER BY ${order} LIMIT 1`
  return `CASE WHEN ${missing} THEN (${where("<", down)}) END AS below,
    CASE WHEN ${missing} THEN (${where(">", names)}) END AS above`
}

const decode = Schema.decodeUnknownEither(Schema.parseJson(Schema.Array(Schema.Unknown)))

/** A table whose rows have a checksum over their columns, including their runtime. */
interface Summed {
  readonly table: string
  readonly rtOf: (columns: ReadonlyArray<unknown>) => unknown
  /** whether the checksum matches the columns, with `rt` as the runtime */
  readonly matches: (columns: ReadonlyArray<unknown>, rt: unknown) => boolean
}

const known: Summed = {
  table: "known",
  rtOf: ([, rt]) => rt,
  matches: ([id, , sequence, ended, sum], rt) => sum === sumOfKnown(id, rt, sequence, ended)
}

const keys: Summed = {
  table: "dedup_key",
  rtOf: ([rt]) => rt,
  matches: ([, key, inputId, sum], rt) =>
    sum === sumOfKey(rt, key, inputId) || sum === sumOfKey(rt, halvesOf(key), inputId)
}

/**
 * Returns a key as earlier versions summed it. They stored half of a surrogate pair as three bytes of invalid UTF-8 and
 * summed it as one U+FFFD; a read returns three U+FFFD.
 */
const halvesOf = (key: unknown): string => String(key).replaceAll("\ufffd\ufffd\ufffd", "\ufffd")

/** Checks the rows beside the place. The column `rt` of `row` is the runtime that was asked for. */
const isAbsent = (all: All, row: Row, table: Summed): Effect.Effect<void, ReadError> => {
  const damaged = [row["below"], row["above"]].flatMap((text) => {
    if (text === null || text === undefined) return []
    const columns = Either.getOrElse(decode(text), (): ReadonlyArray<unknown> => [])
    return table.matches(columns, table.rtOf(columns)) ? [] : [{ text, columns }]
  })
  return damaged.length === 0
    ? Effect.void
    : Effect.forEach(damaged, ({ columns, text }) =>
      Effect.if(isAnothers(all, row["rt"], columns, table), {
        onTrue: () => Effect.void,
        onFalse: () =>
          Effect.fail(
            new StoreCorrupt({ table: table.table, key: String(text), detail: "the sum does not match its columns" })
          )
      }), { discard: true })
}

/**
 * Whether a damaged row belongs to another runtime: it names an existing other runtime, and its checksum does not match
 * with `rt` instead. If it did match, the row would belong to `rt` and only its runtime column would be damaged.
 */
const isAnothers = (
  all: All,
  rt: unknown,
  columns: ReadonlyArray<unknown>,
  table: Summed
): Effect.Effect<boolean, ReadError> => {
  const named = table.rtOf(columns)
  return typeof named !== "number" || named === rt || table.matches(columns, rt)
    ? Effect.succeed(false)
    : Effect.map(all("SELECT 1 FROM runtime WHERE rt = ?", [named]), (rows) => rows.length > 0)
}

/** Reads the ids beside the place from the index; `doubtfulSql` compares them with the ids in the rows. */
const side = (compare: string, order: string) =>
  `SELECT j.value AS id, (SELECT rt FROM runtime WHERE runtime_id ${compare} j.value ORDER BY runtime_id${order} LIMIT 1)
    AS rt, (SELECT runtime_id FROM runtime WHERE runtime_id ${compare} j.value ORDER BY runtime_id${order} LIMIT 1)
    AS said FROM json_each(?) AS j`

const doubtfulSql = `SELECT n.id, n.said, r.runtime_id AS found
  FROM (${side("<", " DESC")} UNION ALL ${side(">", "")}) AS n LEFT JOIN runtime AS r ON r.rt = n.rt
  WHERE n.said IS NOT NULL AND r.runtime_id IS NOT n.said`
