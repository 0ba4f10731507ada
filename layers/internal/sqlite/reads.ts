/**
 * The reads of a store. Both the store and the read-only layer use them.
 *
 * Invariants: reads use their own connection and never wait for a batch; a statement sees one committed state, a stream
 * one per page; damaged rows are reported, not left out silently.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { InputFilter, RuntimeStore, SessionFilter, StoredSession } from "../../../services/RuntimeStore.js"
import type { CompletionOutcome } from "../../../src/domain/Completion.js"
import type { InputId, RuntimeId } from "../../../src/domain/Ids.js"
import { type InputState, stateOfOpen, stateOfTerminal } from "../../../src/domain/InputRecord.js"
import type { CommitWitness, CorruptRow, KeyFact } from "../../../src/domain/RuntimeCommit.js"
import { type ReadError, StoreCorrupt, StoreIo } from "../../../src/domain/StoreErrors.js"
import * as Absence from "./absence.js"
import * as BodyReads from "./bodyReads.js"
import type { Database, Row, SqlFault } from "./database.js"
import { matches } from "./digest.js"
import * as EndedReads from "./endedReads.js"
import { type All, first, keyOf, numbered, pager, pageRows, skimming, valid } from "./paging.js"
import type { Quarantine } from "./quarantine.js"
import * as Rows from "./rows.js"
import { rowsPerRuntime } from "./schema.js"
import { sumOfKey, sumOfKnown } from "./sums.js"
import { patiently } from "./transaction.js"

/** The reading half of a store. @since 0.1.0 @category models */
export type Reads = Omit<RuntimeStore["Type"], "kind" | "openRuntime" | "commit" | "lost">

/** Makes the reads of a connection. @since 0.1.0 @category constructors */
export const make = (db: Database, quarantine: Quarantine): Reads => {
  const setAside = quarantine.add
  const all: All = (sql, params) => Effect.mapError(patiently(db.all(sql, params), patience, (self) => self), readFault)
  const ended = EndedReads.make(all, setAside, (id) => absent(all, id))
  return {
    witness: (id) => Effect.map(headOf(all, id), Option.map(witnessOf)),
    terminalInput: ended.terminal,
    findKey: (id, key) => findKey(all, setAside, id, key),
    inputs: (id, filter) => Stream.unwrap(Effect.map(inputsOf(all, ended, id, filter), Stream.fromIterable)),
    receipt: ended.receipt,
    receipts: (id) => Stream.filterMap(ended.rows(id), EndedReads.receiptOf),
    operation: (id, operationId) =>
      Effect.zipRight(
        counted(all, id),
        Effect.flatMap(all(operationSql, [id, operationId]), first(valid(Rows.operationOf)))
      ),
    operations: (id) =>
      Stream.unwrap(Effect.as(
        counted(all, id),
        pager(all)(operationsSql, [id], (row) => String(row["operation_id"]), "").pipe(
          skimming(Rows.operationOf, setAside)
        )
      )),
    feed: (id, after) => feedOf(all, id, after),
    history: (id, from = 0) => BodyReads.history(all, (id) => headOf(all, id), id, from),
    opaqueBody: (id) => Effect.zipRight(headOf(all, id), Effect.flatMap(all(opaqueSql, [id]), first(opaqueOf(id)))),
    session: (id) =>
      Effect.flatMap(
        all(sessionSql, [id]),
        ([row]) => row === undefined ? Effect.as(absent(all, id), Option.none()) : Effect.asSome(sessionOf(row))
      ),
    sessions: (filter = {}) => sessions(all, filter),
    quarantined: Effect.map(all(quarantineSql, []), (rows) => [...rows.map(asideOf), ...quarantine.pending()])
  }
}

// --- internal ---

const patience = Duration.seconds(5)

const ofRuntime = "(SELECT rt FROM runtime WHERE runtime_id = ?)"
const headSql = "SELECT * FROM runtime WHERE runtime_id = ?"
const keySql =
  `WITH a (id, name) AS (VALUES (?, ?)) SELECT r.rt, r.terminals, d.input_id, d.sum AS key_sum, d.rt AS key_rt, k.sum AS known_sum, k.ended,
    ${Rows.endedColumns("e")}, ${Absence.besideKey("d.key IS NULL", "r.rt", "a.name")}
  FROM a CROSS JOIN runtime AS r ON r.runtime_id = a.id LEFT JOIN dedup_key AS d ON d.rt = r.rt AND d.key = a.name
  LEFT JOIN known AS k ON k.id = d.input_id AND k.rt = d.rt AND k.sequence = -1
  LEFT JOIN ended AS e ON e.key = k.rt * ${rowsPerRuntime} + k.ended`
