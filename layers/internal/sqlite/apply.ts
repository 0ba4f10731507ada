/**
 * What the members of a round write, as a handful of statements whatever their number.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { RuntimeCommit } from "../../../src/domain/RuntimeCommit.js"
import type { RuntimeHead } from "../../../src/kernel/validateCommit.js"
import { ConstraintFailed, type Database, type SqlFault, type Value } from "./database.js"
import type { Encoded, EndedRow } from "./encode.js"
import { keyOf } from "./schema.js"
import { into, over, type Statement, target, upsert } from "./statements.js"

/** A member that passed the check: what it writes and the head it leaves. @since 0.1.0 @category models */
export interface Accepted {
  readonly rt: number
  readonly commit: RuntimeCommit
  readonly rows: Encoded
  readonly before: RuntimeHead
  readonly head: RuntimeHead
  readonly writesReceipt: boolean
}

/** What all members of a batch are stamped with. @since 0.1.0 @category models */
export interface Stamp {
  readonly token: number
  readonly commitSeq: number
}

/**
 * Writes the members of a round, each of another runtime. Constraints and row counts stand behind the check: known
 * ids, taken keys, heads that moved on and a writer that was fenced off all fail as `ConstraintFailed`.
 *
 * @since 0.1.0
 * @category writing
 */
export const apply = (
  db: Database,
  members: ReadonlyArray<Accepted>,
  stamp: Stamp
): Effect.Effect<void, SqlFault> =>
  Effect.gen(function*() {
    for (const { expect, params, sql } of statementsOf(members, stamp)) {
      const changed = yield* db.run(sql, params)
      if (expect !== undefined && changed !== expect) {
        return yield* new ConstraintFailed({ detail: `${changed} rows instead of ${expect}: ${sql.slice(0, 40)}` })
      }
    }
  })

// --- internal ---

type Rows = ReadonlyArray<ReadonlyArray<Value>>

const statementsOf = (members: ReadonlyArray<Accepted>, stamp: Stamp): ReadonlyArray<Statement> => [
  ...over(runtimes, members.map((member) => headRow(member, stamp))),
  ...inputStatements(members),
  ...endedStatements(members),
  ...bodyStatements(members),
  ...operationStatements(members),
  ...over(slices, members.flatMap(({ rows, rt }): Rows => rows.slices.map((row) => [rt, row.name, row.doc, row.digest])))
]

/** With the token of the writer, which the guard of the statement compares. */
const headRow = ({ head, rt }: Accepted, stamp: Stamp): ReadonlyArray<Value> => [
  rt,
  head.runtimeId,
  head.sessionId,
  head.incarnation,
  head.open ? 1 : 0,
  head.revision,
  head.lifecycle,
  head.lastRequestId,
  stamp.commitSeq,
  stamp.token,
  head.nextAdmissionSeq,
  head.ended,
  head.terminals,
  head.body.generation,
  head.body.messageCount,
  head.body.digest,
  head.bodyStart,
  ...epochColumns(head.epoch),
  head.updatedAt
]

const epochColumns = (epoch: RuntimeHead["epoch"]): ReadonlyArray<Value> =>
  epoch === null ? [null, 0, 0, 0, 0, 0, 0] : [
    epoch.epochId,
    epoch.retired ? 1 : 0,
    epoch.lastSeq,
    epoch.droppedThrough,
    epoch.cursors.agentApplied,
    epoch.cursors.observed,
    epoch.cursors.injected
  ]

const inputStatements = (members: ReadonlyArray<Accepted>): ReadonlyArray<Statement> => [
  ...over(clearKeys, members.flatMap(({ commit, rt }): Rows => commit.clearKeys.map((key) => [rt, key]))),
  ...over(keys, members.flatMap(({ rows, rt }): Rows => rows.keys.map(({ id, key }) => [rt, key, id]))),
  ...over(newIds, members.flatMap(({ rows, rt }): Rows => rows.opened.map(({ id }) => [id, rt, -1, null]))),
  ...over(openInputs, members.flatMap(({ rows, rt }): Rows =>
    rows.opened.map(({ digest, doc, facts, id, seq }) => [keyOf(rt, seq), id, facts, doc, digest]))),
  ...over(changeInputs, members.flatMap(({ rows, rt }): Rows =>
    rows.changed.map(({ facts, id, seq }) => [keyOf(rt, seq), id, facts]))),
  ...over(closeInputs, members.flatMap(({ rows, rt }): Rows => rows.closed.map(({ id, seq }) => [keyOf(rt, seq), id])))
]

