/**
 * Proof that a row is not there. A row whose key was damaged is not found under it, but it still lies in its place: so
 * where nothing is found, the reads look at the two rows beside the place. A damaged row there fails the look-up if it
 * may be the row that was asked for, and only then: tables are shared, and the damage of one session stays with it.
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

/** Columns `below` and `above`: what lies beside the place of a `missing` row of `known`. @since 0.1.0 @category statements */
export const besideKnown = (missing: string, id: string, rt: string, sequence: string): string =>
  beside(missing, "known", "id, rt, sequence, ended, sum", ["id", "rt", "sequence"], `(${id}, ${rt}, ${sequence})`)

/** Columns `below` and `above`: what lies beside the place of a `missing` idempotency key. @since 0.1.0 @category statements */
export const besideKey = (missing: string, rt: string, key: string): string =>
  beside(missing, "dedup_key", "rt, key, input_id, sum", ["rt", "key"], `(${rt}, ${key})`)

/** No row beside the place of an id, of an input or a run, may be it. @since 0.1.0 @category validation */
export const knownIsAbsent = (all: All, row: Row): Effect.Effect<void, ReadError> => isAbsent(all, row, known)

/** No row beside the place of a key may be it. @since 0.1.0 @category validation */
export const keyIsAbsent = (all: All, row: Row): Effect.Effect<void, ReadError> => isAbsent(all, row, keys)

/**
 * Ids of runtimes that are not found while a row beside their place is not what its index says. A session that were made
 * beside it would hide that row for good: so none is, whichever session the damage is of.
 *
 * @since 0.1.0
 * @category reading
 */
export const doubtful = (db: Pick<Database, "all">, ids: ReadonlyArray<string>): Effect.Effect<Strays, SqlFault> =>
  ids.length === 0
    ? Effect.succeed(new Map())
    : Effect.map(db.all(doubtfulSql, [JSON.stringify(ids), JSON.stringify(ids)]), strays)

/** Errors by the id that was asked for. @since 0.1.0 @category models */
export type Strays = ReadonlyMap<string, StoreCorrupt>

/** Of one runtime. @since 0.1.0 @category statements */
export const doubtfulOne = (id: RuntimeId) => [doubtfulSql, [JSON.stringify([id]), JSON.stringify([id])]] as const

/** @since 0.1.0 @category decoding */
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

/** A table whose rows have a sum over their columns, their runtime among them. */
interface Summed {
  readonly table: string
  readonly rtOf: (columns: ReadonlyArray<unknown>) => unknown
  /** whether the sum is that of the columns, in the runtime `rt` */
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
 * Earlier versions stored half of a surrogate pair as three bytes that are no UTF-8, and summed it as one U+FFFD; read, it
 * is three of them.
 */
const halvesOf = (key: unknown): string => String(key).replaceAll("\ufffd\ufffd\ufffd", "\ufffd")

/** With the column `rt`, the runtime that was asked for. */
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
 * Whether a damaged row is that of another runtime. It names that runtime, which exists; and it is not a row of `rt` in
 * which just the runtime was damaged, since then its sum would match with `rt` in its place.
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

/** The names come from the index, what they are compared with from the rows. */
const side = (compare: string, order: string) =>
  `SELECT j.value AS id, (SELECT rt FROM runtime WHERE runtime_id ${compare} j.value ORDER BY runtime_id${order} LIMIT 1)
    AS rt, (SELECT runtime_id FROM runtime WHERE runtime_id ${compare} j.value ORDER BY runtime_id${order} LIMIT 1)
    AS said FROM json_each(?) AS j`

const doubtfulSql = `SELECT n.id, n.said, r.runtime_id AS found
  FROM (${side("<", " DESC")} UNION ALL ${side(">", "")}) AS n LEFT JOIN runtime AS r ON r.rt = n.rt
  WHERE n.said IS NOT NULL AND r.runtime_id IS NOT n.said`
