/**
 * Everything that only looks. Reads run on a connection of their own and never wait for a batch; each statement sees
 * one committed state, streams see one per page.
 *
 * @since 0.1.0
 */
import * as Chunk from "effect/Chunk"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { RuntimeStore, StoredReceipt } from "../../../services/RuntimeStore.js"
import type { CompletionOutcome } from "../../../src/domain/Completion.js"
import type { RuntimeId } from "../../../src/domain/Ids.js"
import { type InputState, stateOfOpen, stateOfTerminal, type TerminalInput } from "../../../src/domain/InputRecord.js"
import type { Message } from "../../../src/domain/Message.js"
import type { CommitWitness, CorruptRow, KeyFact } from "../../../src/domain/RuntimeCommit.js"
import { type ReadError, StoreCorrupt, StoreIo } from "../../../src/domain/StoreErrors.js"
import type { Database, Row, SqlFault, Value } from "./database.js"
import { matches } from "./digest.js"
import type { Quarantine } from "./quarantine.js"
import * as Rows from "./rows.js"
import { rowsPerRuntime } from "./schema.js"
import { patiently } from "./transaction.js"

/** The reading half of a store. @since 0.1.0 @category models */
export type Reads = Omit<RuntimeStore["Type"], "kind" | "openRuntime" | "commit">

/** @since 0.1.0 @category constructors */
export const make = (db: Database, quarantine: Quarantine): Reads => {
  const setAside = quarantine.add
  const all = (sql: string, params: ReadonlyArray<Value>) =>
    Effect.mapError(patiently(db.all(sql, params), patience, (self) => self), readFault)
  const pages = pager(all)
  const ended = endedReader(all, setAside)
  return {
    witness: (id) => first(all(headSql, [id]), witnessOf),
    terminalInput: (id, inputId) => ended.terminal(id, inputId),
    findKey: (id, key) => first(all(keySql, [id, key]), keyFactOf(key, setAside)),
    inputs: (id) => Stream.unwrap(Effect.map(allInputs(all, setAside, id), Stream.fromIterable)),
    receipt: (id, runId, sequence) => ended.receipt(id, runId, sequence),
    receipts: (id) =>
      pages(receiptsSql, [id, id], keyOf).pipe(skimming(Rows.endedOf, setAside), Stream.filterMap(receiptOf)),
    operation: (id, operationId) => first(all(operationSql, [id, operationId]), valid(Rows.operationOf)),
    operations: (id) =>
      pages(operationsSql, [id], (row) => String(row["operation_id"]), "").pipe(skimming(Rows.operationOf, setAside)),
    feed: (id, after) => feedOf(all, id, after),
    history: (id, from = 0) => history(all, id, from),
    opaqueBody: (id) => first(all(opaqueSql, [id]), opaqueOf(id)),
    sessions: (filter = {}) => {
      const lifecycle = JSON.stringify(filter.lifecycle ?? ["idle", "retired", "stopped", "destroyed"])
      const prefix = filter.prefix ?? ""
      return pages(
        sessionsSql,
        [lifecycle, prefix, prefix, filter.pendingOnly === true ? 1 : 0],
        (row) => Number(row["rt"])
      )
        .pipe(Stream.mapEffect(sessionOf))
    },
    quarantined: Effect.map(all(quarantineSql, []), (rows) => [...rows.map(asideOf), ...quarantine.pending()])
  }
}

// --- internal ---

type All = (sql: string, params: ReadonlyArray<Value>) => Effect.Effect<ReadonlyArray<Row>, ReadError>

const patience = Duration.seconds(5)
const pageRows = 256

const ofRuntime = "(SELECT rt FROM runtime WHERE runtime_id = ?)"
const headSql = "SELECT * FROM runtime WHERE runtime_id = ?"
const keySql = `SELECT d.input_id, r.terminals, k.id AS known, k.ended, ${Rows.endedColumns("e")}
  FROM runtime AS r JOIN dedup_key AS d ON d.rt = r.rt
  LEFT JOIN known AS k ON k.id = d.input_id AND k.rt = d.rt AND k.sequence = -1
  LEFT JOIN ended AS e ON e.key = k.rt * ${rowsPerRuntime} + k.ended
  WHERE r.runtime_id = ? AND d.key = ?`