/** Receipt first, then the inputs it ended: an input's row never names a receipt that comes later. */
const endedOf = ({ rows, writesReceipt }: Accepted): ReadonlyArray<EndedRow> =>
  writesReceipt && rows.receipt !== undefined ? [rows.receipt, ...rows.terminals] : rows.terminals

const endedStatements = (members: ReadonlyArray<Accepted>): ReadonlyArray<Statement> => {
  const ended: Array<ReadonlyArray<Value>> = []
  const fresh: Array<ReadonlyArray<Value>> = []
  const known: Array<ReadonlyArray<Value>> = []
  for (const member of members) {
    let ordinal = member.before.terminals
    for (const [i, row] of endedOf(member).entries()) {
      const n = member.before.ended + i
      ended.push([keyOf(member.rt, n), row.kind, row.kind === "input" ? ordinal++ : 0, row.at, row.doc, row.digest])
      if (row.wasOpen) known.push([row.id, member.rt, n])
      else fresh.push([row.id, member.rt, row.sequence, n])
    }
  }
  return [...over(endedTable, ended), ...over(newIds, fresh), ...over(endIds, known), ...members.flatMap(trim)]
}

const bodyStatements = (members: ReadonlyArray<Accepted>): ReadonlyArray<Statement> => {
  const parts = members.filter(({ commit }) => commit.session !== undefined)
  if (parts.length === 0) return []
  return [
    ...over(messages, parts.flatMap(({ head, rows, rt }): Rows =>
      rows.messages.map((row) => [keyOf(rt, head.bodyStart + row.position), row.doc, row.digest]))),
    ...over(opaqueBodies, parts.flatMap(({ rows: { opaque }, rt }): Rows =>
      opaque === undefined ? [] : [[rt, opaque.bytes, opaque.digest]])),
    ...over(dropOpaque, parts.flatMap(({ commit, rt }): Rows => commit.session?._tag === "Replace" ? [[rt]] : [])),
    ...parts.flatMap(({ head, rt }) =>
      head.bodyStart === 0 ? [] : [{ sql: sweep, params: [keyOf(rt, 0), keyOf(rt, head.bodyStart)] }]
    )
  ]
}

const operationStatements = (members: ReadonlyArray<Accepted>): ReadonlyArray<Statement> => [
  ...over(operations, members.flatMap(({ rows, rt }): Rows =>
    rows.operations.map(({ completionSeq, digest, doc, id }) => [
      rt,
      id,
      completionSeq === null ? 0 : 1,
      completionSeq,
      doc,
      digest
    ]))),
  ...over(dropOperations, members.flatMap(({ commit, rt }): Rows => commit.dropOperations.map((id) => [rt, id]))),
  ...members.filter(dropsFeed).map(({ before, head, rt }) => ({
    sql: dropFeed,
    params: [rt, before.epoch?.epochId === head.epoch?.epochId ? head.epoch?.droppedThrough ?? 0 : Number.MAX_SAFE_INTEGER]
  })),
  ...over(feed, members.flatMap(({ rows, rt }): Rows =>
    rows.feed.map((row) => [rt, row.seq, row.operationId, row.doc, row.digest])))
]

const dropsFeed = ({ before, head }: Accepted): boolean =>
  before.epoch !== null && before.epoch.lastSeq > 0 &&
  (before.epoch.epochId !== head.epoch?.epochId || before.epoch.droppedThrough < head.epoch.droppedThrough)

