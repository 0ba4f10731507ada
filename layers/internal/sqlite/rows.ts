/**
 * Decodes rows to values. The reads and the look-ups of a batch call it. A row with a wrong digest or shape decodes to a
 * `CorruptRow`, which says in one short sentence what is wrong; the reader decides what to do with it.
 *
 * Invariant: all decoded texts are well formed. Files of earlier versions may contain half of a surrogate pair, so a
 * document is made well formed after its digest was checked.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import type { ParseError } from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { CompletionOutcome } from "../../../src/domain/Completion.js"
import { EpochId, InputId, RequestId, RuntimeId, SessionId, Sha256 } from "../../../src/domain/Ids.js"
import { Input } from "../../../src/domain/Input.js"
import { InputFacts, type InputRecord, type SliceDocument, TerminalInput } from "../../../src/domain/InputRecord.js"
import { Json, optional } from "../../../src/domain/Json.js"
import { Message } from "../../../src/domain/Message.js"
import { CompletionEntry, OperationRecord } from "../../../src/domain/Operation.js"
import { RunBoundaryReceipt } from "../../../src/domain/Receipt.js"
import type { CorruptRow } from "../../../src/domain/RuntimeCommit.js"
import { PersistedRuntimeState } from "../../../src/domain/RuntimeState.js"
import { StoreCorrupt } from "../../../src/domain/StoreErrors.js"
import { wellFormedJson } from "../../../src/domain/Text.js"
import type { RuntimeHead } from "../../../src/kernel/validateCommit.js"
import { firstIssue } from "../issues.js"
import type { Row } from "./database.js"
import { matches, sumOf } from "./digest.js"

/** A head and the integer that names its runtime in the other tables. @since 0.1.0 @category models */
export interface StoredHead {
  readonly rt: number
  readonly head: RuntimeHead
}

/** Decodes a row of `runtime`. It needs all columns, because they have one checksum. @since 0.1.0 @category decoding */
export const headOf = (row: Row): Either.Either<StoredHead, StoreCorrupt> =>
  Either.mapBoth(
    Either.filterOrLeft(
      Either.mapLeft(decodeHead(row), firstIssue),
      isWhole,
      () => "the sum does not match its columns"
    ),
    {
      onLeft: (detail) => new StoreCorrupt({ table: "runtime", key: String(row["runtime_id"]), detail }),
      onRight: (columns) => ({ rt: columns.rt, head: toHead(columns) })
    }
  )

/** Decodes a document after it has checked the digest, which covers the place of the row. @since 0.1.0 @category decoding */
export const docOf = <A>(
  table: string,
  key: string,
  row: Row,
  decode: (text: string) => Either.Either<A, ParseError>,
  place: ReadonlyArray<unknown>,
  hashed: (text: string) => string = (doc) => doc
): Either.Either<A, CorruptRow> => {
  const text = row["doc"]
  if (typeof text !== "string" || !matches(hashed(text), row["digest"], place.map(Number))) {
    return Either.left({ table, key, detail: "the digest does not match the stored bytes" })
  }
  return Either.mapLeft(decode(wellFormedJson(text)), (issue) => ({ table, key, detail: firstIssue(issue) }))
}

/** Decodes a row of `input_open`: the facts, and the content with its digest. @since 0.1.0 @category decoding */
export const openInputOf = (row: Row): Either.Either<InputRecord, CorruptRow> => {
  const key = String(row["input_id"])
  const input = docOf("input_open", key, row, decodeInput, [row["key"]])
  if (Either.isLeft(input)) return Either.left(input.left)
  if (sumOf(`${key}\n${String(row["shape"])}\n${String(row["facts"])}`) !== row["sum"]) {
    return Either.left({ table: "input_open", key, detail: "the sum does not match its facts" })
  }
  const own = joined(String(row["shape"]), String(row["facts"]), JSON.stringify({ inputId: key }))
  const facts = decodeFacts(wellFormedJson(own))
  return Either.mapBoth(facts, {
    onLeft: (issue): CorruptRow => ({ table: "input_open", key, detail: firstIssue(issue) }),
    onRight: (value): InputRecord => ({ ...value, input: input.right })
  })
}

/** @since 0.1.0 @category decoding */
export const operationOf = (row: Row): Either.Either<OperationRecord, CorruptRow> =>
  Either.filterOrLeft(
    docOf("operation", String(row["operation_id"]), row, decodeOperation, [row["rt"], row["completion_seq"] ?? -1]),
    ({ spec }) => spec.id === row["operation_id"],
    ({ spec }) => ({ table: "operation", key: spec.id, detail: "it is stored under another id" })
  )

/** @since 0.1.0 @category decoding */
export const feedEntryOf = (row: Row): Either.Either<CompletionEntry, CorruptRow> =>
  docOf("feed", String(row["seq"]), row, decodeEntry, [row["rt"], row["seq"]])

/** @since 0.1.0 @category decoding */
export const sliceOf = (row: Row): Either.Either<SliceDocument, CorruptRow> =>
  Either.map(
    docOf("slice", String(row["name"]), row, decodeJson, [row["rt"]], (doc) => `${String(row["name"])}\n${doc}`),
    (value) => ({ name: String(row["name"]), value })
  )