const endedSql = `SELECT ${
  Rows.endedColumns("e")
} FROM known AS k JOIN ended AS e ON e.key = k.rt * ${rowsPerRuntime} + k.ended
  WHERE k.rt = ${ofRuntime} AND k.id = ? AND k.sequence = ?`
/** Rows of a runtime, after the last one of the page before. */
const numbered = `key >= ${ofRuntime} * ${rowsPerRuntime} AND key < (${ofRuntime} + 1) * ${rowsPerRuntime} AND key > ?
  ORDER BY key LIMIT ${pageRows}`
const openSql = `SELECT key, sum, input_id, facts, s.doc AS shape, payload AS doc, digest
  FROM input_open JOIN shape AS s ON s.id = input_open.shape WHERE ${numbered}`
const endedPageSql = `SELECT ${Rows.endedColumns("ended")} FROM ended WHERE ${numbered}`
const receiptsSql = `SELECT ${Rows.endedColumns("ended")} FROM ended WHERE ${numbered}`
const operationSql =
  `SELECT rt, completion_seq, operation_id, doc, digest FROM operation WHERE rt = ${ofRuntime} AND operation_id = ?`
const operationsSql =
  `SELECT rt, completion_seq, operation_id, doc, digest FROM operation WHERE rt = ${ofRuntime} AND operation_id > ?
  ORDER BY operation_id LIMIT ${pageRows}`
const opaqueSql = `SELECT rt, bytes, digest FROM opaque_body WHERE rt = ${ofRuntime}`
const sessionsSql = `SELECT * FROM (
    SELECT *, (SELECT count(*) FROM input_open AS i
        WHERE i.key >= r.rt * ${rowsPerRuntime} AND i.key < (r.rt + 1) * ${rowsPerRuntime}) AS pending
    FROM runtime AS r
    WHERE lifecycle IN (SELECT value FROM json_each(?)) AND substr(session_id, 1, length(?)) = ?
  ) WHERE pending >= ? AND rt > ? ORDER BY rt LIMIT ${pageRows}`

const quarantineSql = "SELECT table_name, row_key, detail FROM quarantine ORDER BY seen_at"

const asideOf = (row: Row): CorruptRow => ({
  table: String(row["table_name"]),
  key: String(row["row_key"]),
  detail: String(row["detail"])
})

const readFault = (fault: SqlFault): ReadError => {
  switch (fault._tag) {
    case "StoreFull":
    case "ConstraintFailed":
      return new StoreIo({ operation: "read", code: fault._tag, detail: fault.detail })
    default:
      return fault
  }
}

const first = <A>(
  rows: Effect.Effect<ReadonlyArray<Row>, ReadError>,
  decode: (row: Row) => Effect.Effect<A, ReadError>
): Effect.Effect<Option.Option<A>, ReadError> =>
  Effect.flatMap(rows, ([row]) => row === undefined ? Effect.succeedNone : Effect.asSome(decode(row)))

const valid = <A>(decode: (row: Row) => Either.Either<A, CorruptRow>) => (row: Row): Effect.Effect<A, ReadError> =>
  Effect.mapError(decode(row), Rows.corrupt)

/** Pages of a statement whose last parameter is the key after which it goes on. */
const pager =
  (all: All) => (sql: string, params: ReadonlyArray<Value>, keyOf: (row: Row) => Value, start: Value = -1) =>
    Stream.paginateChunkEffect(start, (after) =>
      Effect.map(all(sql, [...params, after]), (rows) => {
        const last = rows.length < pageRows ? undefined : rows[rows.length - 1]
        return [Chunk.unsafeFromArray(rows), Option.map(Option.fromNullable(last), keyOf)]
      }))

const keyOf = (row: Row): number => Number(row["key"])

/** Rows that can be read; the others are set aside and passed over. */
const skimming = <A>(
  decode: (row: Row) => Either.Either<A, CorruptRow>,
  setAside: Quarantine["add"]
) =>
(rows: Stream.Stream<Row, ReadError>): Stream.Stream<A, ReadError> =>
  Stream.filterMapEffect(rows, (row) => {
    const value = decode(row)
    return Option.some(
      Either.isRight(value) ? Effect.succeedSome(value.right) : Effect.as(setAside(value.left, row), Option.none<A>())
    )
  }).pipe(Stream.filterMap((value) => value))

const witnessOf = (row: Row): Effect.Effect<CommitWitness, ReadError> =>
  Effect.map(Rows.headOf(row), ({ head: { incarnation, lastRequestId, revision } }) => ({
    incarnation,
    revision,
    lastRequestId
  }))