const openSql = `SELECT key, sum, input_id, facts, s.doc AS shape, payload AS doc, digest
  FROM input_open JOIN shape AS s ON s.id = input_open.shape WHERE ${numbered(ofRuntime)}`
/** The counts in the head and the counted rows, in one statement. */
const countsSql = `SELECT open_inputs, operations,
    (SELECT count(*) FROM input_open AS i JOIN shape AS s ON s.id = i.shape
      WHERE i.key >= r.rt * ${rowsPerRuntime} AND i.key < (r.rt + 1) * ${rowsPerRuntime}) AS open_found,
    (SELECT count(*) FROM operation AS o WHERE o.rt = r.rt) AS operations_found
  FROM runtime AS r WHERE runtime_id = ?`
const operationSql =
  `SELECT rt, completion_seq, operation_id, doc, digest FROM operation WHERE rt = ${ofRuntime} AND operation_id = ?`
const operationsSql =
  `SELECT rt, completion_seq, operation_id, doc, digest FROM operation WHERE rt = ${ofRuntime} AND operation_id > ?
  ORDER BY operation_id LIMIT ${pageRows}`
const feedSql = `SELECT r.last_seq, r.dropped_through, f.rt, f.seq, f.doc, f.digest
  FROM runtime AS r LEFT JOIN feed AS f ON f.rt = r.rt AND f.seq > ? WHERE r.runtime_id = ? ORDER BY f.seq`
const opaqueSql = `SELECT rt, bytes, digest FROM opaque_body WHERE rt = ${ofRuntime}`
/**
 * Whether background operations will wake the session once it is opened. The condition searches the documents as texts,
 * because a damaged document must not fail the list. JSON escapes quotes inside strings, so the search finds only fields.
 */
const dueSql = `(EXISTS (SELECT 1 FROM operation AS o WHERE o.rt = s.rt AND o.terminal = 0
      AND instr(o.doc, '"kind":"background_tool_op"') AND instr(o.doc, '"owner":"process"'))
    OR dropped_through > max(agent_applied, injected, observed)
    OR EXISTS (SELECT 1 FROM feed AS f WHERE f.rt = s.rt AND f.seq > max(s.agent_applied, s.injected, s.observed)
      AND instr(f.doc, '"kind":"background_tool_op"')))`
const withPending = `SELECT *, (SELECT count(*) FROM input_open AS i
    WHERE i.key >= r.rt * ${rowsPerRuntime} AND i.key < (r.rt + 1) * ${rowsPerRuntime}) AS pending FROM runtime AS r`
const sessionSql = `${withPending} WHERE runtime_id = ?`
const lifecycles = ["idle", "retired", "stopped", "destroyed"]
/** Lists the runtimes of a filter, and also rows with impossible columns, so that they are reported. */
const sessionsSql = `SELECT * FROM (
    ${withPending}
    WHERE (lifecycle IN (SELECT value FROM json_each(?)) OR lifecycle NOT IN (${lifecycles.map((name) => `'${name}'`)}))
      AND substr(session_id, 1, length(?)) = ?
  ) AS s WHERE (pending <> open_inputs
    OR pending >= ? AND (? = 0 OR pending > 0 OR (lifecycle = 'idle' AND ${dueSql}))) AND rt > ?
  ORDER BY rt LIMIT ${pageRows}`
/** Counts the rows of the table and the entries of its index. */
const runtimesSql = `SELECT (SELECT count(*) FROM runtime NOT INDEXED) AS found,
  (SELECT count(*) FROM runtime INDEXED BY sqlite_autoindex_runtime_1) AS indexed`

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

/** Fails if a missing runtime may be a damaged row; otherwise it does not exist. */
const absent = (all: All, id: RuntimeId): Effect.Effect<void, ReadError> =>
  Effect.flatMap(all(...Absence.doubtfulOne(id)), (rows) => {
    const error = Absence.strays(rows).get(id)
    return error === undefined ? Effect.void : Effect.fail(error)
  })

const headOf = (all: All, id: RuntimeId): Effect.Effect<Option.Option<Rows.StoredHead>, ReadError> =>
  Effect.flatMap(
    all(headSql, [id]),
    ([row]) => row === undefined ? Effect.as(absent(all, id), Option.none()) : Effect.asSome(Rows.headOf(row))
  )

