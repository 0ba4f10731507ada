/**
 * The reads that a batch needs before it writes: heads, views and images, for all members at once. The store's worker
 * calls them inside the transaction.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { InputId, RunId, RuntimeId } from "../../../src/domain/Ids.js"
import type { RunBoundaryReceipt } from "../../../src/domain/Receipt.js"
import type { CorruptRow, RuntimeCommit, RuntimeImage } from "../../../src/domain/RuntimeCommit.js"
import type { StoreCorrupt } from "../../../src/domain/StoreErrors.js"
import { WriterFenced } from "../../../src/domain/StoreErrors.js"
import { type CommitView, inputIdOf, newKeyOf, type RuntimeHead } from "../../../src/kernel/validateCommit.js"
import * as Absence from "./absence.js"
import type { Database, Row, SqlFault } from "./database.js"
import * as Rows from "./rows.js"
import { rowsPerRuntime } from "./schema.js"

/** Heads of existing runtimes; an unreadable head affects only its own runtime. @since 0.1.0 @category models */
export type Heads = ReadonlyMap<string, Either.Either<Rows.StoredHead, StoreCorrupt>>

/**
 * Returns heads by runtime id, after checking that this process is still the writer. Fails `WriterFenced` if it is not.
 *
 * @since 0.1.0
 * @category reading
 */
export const heads = (
  db: Database,
  token: number,
  ids: ReadonlyArray<RuntimeId>
): Effect.Effect<Heads, SqlFault | WriterFenced> =>
  Effect.gen(function*() {
    const rows = yield* db.all(
      `SELECT (SELECT writer_token FROM store_meta) AS writer, j.value AS asked, r.* FROM json_each(?) AS j
        LEFT JOIN runtime AS r ON r.runtime_id = j.value`,
      [JSON.stringify(ids)]
    )
    const current = rows[0]?.["writer"]
    if (current !== token) return yield* new WriterFenced({ held: token, current: Number(current) })
    const found = new Map<string, Either.Either<Rows.StoredHead, StoreCorrupt>>()
    for (const row of rows) if (row["rt"] !== null) found.set(String(row["asked"]), Rows.headOf(row))
    // a runtime without a row is new and gets one, unless its row was lost
    const doubtful = yield* Absence.doubtful(db, ids.filter((id) => !found.has(id)))
    for (const [id, error] of doubtful) found.set(id, Either.left(error))
    return found
  })

/** A commit and its runtime. @since 0.1.0 @category models */
export interface Asked {
  readonly rt: number
  readonly head: RuntimeHead
  readonly commit: RuntimeCommit
}

/**
 * Returns the views that the commits of a batch are checked against, in their order.
 *
 * @since 0.1.0
 * @category reading
 */
export const views = (
  db: Database,
  asked: ReadonlyArray<Asked>
): Effect.Effect<ReadonlyArray<CommitView>, SqlFault> =>
  Effect.gen(function*() {
    const puts = asked.flatMap(({ commit, rt }) => commit.inputs.map((put) => ({ rt, put })))
    const receipts = asked.flatMap(({ commit: { receipt }, rt }) =>
      receipt === undefined ? [] : [[receipt.receipt.runId, rt, receipt.receipt.sequence] as const]
    )
    const known = yield* knownIds(db, [...puts.map(({ put, rt }) => [inputIdOf(put), rt, -1] as const), ...receipts])
    const keys = yield* keyOwners(
      db,
      puts.flatMap(({ put, rt }) => {
        const key = newKeyOf(put)
        return key === undefined ? [] : [[rt, key] as const]
      })
    )
    return asked.map(({ head, rt }): CommitView => ({
      head,
      isOpen: (id) => known.get(`${id} ${rt} -1`)?.["ended"] === null,
      isTerminal: (id) => typeof known.get(`${id} ${rt} -1`)?.["ended"] === "number",
      keyOwner: (key) => keys.get(`${rt} ${key}`),
      receipt: (runId, sequence) => receiptOf(known.get(`${runId} ${rt} ${sequence}`), runId)
    }))
  })

/** The rows of an opening image, beside the head. @since 0.1.0 @category models */
export type ImageRows = Pick<RuntimeImage, "inputs" | "operations" | "feed" | "slices" | "corrupt">

/** The image rows of a new runtime. @since 0.1.0 @category constructors */
export const noRows: ImageRows = { inputs: [], operations: [], feed: [], slices: [], corrupt: [] }

/**
 * Reads the image rows of many runtimes with five statements in total. Missing rows are reported as corrupt, because an
 * image must be complete.
 *
 * @since 0.1.0
 * @category reading
 */
