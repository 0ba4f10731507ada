/**
 * Writes the members of a round in a few statements, independent of their number. `batch` calls it inside its
 * transaction. Invariant: a write that contradicts the tables fails, even if the check missed it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { RuntimeCommit } from "../../../src/domain/RuntimeCommit.js"
import type { RuntimeHead } from "../../../src/kernel/validateCommit.js"
import { ConstraintFailed, type Database, type SqlFault, type Value } from "./database.js"
import { bind, sumOf } from "./digest.js"
import { type Encoded, type EndedRow, endedRows } from "./encode.js"
import { keyOf, rowsPerRuntime } from "./schema.js"
import { into, over, type Statement, target, upsert } from "./statements.js"
import { knownRow, sumOfKey, sumOfKnown } from "./sums.js"

/** A validated member: what it writes, and its new head. @since 0.1.0 @category models */
export interface Accepted {
  readonly rt: number
  readonly commit: RuntimeCommit
  readonly rows: Encoded
  readonly before: RuntimeHead
  readonly head: RuntimeHead
  readonly writesReceipt: boolean
}

/** The values that all members of a batch write into their heads. @since 0.1.0 @category models */
export interface Stamp {
  readonly token: number
  readonly commitSeq: number
}

/**
 * Writes the members of a round, each of another runtime. Constraints and row counts back up the check: known ids, taken
 * keys, changed heads and a fenced writer fail as `ConstraintFailed`.
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
  ...sliceStatements(members)
]

const sliceStatements = (members: ReadonlyArray<Accepted>): ReadonlyArray<Statement> => [
  ...over(
    slices,
    members.flatMap(({ rows, rt }): Rows => rows.slices.map((row) => [rt, row.name, row.doc, bind(row.digest, [rt])]))
  ),
  ...over(countSlices, members.flatMap(({ rows, rt }): Rows => rows.slices.length === 0 ? [] : [[rt]]))
]

/** The columns of a head. The guard of the statement compares the writer's token; the last column is the checksum. */
const headRow = (member: Accepted, stamp: Stamp): ReadonlyArray<Value> => {
  const row = headColumns(member, stamp)
  return [...row, sumOf(JSON.stringify(row))]
}

const headColumns = ({ head, rt }: Accepted, stamp: Stamp): ReadonlyArray<Value> => [
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
  head.openInputs,
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
  ...over(
    clearKeys,
    members.flatMap(({ commit, rt }): Rows => commit.clearKeys.map(({ inputId, key }) => [rt, key, inputId]))
  ),
  ...over(
    keys,
    members.flatMap(({ rows, rt }): Rows => rows.keys.map(({ id, key }) => [rt, key, id, sumOfKey(rt, key, id)]))
  ),
  ...over(newIds, members.flatMap(({ rows, rt }): Rows => rows.opened.map(({ id }) => knownRow(id, rt, -1, null)))),
  ...over(
    openInputs,
    members.flatMap(({ rows, rt }): Rows =>
      rows.opened.map(({ digest, doc, facts, id, seq, shape, sum }) => {
        const key = keyOf(rt, seq)
        return [key, id, shape, facts, sum, doc, bind(digest, [key])]
      })
    )
  ),
  ...over(
    changeInputs,
    members.flatMap(({ rows, rt }): Rows =>
      rows.changed.map(({ facts, id, seq, shape, sum }) => [keyOf(rt, seq), id, shape, facts, sum])
    )
  ),
  ...over(closeInputs, members.flatMap(({ rows, rt }): Rows => rows.closed.map(({ id, seq }) => [keyOf(rt, seq), id])))
]

const endedOf = ({ commit, rows, writesReceipt }: Accepted): ReadonlyArray<EndedRow> =>
  writesReceipt || commit.receipt === undefined ? rows.ended : endedRows(commit, false)

const endedStatements = (members: ReadonlyArray<Accepted>): ReadonlyArray<Statement> => {
  const ended: Array<ReadonlyArray<Value>> = []
  const fresh: Array<ReadonlyArray<Value>> = []
  const known: Array<ReadonlyArray<Value>> = []
  for (const member of members) {
    const { before, rt } = member
    let ordinal = before.terminals
    let n = before.ended
    for (const { digest, doc, inputs, receipt } of endedOf(member)) {
      const place = [keyOf(rt, n), receipt === undefined ? 0 : 1, ordinal, inputs.length]
      ended.push([...place, doc, bind(digest, place)])
      if (receipt !== undefined) fresh.push(knownRow(receipt.runId, rt, receipt.sequence, n))
      for (const { id, wasOpen } of inputs) {
        if (wasOpen) known.push([id, rt, n, sumOfKnown(id, rt, -1, n)])
        else fresh.push(knownRow(id, rt, -1, n))
      }
      ordinal += inputs.length
      // the number of the next row follows from this one
      n += inputs.length + (receipt === undefined ? 0 : 1)
    }
  }
  return [...over(endedTable, ended), ...over(newIds, fresh), ...over(endIds, known), ...members.flatMap(trim)]
}

