/**
 * The rows of all members of a round as a handful of statements. A statement costs more than a row, so each table
 * gets one statement for everybody: many-row VALUES where bytes are written, a JSON list where rows are named.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { RuntimeCommit } from "../../../src/domain/RuntimeCommit.js"
import type { RuntimeHead } from "../../../src/kernel/validateCommit.js"
import { ConstraintFailed, type Database, type SqlFault, type Value } from "./database.js"
import type { EndedRow, Encoded } from "./encode.js"

/** A member that passed the check: what it writes and the head it leaves. @since 0.1.0 @category models */
export interface Accepted {
  readonly rt: number
  readonly commit: RuntimeCommit
  readonly rows: Encoded
  readonly before: RuntimeHead
  readonly head: RuntimeHead
  readonly writesReceipt: boolean
}

/**
 * Writes the members of a round, each of another runtime. The round was checked against what this transaction read; a
 * row count that is not the expected one means that the check missed something and fails like a constraint.
 *
 * @since 0.1.0
 * @category writing
 */
export const apply = (
  db: Database,
  members: ReadonlyArray<Accepted>,
  commitSeq: number
): Effect.Effect<void, SqlFault> =>
  Effect.gen(function*() {
    for (const { expect, params, sql } of statementsOf(members, commitSeq)) {
      const changed = yield* db.run(sql, params)
      if (expect !== undefined && changed !== expect) {
        return yield* new ConstraintFailed({ detail: `${changed} rows instead of ${expect}: ${sql.slice(0, 40)}` })
      }
    }
  })

// --- internal ---

interface Statement {
  readonly sql: string
  readonly params: ReadonlyArray<Value>
  /** rows it must change; absent where it may find nothing */
  readonly expect?: number
}

const statementsOf = (members: ReadonlyArray<Accepted>, commitSeq: number): ReadonlyArray<Statement> => [
  ...insert(runtimes, members.map((member) => headRow(member, commitSeq))),
  ...remove(clearKeys, members.flatMap(({ commit, rt }) => commit.clearKeys.map((key) => [rt, key]))),
  ...insert(keys, members.flatMap(({ rows, rt }) => rows.keys.map(({ id, key }) => [rt, key, id]))),
  ...insert(openInputs, members.flatMap(openRows)),
  ...named(changeInputs, members.flatMap(({ rows, rt }) => rows.changed.map(({ facts, id }) => [rt, id, facts]))),
  ...named(closeInputs, members.flatMap(({ rows, rt }) => rows.closed.map((id) => [rt, id]))),
  ...endedStatements(members),
  ...bodyStatements(members),
  ...operationStatements(members),
  ...insert(slices, members.flatMap(({ rows, rt }) => rows.slices.map((row) => [rt, row.name, row.doc, row.digest])))
]

// --- a row for each member ---

const headRow = ({ head, rt }: Accepted, commitSeq: number): ReadonlyArray<Value> => {
  const { body, epoch } = head
  return [
    rt,
    head.runtimeId,
    head.sessionId,
    head.incarnation,
    head.open ? 1 : 0,
    head.revision,
    head.lifecycle,
    head.lastRequestId,
    commitSeq,
    head.nextAdmissionSeq,
    head.ended,
    head.terminals,
    body.generation,
    body.messageCount,
    body.digest,
    epoch === null ? null : epoch.epochId,
    epoch !== null && epoch.retired ? 1 : 0,
    epoch?.lastSeq ?? 0,
    epoch?.droppedThrough ?? 0,
    epoch?.cursors.agentApplied ?? 0,
    epoch?.cursors.observed ?? 0,
    epoch?.cursors.injected ?? 0,
    head.updatedAt
  ]
}

const openRows = ({ rows, rt }: Accepted): ReadonlyArray<ReadonlyArray<Value>> =>
  rows.opened.map(({ digest, doc, facts, id }) => [rt, id, facts, doc, digest])

/** Receipt first, then the inputs it ended: an input's row never names a receipt that comes later. */
const endedOf = ({ rows, writesReceipt }: Accepted): ReadonlyArray<EndedRow> =>
  writesReceipt && rows.receipt !== undefined ? [rows.receipt, ...rows.terminals] : rows.terminals