/** Fails unless a runtime has as many open inputs and operations as its head says. */
const counted = (all: All, id: RuntimeId): Effect.Effect<void, ReadError> =>
  Effect.flatMap(all(countsSql, [id]), ([row]) => {
    if (row === undefined) return absent(all, id)
    const wrong = row["open_found"] !== row["open_inputs"]
      ? ["input_open", row["open_found"], row["open_inputs"]]
      : ["operation", row["operations_found"], row["operations"]]
    const [table, found, expected] = wrong
    return found === expected
      ? Effect.void
      : Effect.fail(
        new StoreCorrupt({
          table: String(table),
          key: id,
          detail: `${String(found)} rows instead of ${String(expected)}`
        })
      )
  })

const witnessOf = ({ head: { incarnation, lastRequestId, revision } }: Rows.StoredHead): CommitWitness => ({
  incarnation,
  revision,
  lastRequestId
})

const findKey = (
  all: All,
  setAside: Quarantine["add"],
  id: RuntimeId,
  key: string
): Effect.Effect<Option.Option<KeyFact>, ReadError> =>
  Effect.flatMap(all(keySql, [id, key]), ([row]): Effect.Effect<Option.Option<KeyFact>, ReadError> => {
    if (row === undefined) return Effect.as(absent(all, id), Option.none())
    return row["key_rt"] === null
      ? Effect.as(Absence.keyIsAbsent(all, row), Option.none())
      : Effect.asSome(keyFactOf(key, setAside)(row))
  })

/** Reads an idempotency key. Fails if its terminal input cannot be read: the input has run and must not run as a new one. */
const keyFactOf = (key: string, setAside: Quarantine["add"]) => (row: Row): Effect.Effect<KeyFact, ReadError> =>
  Effect.flatMap(Rows.inputIdOf(row["input_id"]), (inputId): Effect.Effect<KeyFact, ReadError> => {
    const strayed = (detail: string) => Effect.fail(new StoreCorrupt({ table: "dedup_key", key, detail }))
    const rt = row["key_rt"]
    if (row["key_sum"] !== sumOfKey(rt, key, inputId)) return strayed("the sum does not match its columns")
    if (row["known_sum"] === null) return strayed(`it names the unknown input ${inputId}`)
    if (row["known_sum"] !== sumOfKnown(inputId, rt, -1, row["ended"])) {
      return strayed(`what is known of its input ${inputId} does not match its sum`)
    }
    if (row["ended"] === null) return Effect.succeed({ key, inputId, completedAt: null, newerTerminals: 0 })
    if (row["key"] === null) return strayed(`the end of its input ${inputId} is missing`)
    return Effect.flatMap(EndedReads.checked(row, setAside), (ended) => {
      const place = ended.inputs.findIndex((input) => input.inputId === inputId && input.idempotencyKey === key)
      const found = ended.inputs[place]
      if (found === undefined) return strayed(`it is not the key of input ${inputId}`)
      const newerTerminals = Number(row["terminals"]) - 1 - Number(row["ordinal"]) - place
      return Effect.succeed({ key, inputId, completedAt: found.completedAt, newerTerminals })
    })
  })

/**
 * Lists all readable sessions, then fails if there are damaged ones. So a damaged session neither hides others nor is
 * left out silently.
 */
const sessions = (all: All, filter: SessionFilter): Stream.Stream<StoredSession, ReadError> =>
  Stream.suspend(() => {
    const damaged: Array<StoreCorrupt> = []
    const lifecycle = JSON.stringify(filter.lifecycle ?? lifecycles)
    const prefix = filter.prefix ?? ""
    const params = [lifecycle, prefix, prefix, filter.pendingOnly === true ? 1 : 0, filter.dueOnly === true ? 1 : 0]
    const listed = pager(all)(sessionsSql, params, (row) => Number(row["rt"])).pipe(
      Stream.filterMap((row) => {
        const session = sessionOf(row)
        if (Either.isLeft(session)) damaged.push(session.left)
        return Either.getRight(session)
      })
    )
    const complete = Effect.suspend(() => damaged.length === 0 ? allIndexed(all) : Effect.fail(together(damaged)))
    return Stream.concat(listed, Stream.execute(complete))
  })