const bodyStatements = (members: ReadonlyArray<Accepted>): ReadonlyArray<Statement> => {
  const parts = members.filter(({ commit }) => commit.session !== undefined)
  if (parts.length === 0) return []
  return [
    ...over(
      messages,
      parts.flatMap(({ head, rows, rt }): Rows =>
        rows.messages.map((row) => {
          const key = keyOf(rt, head.bodyStart + row.position)
          return [key, row.doc, bind(row.digest, [key])]
        })
      )
    ),
    ...over(
      opaqueBodies,
      parts.flatMap(({ rows: { opaque }, rt }): Rows =>
        opaque === undefined ? [] : [[rt, opaque.bytes, bind(opaque.digest, [rt])]]
      )
    ),
    ...over(dropOpaque, parts.flatMap(({ commit, rt }): Rows => commit.session?._tag === "Replace" ? [[rt]] : [])),
    ...parts.flatMap(({ head, rt }) =>
      head.bodyStart === 0 ? [] : [{ sql: sweep, params: [keyOf(rt, 0), keyOf(rt, head.bodyStart)] }]
    )
  ]
}

const operationStatements = (members: ReadonlyArray<Accepted>): ReadonlyArray<Statement> => [
  ...over(
    operations,
    members.flatMap(({ rows, rt }): Rows =>
      rows.operations.map(({ completionSeq, digest, doc, id }) => [
        rt,
        id,
        completionSeq === null ? 0 : 1,
        completionSeq,
        doc,
        bind(digest, [rt, completionSeq ?? -1])
      ])
    )
  ),
  ...over(dropOperations, members.flatMap(({ commit, rt }): Rows => commit.dropOperations.map((id) => [rt, id]))),
  ...over(countOperations, members.flatMap(({ commit, rt }): Rows => changesOperations(commit) ? [[rt]] : [])),
  ...members.filter(dropsFeed).map(({ before, head, rt }) => ({
    sql: dropFeed,
    params: [
      rt,
      before.epoch?.epochId === head.epoch?.epochId ? head.epoch?.droppedThrough ?? 0 : Number.MAX_SAFE_INTEGER
    ]
  })),
  ...over(
    feed,
    members.flatMap(({ rows, rt }): Rows =>
      rows.feed.map((row) => [rt, row.seq, row.operationId, row.doc, bind(row.digest, [rt, row.seq])])
    )
  )
]

const changesOperations = ({ dropOperations, operations }: RuntimeCommit): boolean =>
  operations.length > 0 || dropOperations.length > 0

const dropsFeed = ({ before, head }: Accepted): boolean =>
  before.epoch !== null && before.epoch.lastSeq > 0 &&
  (before.epoch.epochId !== head.epoch?.epochId || before.epoch.droppedThrough < head.epoch.droppedThrough)

/** Deletes at most 16 of the oldest ended rows; a row is deleted only if all its inputs exceed the retention. */
const trim = ({ commit, head, rt }: Accepted): ReadonlyArray<Statement> => {
  const retain = commit.retainTerminal
  if (retain === undefined || head.terminals <= retain) return []
  const oldest = [keyOf(rt, 0), keyOf(rt + 1, 0), head.terminals - retain]
  return [
    { sql: trimKeys, params: [rt, ...oldest] },
    { sql: trimIds, params: [rt, ...oldest, ...oldest] },
    { sql: trimEnded, params: oldest },
    { sql: trimmed, params: [rt] }
  ]
}

// --- statement texts ---

const guard =
  " WHERE runtime.revision = excluded.revision - 1 AND excluded.token = (SELECT writer_token FROM store_meta)"