/** A key whose terminal input cannot be read fails: the input did run, and must not be taken for a new one. */
const keyFactOf = (key: string, setAside: Quarantine["add"]) => (row: Row): Effect.Effect<KeyFact, ReadError> =>
  Effect.flatMap(Rows.inputIdOf(row["input_id"]), (inputId): Effect.Effect<KeyFact, ReadError> => {
    const strayed = (detail: string) => new StoreCorrupt({ table: "dedup_key", key, detail })
    if (row["known"] === null) return Effect.fail(strayed(`it names the unknown input ${inputId}`))
    if (row["ended"] === null) return Effect.succeed({ key, inputId, completedAt: null, newerTerminals: 0 })
    if (row["key"] === null) return Effect.fail(strayed(`the end of its input ${inputId} is missing`))
    return Effect.flatMap(checked(row, setAside), (ended) => {
      const place = ended.inputs.findIndex((input) => input.inputId === inputId && input.idempotencyKey === key)
      const found = ended.inputs[place]
      if (found === undefined) return Effect.fail(strayed(`it is not the key of input ${inputId}`))
      const newerTerminals = Number(row["terminals"]) - 1 - Number(row["ordinal"]) - place
      return Effect.succeed({ key, inputId, completedAt: found.completedAt, newerTerminals })
    })
  })

/** An unreadable row is set aside and fails the call. */
const checked = (row: Row, setAside: Quarantine["add"]): Effect.Effect<Rows.Ended, ReadError> => {
  const ended = Rows.endedOf(row)
  return Either.isRight(ended)
    ? Effect.succeed(ended.right)
    : Effect.zipRight(setAside(ended.left, row), Effect.fail(Rows.corrupt(ended.left)))
}

const sessionOf = (row: Row) =>
  Effect.map(Rows.headOf(row), ({ head }) => ({
    sessionId: head.sessionId,
    runtimeId: head.runtimeId,
    lifecycle: head.lifecycle,
    pendingInputs: Number(row["pending"]),
    messageCount: head.body.messageCount,
    updatedAt: head.updatedAt
  }))

const opaqueOf = (id: RuntimeId) => (row: Row): Effect.Effect<Uint8Array, ReadError> => {
  const bytes = row["bytes"]
  return bytes instanceof Uint8Array && matches(bytes, row["digest"], [Number(row["rt"])])
    ? Effect.succeed(bytes)
    : Effect.fail(new StoreCorrupt({ table: "opaque_body", key: id, detail: "the digest does not match" }))
}

const receiptOf = ({ committedAt, outcome, receipt }: Rows.Ended): Option.Option<StoredReceipt> =>
  receipt === undefined || outcome === undefined ? Option.none() : Option.some({ receipt, outcome, committedAt })

/** Receipts and terminal inputs by id. */
const endedReader = (all: All, setAside: Quarantine["add"]) => {
  const find = (id: RuntimeId, name: string, sequence: number) =>
    first(all(endedSql, [id, name, sequence]), (row) => checked(row, setAside))
  const receipt = (id: RuntimeId, runId: string, sequence: number) =>
    Effect.flatMap(find(id, runId, sequence), (ended) => {
      const stored = Option.flatMap(ended, receiptOf)
      const isIt = Option.exists(stored, ({ receipt }) => receipt.runId === runId && receipt.sequence === sequence)
      return Option.isSome(ended) && !isIt
        ? Effect.fail(new StoreCorrupt({ table: "known", key: runId, detail: "it names the end of another run" }))
        : Effect.succeed(stored)
    })
  const outcomeOf = (id: RuntimeId, row: TerminalInput): Effect.Effect<CompletionOutcome, ReadError> => {
    if (row.outcome !== undefined) return Effect.succeed(row.outcome)
    return Effect.flatMap(
      row.lastRunId === undefined ? Effect.succeedNone : receipt(id, row.lastRunId, row.lastSequence ?? 0),
      (stored) =>
        Option.isSome(stored)
          ? Effect.succeed(stored.value.outcome)
          : Effect.fail(new StoreCorrupt({ table: "ended", key: row.inputId, detail: "it names no stored receipt" }))
    )
  }
  const terminal = (id: RuntimeId, inputId: string) =>
    Effect.gen(function*() {
      const ended = yield* find(id, inputId, -1)
      if (Option.isNone(ended)) return Option.none()
      const row = ended.value.inputs.find((input) => input.inputId === inputId)
      if (row === undefined) {
        return yield* new StoreCorrupt({ table: "known", key: inputId, detail: "it names the end of another input" })
      }
      return Option.some({ ...row, outcome: yield* outcomeOf(id, row) })
    })
  return { terminal, receipt }
}