/** At most 16 rows of what ended longest ago; a receipt stays until twice as many rows follow it. */
const trim = ({ commit, head, rt }: Accepted): ReadonlyArray<Statement> => {
  const retain = commit.retainTerminal
  if (retain === undefined || head.terminals <= retain) return []
  const oldest = [keyOf(rt, 0), keyOf(rt + 1, 0), head.terminals - retain, keyOf(rt, Math.max(0, head.ended - 2 * retain))]
  return [
    { sql: trimKeys, params: [rt, ...oldest] },
    { sql: trimIds, params: [rt, ...oldest] },
    { sql: trimEnded, params: oldest }
  ]
}

// --- statement texts ---

const guard = " WHERE runtime.revision = excluded.revision - 1 AND excluded.token = (SELECT writer_token FROM store_meta)"
const runtimes = upsert("runtime", ["rt"], [
  "runtime_id",
  "session_id",
  "incarnation",
  "open",
  "revision",
  "lifecycle",
  "last_request_id",
  "commit_seq",
  "token",
  "next_admission_seq",
  "ended",
  "terminals",
  "generation",
  "message_count",
  "body_digest",
  "body_start",
  "epoch_id",
  "epoch_retired",
  "last_seq",
  "dropped_through",
  "agent_applied",
  "observed",
  "injected",
  "updated_at"
], guard)
const keys = into("dedup_key", ["rt", "key", "input_id"])
const clearKeys = target("DELETE FROM dedup_key WHERE (rt, key) IN (VALUES ", 2, ")", false)
const newIds = into("known", ["id", "rt", "sequence", "ended"])
const endIds = target(
  "WITH v (id, rt, n) AS (VALUES ",
  3,
  `) UPDATE known SET ended = v.n FROM v
    WHERE known.id = v.id AND known.rt = v.rt AND known.sequence = -1 AND known.ended IS NULL`,
  true
)
const openInputs = into("input_open", ["key", "input_id", "facts", "payload", "digest"])
const changeInputs = target(
  "WITH v (key, input_id, facts) AS (VALUES ",
  3,
  ") UPDATE input_open SET facts = v.facts FROM v WHERE input_open.key = v.key AND input_open.input_id = v.input_id",
  true
)
const closeInputs = target("DELETE FROM input_open WHERE (key, input_id) IN (VALUES ", 2, ")", true)
const endedTable = into("ended", ["key", "kind", "ordinal", "at", "doc", "digest"])
const messages = into("message", ["key", "doc", "digest"])
const opaqueBodies = upsert("opaque_body", ["rt"], ["bytes", "digest"])
const dropOpaque = target("DELETE FROM opaque_body WHERE rt IN (VALUES ", 1, ")", false)
/** Messages of earlier generations, some per commit, so that no commit pays for a whole old body. */
const sweep = "DELETE FROM message WHERE key IN (SELECT key FROM message WHERE key >= ? AND key < ? LIMIT 64)"
const operations = upsert("operation", ["rt", "operation_id"], ["terminal", "completion_seq", "doc", "digest"])
const dropOperations = target("DELETE FROM operation WHERE (rt, operation_id) IN (VALUES ", 2, ")", false)
const feed = into("feed", ["rt", "seq", "operation_id", "doc", "digest"])
const dropFeed = "DELETE FROM feed WHERE rt = ? AND seq <= ?"
const slices = upsert("slice", ["rt", "name"], ["doc", "digest"])

const oldest = `SELECT key FROM ended WHERE key >= ? AND key < ? AND ((kind = 'input' AND ordinal < ?) OR key < ?)
  ORDER BY key LIMIT 16`
const trimKeys = `DELETE FROM dedup_key WHERE rt = ? AND (key, input_id) IN (
  SELECT doc ->> 'idempotencyKey', doc ->> 'inputId' FROM ended WHERE key IN (${oldest}))`
const trimIds = `DELETE FROM known WHERE rt = ? AND (id, sequence) IN (
  SELECT CASE kind WHEN 'input' THEN doc ->> 'inputId' ELSE doc -> 'receipt' ->> 'runId' END,
    CASE kind WHEN 'input' THEN -1 ELSE doc -> 'receipt' ->> 'sequence' END
  FROM ended WHERE key IN (${oldest}))`
const trimEnded = `DELETE FROM ended WHERE key IN (${oldest})`