/** Makes one error that names every damaged row. */
const together = (damaged: ReadonlyArray<StoreCorrupt>): StoreCorrupt =>
  new StoreCorrupt({
    table: [...new Set(damaged.map(({ table }) => table))].join(", "),
    key: damaged.map(({ key }) => key).join(", "),
    detail: damaged.map(({ detail, key }) => `${key}: ${detail}`).join("; ")
  })

const allIndexed = (all: All): Effect.Effect<void, ReadError> =>
  Effect.flatMap(all(runtimesSql, []), ([row]) =>
    row?.["found"] === row?.["indexed"]
      ? Effect.void
      : Effect.fail(
        new StoreCorrupt({
          table: "runtime",
          key: "",
          detail: `${String(row?.["found"])} rows, ${String(row?.["indexed"])} in their index`
        })
      ))

const sessionOf = (row: Row): Either.Either<StoredSession, StoreCorrupt> =>
  Either.flatMap(Rows.headOf(row), ({ head }) =>
    row["pending"] === head.openInputs
      ? Either.right({
        sessionId: head.sessionId,
        runtimeId: head.runtimeId,
        lifecycle: head.lifecycle,
        pendingInputs: head.openInputs,
        messageCount: head.body.messageCount,
        updatedAt: head.updatedAt
      })
      : Either.left(
        new StoreCorrupt({
          table: "input_open",
          key: head.runtimeId,
          detail: `${String(row["pending"])} rows instead of ${head.openInputs}`
        })
      ))

const opaqueOf = (id: RuntimeId) => (row: Row): Effect.Effect<Uint8Array, ReadError> => {
  const bytes = row["bytes"]
  return bytes instanceof Uint8Array && matches(bytes, row["digest"], [Number(row["rt"])])
    ? Effect.succeed(bytes)
    : Effect.fail(new StoreCorrupt({ table: "opaque_body", key: id, detail: "the digest does not match" }))
}

/**
 * Reads open and ended inputs from their two tables and sorts them by admission. An input that ends between the two reads
 * is found in both; the terminal state wins.
 */
const inputsOf = (all: All, ended: EndedReads.EndedReads, id: RuntimeId, { openOnly = false }: InputFilter = {}) =>
  Effect.gen(function*() {
    yield* counted(all, id)
    const states = new Map<InputId, InputState>()
    const open = yield* Stream.runCollect(pager(all)(openSql, [id, id], keyOf))
    for (const row of open) {
      const state = stateOfOpen(yield* valid(Rows.openInputOf)(row))
      states.set(state.inputId, state)
    }
    const outcomes = new Map<string, CompletionOutcome>()
    const past = openOnly ? Stream.empty : ended.rows(id)
    yield* Stream.runForEach(past, (row) => Effect.sync(() => addEnded(row, states, outcomes)))
    return [...states.values()].sort((a, b) => a.admissionSeq - b.admissionSeq)
  })

/** Adds the inputs of one row. Their receipt is in this row, or in an earlier one. */
const addEnded = (
  { inputs, outcome, receipt }: Rows.Ended,
  states: Map<InputId, InputState>,
  outcomes: Map<string, CompletionOutcome>
): void => {
  if (receipt !== undefined && outcome !== undefined) outcomes.set(`${receipt.runId} ${receipt.sequence}`, outcome)
  for (const input of inputs) {
    const known = input.outcome ?? outcomes.get(`${input.lastRunId ?? ""} ${input.lastSequence ?? 0}`)
    states.set(input.inputId, stateOfTerminal(known === undefined ? input : { ...input, outcome: known }))
  }
}

/** Reads the feed after a sequence. Fails if an entry is missing between the first kept and the last assigned one. */
const feedOf = (all: All, id: RuntimeId, after: number) =>
  Effect.gen(function*() {
    yield* headOf(all, id)
    const rows = yield* all(feedSql, [after, id])
    const watermark = Number(rows[0]?.["last_seq"] ?? 0)
    const droppedThrough = Number(rows[0]?.["dropped_through"] ?? 0)
    const entries = yield* Effect.forEach(rows.filter((row) => row["seq"] !== null), valid(Rows.feedEntryOf))
    const expected = Math.max(0, watermark - Math.max(after, droppedThrough))
    if (entries.length !== expected) {
      const detail = `${entries.length} entries after ${after} instead of ${expected}`
      return yield* new StoreCorrupt({ table: "feed", key: id, detail })
    }
    return { entries, watermark, droppedThrough }
  })