const endedStatements = (members: ReadonlyArray<Accepted>): ReadonlyArray<Statement> => {
  const ended: Array<ReadonlyArray<Value>> = []
  const known: Array<ReadonlyArray<Value>> = []
  for (const member of members) {
    let ordinal = member.before.terminals
    for (const [i, row] of endedOf(member).entries()) {
      const n = member.before.ended + i
      const order = row.kind === "input" ? ordinal++ : 0
      ended.push([member.rt, n, row.kind, order, row.at, row.doc, row.digest])
      known.push([row.id, member.rt, row.sequence, n])
    }
  }
  return [...insert(endedTable, ended), ...insert(knownTable, known), ...members.flatMap(trim)]
}

const bodyStatements = (members: ReadonlyArray<Accepted>): ReadonlyArray<Statement> => {
  const messages = members.flatMap(({ head, rows, rt }) =>
    rows.messages.map((row) => [rt, head.body.generation, row.position, row.doc, row.digest])
  )
  const opaque = members.flatMap(({ rows, rt }) =>
    rows.opaque === undefined ? [] : [[rt, rows.opaque.bytes, rows.opaque.digest]]
  )
  const replaced = members.filter(({ commit }) => commit.session?._tag === "Replace").map(({ rt }) => [rt])
  const older = members.filter(({ commit, head }) => commit.session !== undefined && head.body.generation > 0)
  return [
    ...insert(messageTable, messages),
    ...insert(opaqueTable, opaque),
    ...remove(dropOpaque, replaced),
    ...remove(sweepMessages, older.map(({ head, rt }) => [rt, head.body.generation]))
  ]
}

const operationStatements = (members: ReadonlyArray<Accepted>): ReadonlyArray<Statement> => [
  ...insert(
    operations,
    members.flatMap(({ rows, rt }) =>
      rows.operations.map((row) => [rt, row.id, row.completionSeq === null ? 0 : 1, row.completionSeq, row.doc, row.digest])
    )
  ),
  ...remove(dropOperations, members.flatMap(({ commit, rt }) => commit.dropOperations.map((id) => [rt, id]))),
  ...remove(dropFeed, members.filter(dropsFeed).map(({ before, head, rt }) => [
    rt,
    before.epoch?.epochId === head.epoch?.epochId ? head.epoch?.droppedThrough ?? 0 : Number.MAX_SAFE_INTEGER
  ])),
  ...insert(
    feed,
    members.flatMap(({ rows, rt }) => rows.feed.map((row) => [rt, row.seq, row.operationId, row.doc, row.digest]))
  )
]

const dropsFeed = ({ before, head }: Accepted): boolean =>
  before.epoch !== null &&
  (before.epoch.epochId !== head.epoch?.epochId || before.epoch.droppedThrough < head.epoch.droppedThrough)

/** At most 16 rows of what ended longest ago; a receipt stays as long as twice as many rows follow it. */
const trim = ({ commit, head, rt }: Accepted): ReadonlyArray<Statement> => {
  if (commit.retainTerminal === undefined || head.terminals <= commit.retainTerminal) return []
  const params = [rt, head.terminals - commit.retainTerminal, head.ended - 2 * commit.retainTerminal]
  return [
    { sql: trimKeys, params: [...params, rt, rt] },
    { sql: trimKnown, params: [...params, rt] },
    { sql: trimEnded, params: [...params, rt] }
  ]
}

// --- statement texts ---

interface Target {
  readonly head: string
  readonly width: number
  readonly tail: string
  /** statement text by number of rows */
  readonly texts: Map<number, string>
}

const into = (table: string, columns: ReadonlyArray<string>, tail = ""): Target => ({
  head: `INSERT INTO ${table} (${columns.join(", ")}) VALUES `,
  width: columns.length,
  tail,
  texts: new Map()
})

const upsert = (table: string, key: ReadonlyArray<string>, values: ReadonlyArray<string>): Target =>
  into(
    table,
    [...key, ...values],
    ` ON CONFLICT (${key.join(", ")}) DO UPDATE SET ${values.map((name) => `${name} = excluded.${name}`).join(", ")}`
  )