/** Runtime id and session id never change, and an update of them would rewrite their index. */
const runtimes = upsert("runtime", ["rt", "runtime_id", "session_id"], ["rt"], [
  "incarnation",
  "open",
  "revision",
  "lifecycle",
  "last_request_id",
  "commit_seq",
  "token",
  "next_admission_seq",
  "open_inputs",
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
  "updated_at",
  "sum"
], guard)
const keys = into("dedup_key", ["rt", "key", "input_id", "sum"])
const clearKeys = target("DELETE FROM dedup_key WHERE (rt, key, input_id) IN (VALUES ", 3, ")", false)
const newIds = into("known", ["id", "rt", "sequence", "ended", "sum"])
const endIds = target(
  "WITH v (id, rt, n, sum) AS (VALUES ",
  4,
  `) UPDATE known SET ended = v.n, sum = v.sum FROM v
    WHERE known.id = v.id AND known.rt = v.rt AND known.sequence = -1 AND known.ended IS NULL`,
  true
)
const openInputs = into("input_open", ["key", "input_id", "shape", "facts", "sum", "payload", "digest"])
const changeInputs = target(
  "WITH v (key, input_id, shape, facts, sum) AS (VALUES ",
  5,
  `) UPDATE input_open SET shape = v.shape, facts = v.facts, sum = v.sum FROM v
    WHERE input_open.key = v.key AND input_open.input_id = v.input_id`,
  true
)
const closeInputs = target("DELETE FROM input_open WHERE (key, input_id) IN (VALUES ", 2, ")", true)
const endedTable = into("ended", ["key", "has_receipt", "ordinal", "inputs", "doc", "digest"])
const messages = into("message", ["key", "doc", "digest"])
const opaqueBodies = upsert("opaque_body", ["rt"], ["rt"], ["bytes", "digest"])
const dropOpaque = target("DELETE FROM opaque_body WHERE rt IN (VALUES ", 1, ")", false)
/** Deletes messages of earlier generations, a few per commit, so that no commit deletes a whole old body. */
const sweep = "DELETE FROM message WHERE key IN (SELECT key FROM message WHERE key >= ? AND key < ? LIMIT 64)"
const operations = upsert("operation", ["rt", "operation_id"], ["rt", "operation_id"], [
  "terminal",
  "completion_seq",
  "doc",
  "digest"
])
const dropOperations = target("DELETE FROM operation WHERE (rt, operation_id) IN (VALUES ", 2, ")", false)
/** Counts the operations after the writes, because it is not known before whether an operation is new. */
const countOperations = target(
  "UPDATE runtime SET operations = (SELECT count(*) FROM operation AS o WHERE o.rt = runtime.rt) WHERE rt IN (VALUES ",
  1,
  ")",
  true
)
const countSlices = target(
  "UPDATE runtime SET slices = (SELECT count(*) FROM slice AS s WHERE s.rt = runtime.rt) WHERE rt IN (VALUES ",
  1,
  ")",
  true
)
const feed = into("feed", ["rt", "seq", "operation_id", "doc", "digest"])
const dropFeed = "DELETE FROM feed WHERE rt = ? AND seq <= ?"
const slices = upsert("slice", ["rt", "name"], ["rt", "name"], ["doc", "digest"])

const oldest = "SELECT key FROM ended WHERE key >= ? AND key < ? AND ordinal + inputs <= ? ORDER BY key LIMIT 16"
/** Reads a damaged document as empty, so that it does not fail the batch of the commit that trims it. */
const readable = "CASE WHEN json_valid(doc) THEN doc ELSE '{}' END"
const trimKeys = `DELETE FROM dedup_key WHERE rt = ? AND (key, input_id) IN (
  SELECT i.value ->> 'idempotencyKey', i.value ->> 'inputId' FROM ended, json_each(${readable}, '$.inputs') AS i
  WHERE ended.key IN (${oldest}))`
const trimIds = `DELETE FROM known WHERE rt = ? AND (id, sequence) IN (
  SELECT i.value ->> 'inputId', -1 FROM ended, json_each(${readable}, '$.inputs') AS i WHERE ended.key IN (${oldest})
  UNION ALL
  SELECT (${readable}) -> 'receipt' ->> 'runId', (${readable}) -> 'receipt' ->> 'sequence' FROM ended
  WHERE has_receipt = 1 AND key IN (${oldest}))`
const trimmed = `UPDATE runtime SET ended_from = coalesce((SELECT min(key) - rt * ${rowsPerRuntime} FROM ended
  WHERE key >= rt * ${rowsPerRuntime} AND key < (rt + 1) * ${rowsPerRuntime}), ended) WHERE rt = ?`
const trimEnded = `DELETE FROM ended WHERE key IN (${oldest})`