export const images = (
  db: Database,
  rts: ReadonlyArray<number>
): Effect.Effect<ReadonlyMap<number, ImageRows>, SqlFault> =>
  Effect.gen(function*() {
    if (rts.length === 0) return new Map()
    const corrupt = new Map<number, Array<CorruptRow>>()
    const counted = yield* db.all(countsSql, [JSON.stringify(rts)])
    const inputs = yield* rowsOf(db, inputsSql, rts, Rows.openInputOf, corrupt)
    const operations = yield* rowsOf(db, operationsSql, rts, Rows.operationOf, corrupt)
    const feed = yield* rowsOf(db, feedSql, rts, Rows.feedEntryOf, corrupt)
    const slices = yield* rowsOf(db, slicesSql, rts, Rows.sliceOf, corrupt)
    for (const row of counted) {
      const rt = Number(row["rt"])
      for (const [table, rows] of Object.entries({ input_open: inputs, operation: operations, feed, slice: slices })) {
        const unreadable = corrupt.get(rt)?.filter((one) => one.table === table).length ?? 0
        const found = (rows.get(rt)?.length ?? 0) + unreadable
        if (found !== row[table]) {
          const detail = `${found} rows instead of ${String(row[table])}`
          listOf(corrupt, rt).push({ table, key: String(row["runtime_id"]), detail })
        }
      }
    }
    return new Map(rts.map((rt): [number, ImageRows] => [rt, {
      inputs: inputs.get(rt) ?? [],
      operations: operations.get(rt) ?? [],
      feed: feed.get(rt) ?? [],
      slices: slices.get(rt) ?? [],
      corrupt: corrupt.get(rt) ?? []
    }]))
  })

// --- internal ---

const named = "json_each(?) AS j CROSS JOIN"
const countsSql = `SELECT r.rt, r.runtime_id, r.open_inputs AS input_open, r.operations AS operation, r.slices AS slice,
    r.last_seq - r.dropped_through AS feed FROM ${named} runtime AS r WHERE r.rt = j.value`
const inputsSql = `SELECT j.value AS rt, t.key, t.sum, input_id, facts, s.doc AS shape, payload AS doc, digest
  FROM ${named} input_open AS t JOIN shape AS s ON s.id = t.shape
  WHERE t.key >= j.value * ${rowsPerRuntime} AND t.key < (j.value + 1) * ${rowsPerRuntime} ORDER BY t.key`
const operationsSql =
  `SELECT t.rt, operation_id, completion_seq, doc, digest FROM ${named} operation AS t WHERE t.rt = j.value`
const feedSql = `SELECT t.rt, seq, doc, digest FROM ${named} feed AS t WHERE t.rt = j.value ORDER BY t.rt, seq`
const slicesSql = `SELECT t.rt, name, doc, digest FROM ${named} slice AS t WHERE t.rt = j.value`

const rowsOf = <A>(
  db: Database,
  sql: string,
  rts: ReadonlyArray<number>,
  decode: (row: Row) => Either.Either<A, CorruptRow>,
  corrupt: Map<number, Array<CorruptRow>>
): Effect.Effect<ReadonlyMap<number, Array<A>>, SqlFault> =>
  Effect.map(db.all(sql, [JSON.stringify(rts)]), (rows) => {
    const found = new Map<number, Array<A>>()
    for (const row of rows) {
      const rt = Number(row["rt"])
      const value = decode(row)
      if (Either.isRight(value)) listOf(found, rt).push(value.right)
      else listOf(corrupt, rt).push(value.left)
    }
    return found
  })

const listOf = <A>(map: Map<number, Array<A>>, key: number): Array<A> => {
  const list = map.get(key) ?? []
  map.set(key, list)
  return list
}

const knownIds = (db: Database, list: ReadonlyArray<readonly [string, number, number]>) =>
  Effect.map(
    ask(
      db,
      `SELECT t.id, t.rt, t.sequence, t.ended, ${Rows.endedColumns("e")} FROM ${named} known AS t
        LEFT JOIN ended AS e ON e.key = t.rt * ${rowsPerRuntime} + t.ended AND t.sequence >= 0
        WHERE t.id = j.value ->> 0 AND t.rt = j.value ->> 1 AND t.sequence = j.value ->> 2`,
      list
    ),
    (rows) => new Map(rows.map((row) => [`${String(row["id"])} ${String(row["rt"])} ${String(row["sequence"])}`, row]))
  )

const keyOwners = (db: Database, list: ReadonlyArray<readonly [number, string]>) =>
  Effect.map(
    ask(
      db,
      `SELECT t.rt, t.key, t.input_id FROM ${named} dedup_key AS t WHERE t.rt = j.value ->> 0 AND t.key = j.value ->> 1`,
      list
    ),
    (rows) => {
      const owners = new Map<string, InputId>()
      for (const row of rows) {
        const owner = Rows.inputIdOf(row["input_id"])
        if (Either.isRight(owner)) owners.set(`${String(row["rt"])} ${String(row["key"])}`, owner.right)
      }
      return owners
    }
  )

const ask = (db: Database, sql: string, list: ReadonlyArray<unknown>): Effect.Effect<ReadonlyArray<Row>, SqlFault> =>
  list.length === 0 ? Effect.succeed([]) : db.all(sql, [JSON.stringify(list)])

/** Returns the stored receipt. An unreadable receipt still occupies its sequence, so its substitute equals no other. */
const receiptOf = (row: Row | undefined, runId: RunId): RunBoundaryReceipt | undefined => {
  if (row === undefined) return undefined
  const stored = Rows.endedOf(row)
  return Either.isRight(stored) && stored.right.receipt !== undefined ? stored.right.receipt : {
    runId,
    sequence: -1,
    boundary: "immediate",
    contributingInputIds: [],
    conversationDigest: null,
    messageCount: -1
  }
}