const runtimes: Target = upsert("runtime", ["rt"], [
  "runtime_id",
  "session_id",
  "incarnation",
  "open",
  "revision",
  "lifecycle",
  "last_request_id",
  "commit_seq",
  "next_admission_seq",
  "ended",
  "terminals",
  "generation",
  "message_count",
  "body_digest",
  "epoch_id",
  "epoch_retired",
  "last_seq",
  "dropped_through",
  "agent_applied",
  "observed",
  "injected",
  "updated_at"
])
const keys = into("dedup_key", ["rt", "key", "input_id"])
const openInputs = into("input_open", ["rt", "input_id", "facts", "payload", "digest"])
const endedTable = into("ended", ["rt", "n", "kind", "ordinal", "at", "doc", "digest"])
const knownTable = into("known", ["id", "rt", "sequence", "n"])
const messageTable = into("message", ["rt", "generation", "position", "doc", "digest"])
const opaqueTable = upsert("opaque_body", ["rt"], ["bytes", "digest"])
const operations = upsert("operation", ["rt", "operation_id"], ["terminal", "completion_seq", "doc", "digest"])
const feed = into("feed", ["rt", "seq", "operation_id", "doc", "digest"])
const slices = upsert("slice", ["rt", "name"], ["doc", "digest"])

const changeInputs = `UPDATE input_open SET facts = j.value ->> 2 FROM json_each(?) AS j
  WHERE rt = j.value ->> 0 AND input_id = j.value ->> 1`
const pairs = "SELECT value ->> 0, value ->> 1 FROM json_each(?)"
const closeInputs = `DELETE FROM input_open WHERE (rt, input_id) IN (${pairs})`
const clearKeys = `DELETE FROM dedup_key WHERE (rt, key) IN (${pairs})`
const dropOperations = `DELETE FROM operation WHERE (rt, operation_id) IN (${pairs})`
const dropOpaque = "DELETE FROM opaque_body WHERE rt IN (SELECT value ->> 0 FROM json_each(?))"
const dropFeed = `DELETE FROM feed WHERE (rt, seq) IN (
  SELECT f.rt, f.seq FROM json_each(?) AS j CROSS JOIN feed AS f WHERE f.rt = j.value ->> 0 AND f.seq <= j.value ->> 1)`
/** Rows of earlier generations, some per commit, so that no commit pays for a whole old body. */
const sweepMessages = `DELETE FROM message WHERE (rt, generation, position) IN (
  SELECT m.rt, m.generation, m.position FROM json_each(?) AS j CROSS JOIN message AS m
  WHERE m.rt = j.value ->> 0 AND m.generation < j.value ->> 1 LIMIT 64)`
const oldest = `SELECT n FROM ended WHERE rt = ? AND ((kind = 'input' AND ordinal < ?) OR n < ?) ORDER BY n LIMIT 16`
const trimKeys = `DELETE FROM dedup_key WHERE (key, input_id) IN (
  SELECT doc ->> 'idempotencyKey', doc ->> 'inputId' FROM ended WHERE n IN (${oldest}) AND rt = ?) AND rt = ?`
const trimKnown = `DELETE FROM known WHERE (id, rt, sequence) IN (
  SELECT CASE kind WHEN 'input' THEN doc ->> 'inputId' ELSE doc -> 'receipt' ->> 'runId' END, rt,
    CASE kind WHEN 'input' THEN -1 ELSE doc -> 'receipt' ->> 'sequence' END
  FROM ended WHERE n IN (${oldest}) AND rt = ?)`
const trimEnded = `DELETE FROM ended WHERE n IN (${oldest}) AND rt = ?`

// --- how rows become statements ---

/** Row counts of prepared statements: few texts, and few statements for any number of rows. */
const buckets = [64, 16, 4, 1] as const

const insert = (target: Target, rows: ReadonlyArray<ReadonlyArray<Value>>): ReadonlyArray<Statement> => {
  const statements: Array<Statement> = []
  let from = 0
  for (const size of buckets) {
    while (rows.length - from >= size) {
      const chunk = rows.slice(from, from + size)
      statements.push({ sql: textOf(target, size), params: chunk.flat(), expect: size })
      from += size
    }
  }
  return statements
}

const textOf = (target: Target, size: number): string => {
  const known = target.texts.get(size)
  if (known !== undefined) return known
  const row = `(${Array.from({ length: target.width }, () => "?").join(",")})`
  const text = target.head + Array.from({ length: size }, () => row).join(",") + target.tail
  target.texts.set(size, text)
  return text
}

/** Rows that must be there. */
const named = (sql: string, list: ReadonlyArray<ReadonlyArray<Value>>): ReadonlyArray<Statement> =>
  list.length === 0 ? [] : [{ sql, params: [JSON.stringify(list)], expect: list.length }]

/** Rows that may be gone already. */
const remove = (sql: string, list: ReadonlyArray<ReadonlyArray<Value>>): ReadonlyArray<Statement> =>
  list.length === 0 ? [] : [{ sql, params: [JSON.stringify(list)] }]
