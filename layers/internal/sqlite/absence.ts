/**
 * Proof that a row is not there. A row whose key was damaged is not found under it, but it still lies in its place: so
 * where nothing is found, the two rows beside the place are looked at, and have to be whole.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import type { RuntimeId } from "../../../src/domain/Ids.js"
import { StoreCorrupt } from "../../../src/domain/StoreErrors.js"
import type { Database, Row, SqlFault } from "./database.js"
import { sumOfKey, sumOfKnown } from "./sums.js"

/** Columns `below` and `above`: what lies beside the place of a `missing` row of `known`. @since 0.1.0 @category statements */
export const besideKnown = (missing: string, id: string, rt: string, sequence: string): string =>
  beside(missing, "known", "id, rt, sequence, ended, sum", ["id", "rt", "sequence"], `(${id}, ${rt}, ${sequence})`)

/** Columns `below` and `above`: what lies beside the place of a `missing` idempotency key. @since 0.1.0 @category statements */
export const besideKey = (missing: string, rt: string, key: string): string =>
  beside(missing, "dedup_key", "rt, key, input_id, sum", ["rt", "key"], `(${rt}, ${key})`)

/** The rows beside the place of an id of an input or a run are whole. @since 0.1.0 @category validation */
export const knownIsAbsent = (row: Row): Either.Either<void, StoreCorrupt> =>
  neighbours(row, "known", ([id, rt, sequence, ended, sum]) => sum === sumOfKnown(id, rt, sequence, ended))

/** The rows beside the place of a key are whole. @since 0.1.0 @category validation */
export const keyIsAbsent = (row: Row): Either.Either<void, StoreCorrupt> =>
  neighbours(row, "dedup_key", ([rt, key, inputId, sum]) => sum === sumOfKey(rt, key, inputId))

/**
 * Ids of runtimes that are not found although one that lies beside them is not what its index says.
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

const neighbours = (
  row: Row,
  table: string,
  isWhole: (columns: ReadonlyArray<unknown>) => boolean
): Either.Either<void, StoreCorrupt> => {
  for (const text of [row["below"], row["above"]]) {
    if (text === null || text === undefined) continue
    const columns = decode(text)
    if (Either.isLeft(columns) || !isWhole(columns.right)) {
      return Either.left(new StoreCorrupt({ table, key: String(text), detail: "the sum does not match its columns" }))
    }
  }
  return Either.void
}

/** The names come from the index, what they are compared with from the rows. */
const side = (compare: string, order: string) =>
  `SELECT j.value AS id, (SELECT rt FROM runtime WHERE runtime_id ${compare} j.value ORDER BY runtime_id${order} LIMIT 1)
    AS rt, (SELECT runtime_id FROM runtime WHERE runtime_id ${compare} j.value ORDER BY runtime_id${order} LIMIT 1)
    AS said FROM json_each(?) AS j`

const doubtfulSql = `SELECT n.id, n.said, r.runtime_id AS found
  FROM (${side("<", " DESC")} UNION ALL ${side(">", "")}) AS n LEFT JOIN runtime AS r ON r.rt = n.rt
  WHERE n.said IS NOT NULL AND r.runtime_id IS NOT n.said`