/** The inputs that one commit ended, with its receipt. @since 0.1.0 @category models */
export type Ended = typeof Ended.Type

/** @since 0.1.0 @category decoding */
export const endedOf = (row: Row): Either.Either<Ended, CorruptRow> =>
  docOf("ended", String(row["key"]), row, decodeEnded, endedPlace.map((column) => row[column]))

/** The columns of `ended` that decoding a row needs. @since 0.1.0 @category decoding */
export const endedColumns = (table: string): string =>
  [...endedPlace, "doc", "digest"].map((column) => `${table}.${column}`).join(", ")

/** @since 0.1.0 @category decoding */
export const messagesOf = (row: Row): Either.Either<ReadonlyArray<Message>, CorruptRow> =>
  docOf("message", String(row["key"]), row, decodeMessages, [row["key"]])

/** @since 0.1.0 @category errors */
export const corrupt = (row: CorruptRow): StoreCorrupt => new StoreCorrupt(row)

// --- internal ---

const endedPlace = ["key", "has_receipt", "ordinal", "inputs"]

const Ended = Schema.Struct({
  committedAt: Schema.Number,
  receipt: optional(RunBoundaryReceipt),
  outcome: optional(CompletionOutcome),
  inputs: Schema.Array(TerminalInput)
})

/** Joins JSON objects without common names into one. */
const joined = (...objects: ReadonlyArray<string>): string => `{${objects.map((text) => text.slice(1, -1)).join(",")}}`

const parsed = <A, I>(schema: Schema.Schema<A, I>) => Schema.decodeUnknownEither(Schema.parseJson(schema))

const decodeInput = parsed(Input)
const decodeFacts = parsed(InputFacts)
const decodeOperation = parsed(OperationRecord)
const decodeEntry = parsed(CompletionEntry)
const decodeJson = parsed(Json)
const decodeEnded = parsed(Ended)
const decodeMessages = parsed(Schema.Array(Message))

const HeadRow = Schema.Struct({
  rt: Schema.Number,
  runtime_id: RuntimeId,
  session_id: SessionId,
  incarnation: Schema.Number,
  open: Schema.Number,
  sum: Schema.Number,
  revision: Schema.Number,
  lifecycle: PersistedRuntimeState,
  last_request_id: RequestId,
  commit_seq: Schema.Number,
  token: Schema.Number,
  next_admission_seq: Schema.Number,
  open_inputs: Schema.Number,
  ended: Schema.Number,
  terminals: Schema.Number,
  generation: Schema.Number,
  message_count: Schema.Number,
  body_digest: Schema.NullOr(Sha256),
  body_start: Schema.Number,
  epoch_id: Schema.NullOr(EpochId),
  epoch_retired: Schema.Number,
  last_seq: Schema.Number,
  dropped_through: Schema.Number,
  agent_applied: Schema.Number,
  observed: Schema.Number,
  injected: Schema.Number,
  updated_at: Schema.Number
})

/** The fields in the order in which they are written. */
const isWhole = (row: typeof HeadRow.Type): boolean =>
  row.sum === sumOf(JSON.stringify([
    row.rt,
    row.runtime_id,
    row.session_id,
    row.incarnation,
    row.open,
    row.revision,
    row.lifecycle,
    row.last_request_id,
    row.commit_seq,
    row.token,
    row.next_admission_seq,
    row.open_inputs,
    row.ended,
    row.terminals,
    row.generation,
    row.message_count,
    row.body_digest,
    row.body_start,
    row.epoch_id,
    row.epoch_retired,
    row.last_seq,
    row.dropped_through,
    row.agent_applied,
    row.observed,
    row.injected,
    row.updated_at
  ]))

const decodeHead = Schema.decodeUnknownEither(HeadRow)

const toHead = (row: typeof HeadRow.Type): RuntimeHead => ({
  runtimeId: row.runtime_id,
  sessionId: row.session_id,
  incarnation: row.incarnation,
  open: row.open === 1,
  revision: row.revision,
  lifecycle: row.lifecycle,
  lastRequestId: row.last_request_id,
  nextAdmissionSeq: row.next_admission_seq,
  openInputs: row.open_inputs,
  ended: row.ended,
  terminals: row.terminals,
  body: { generation: row.generation, messageCount: row.message_count, digest: row.body_digest },
  bodyStart: row.body_start,
  epoch: row.epoch_id === null ? null : {
    epochId: row.epoch_id,
    retired: row.epoch_retired === 1,
    lastSeq: row.last_seq,
    droppedThrough: row.dropped_through,
    cursors: { agentApplied: row.agent_applied, observed: row.observed, injected: row.injected }
  },
  updatedAt: row.updated_at
})

/** Decodes an input id from a column. @since 0.1.0 @category decoding */
export const inputIdOf = (value: unknown): Either.Either<InputId, StoreCorrupt> =>
  Either.mapLeft(
    Schema.decodeUnknownEither(InputId)(value),
    (issue) => new StoreCorrupt({ table: "dedup_key", key: String(value), detail: firstIssue(issue) })
  )