/** Open and ended inputs lie in two tables, neither in admission order: they are gathered and sorted. */
const allInputs = (all: All, setAside: Quarantine["add"], id: RuntimeId) =>
  Effect.gen(function*() {
    const states: Array<InputState> = []
    const open = yield* Stream.runCollect(pager(all)(openSql, [id, id], keyOf))
    for (const row of open) states.push(stateOfOpen(yield* valid(Rows.openInputOf)(row)))
    const outcomes = new Map<string, CompletionOutcome>()
    const ended = pager(all)(endedPageSql, [id, id], keyOf).pipe(skimming(Rows.endedOf, setAside))
    yield* Stream.runForEach(ended, (row) => Effect.sync(() => addEnded(row, states, outcomes)))
    return states.sort((a, b) => a.admissionSeq - b.admissionSeq)
  })

/** A receipt lies with the inputs it ended, or before them. */
const addEnded = (
  { inputs, outcome, receipt }: Rows.Ended,
  states: Array<InputState>,
  outcomes: Map<string, CompletionOutcome>
): void => {
  if (receipt !== undefined && outcome !== undefined) outcomes.set(`${receipt.runId} ${receipt.sequence}`, outcome)
  for (const input of inputs) {
    const known = input.outcome ?? outcomes.get(`${input.lastRunId ?? ""} ${input.lastSequence ?? 0}`)
    states.push(stateOfTerminal(known === undefined ? input : { ...input, outcome: known }))
  }
}

const feedOf = (all: All, id: RuntimeId, after: number) =>
  Effect.gen(function*() {
    const head = Option.getOrUndefined(yield* first(all(headSql, [id]), Rows.headOf))?.head.epoch
    const rows = yield* all(`SELECT rt, seq, doc, digest FROM feed WHERE rt = ${ofRuntime} AND seq > ? ORDER BY seq`, [
      id,
      after
    ])
    return {
      entries: yield* Effect.forEach(rows, valid(Rows.feedEntryOf)),
      watermark: head?.lastSeq ?? 0,
      droppedThrough: head?.droppedThrough ?? 0
    }
  })

/** The row that holds a position begins at it or before it. */
const historySql = `SELECT key, doc, digest FROM message WHERE key < ? AND key >= coalesce(
    (SELECT max(key) FROM message WHERE key <= ? AND key >= ?), ?) ORDER BY key LIMIT ${pageRows}`

/** The body of this moment: a replacement that comes later does not join in. */
const history = (all: All, id: RuntimeId, from: number) =>
  Stream.unwrap(Effect.map(first(all(headSql, [id]), Rows.headOf), (stored) => {
    const { head, rt } = Option.getOrElse(stored, () => ({ rt: 0, head: undefined }))
    const start = rt * rowsPerRuntime + (head?.bodyStart ?? 0)
    const end = start + (head?.body.messageCount ?? 0)
    return Stream.paginateChunkEffect(start + Math.max(0, from), (next) => messagePage(all, start, next, end))
  }))

const gap = (position: number) =>
  new StoreCorrupt({ table: "message", key: String(position), detail: "the message is missing" })

const messagePage = (all: All, start: number, next: number, end: number) =>
  Effect.gen(function*() {
    if (next >= end) return [Chunk.empty<Message>(), Option.none<number>()] as const
    const rows = yield* all(historySql, [end, next, start, next])
    const found: Array<Message> = []
    let after = next
    for (const row of rows) {
      const messages = yield* valid(Rows.messagesOf)(row)
      // the first row may begin before the position that is asked for, the others follow each other
      if (keyOf(row) > after || keyOf(row) + messages.length <= after) return yield* gap(after)
      found.push(...messages.slice(Math.max(0, next - keyOf(row))))
      after = keyOf(row) + messages.length
    }
    if (rows.length < pageRows && after < end) return yield* gap(after)
    return [Chunk.unsafeFromArray(found), rows.length < pageRows ? Option.none<number>() : Option.some(after)] as const
  })
