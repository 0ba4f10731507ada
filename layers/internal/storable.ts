/**
 * Checks that a store can read back the values of a commit. Both stores call it before they queue a commit, and after an
 * opening is planned. Invariant: every value of a checked commit can be stored and read back.
 *
 * The check refuses a number that its row cannot store, and a name with half of a surrogate pair; it repairs other texts.
 * Most commits contain only whole numbers and well-formed strings, which a single pass detects. Only the others are
 * checked against the schemas of the rows.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { CompletionOutcome } from "../../src/domain/Completion.js"
import { EpochId, InputId, OperationId, RequestId, RuntimeId, SessionId, Sha256 } from "../../src/domain/Ids.js"
import { Input } from "../../src/domain/Input.js"
import { InputFacts, SliceDocument, TerminalInput } from "../../src/domain/InputRecord.js"
import { optional } from "../../src/domain/Json.js"
import { Message } from "../../src/domain/Message.js"
import { CompletionEntry, FeedCursors, OperationRecord } from "../../src/domain/Operation.js"
import { RunBoundaryReceipt } from "../../src/domain/Receipt.js"
import type { RuntimeCommit } from "../../src/domain/RuntimeCommit.js"
import { PersistedRuntimeState } from "../../src/domain/RuntimeState.js"
import { CommitUnencodable } from "../../src/domain/StoreErrors.js"
import { isWellFormed, Name } from "../../src/domain/Text.js"
import * as Stored from "./stored.js"

/** Returns the commit as it will be read back. Fails `CommitUnencodable` with the first field that cannot be stored. */
export const storable = (commit: RuntimeCommit): Either.Either<RuntimeCommit, CommitUnencodable> =>
  isPlain(commit) ? Either.right(commit) : Either.mapLeft(exact(commit), (detail) => new CommitUnencodable({ detail }))

// --- internal ---

/** Whether a value has only whole numbers from 0 and well-formed strings: every number or string field takes those. */
const isPlain = (value: unknown): boolean => {
  switch (typeof value) {
    case "string":
      return isWellFormed(value)
    case "number":
      return value >= 0 && Number.isSafeInteger(value)
    case "object":
      return Array.isArray(value) ? value.every(isPlain) : !Predicate.isRecord(value) || arePlain(value)
    default:
      return value === undefined || typeof value === "boolean"
  }
}

const arePlain = (parts: { readonly [name: string]: unknown }): boolean => {
  if (ArrayBuffer.isView(parts)) return true
  for (const name of Object.keys(parts)) if (!isWellFormed(name) || !isPlain(parts[name])) return false
  return true
}

const exact = (commit: RuntimeCommit): Either.Either<RuntimeCommit, string> => {
  const endless = endlessIn(commit, [])
  return endless === null ? Stored.check(Commit)(commit) : Either.left(endless)
}

/** Finds NaN and infinite numbers. JSON cannot express them, and schemas of plain numbers accept them. */
const endlessIn = (value: unknown, path: ReadonlyArray<string>): string | null => {
  if (typeof value === "number") return Number.isFinite(value) ? null : `${path.join(".")}: ${value} cannot be stored`
  if (!Array.isArray(value) && (!Predicate.isRecord(value) || ArrayBuffer.isView(value))) return null
  for (const [name, part] of Object.entries(value)) {
    const found = endlessIn(part, [...path, name])
    if (found !== null) return found
  }
  return null
}

const Head = Schema.Struct({
  generation: Schema.NonNegativeInt,
  messageCount: Schema.NonNegativeInt,
  digest: Schema.NullOr(Sha256)
})

const body = { base: Head, messages: Schema.Array(Message), head: Head }

/** A commit in the schemas that read its rows; numbers of integer columns are whole. */
const Commit = Schema.Struct({
  requestId: RequestId,
  runtimeId: RuntimeId,
  sessionId: SessionId,
  incarnation: Schema.NonNegativeInt,
  basis: Schema.NonNegativeInt,
  at: Schema.Int,
  lifecycle: optional(PersistedRuntimeState),
  inputs: Schema.Array(Schema.Union(
    Schema.TaggedStruct("Insert", { record: Schema.Struct({ ...InputFacts.fields, input: Input }) }),
    Schema.TaggedStruct("Update", { facts: InputFacts }),
    Schema.TaggedStruct("Terminal", { row: TerminalInput }),
    Schema.TaggedStruct("InsertTerminal", { row: TerminalInput })
  )),
  clearKeys: Schema.Array(Schema.Struct({ key: Name, inputId: InputId })),
  session: optional(Schema.Union(
    Schema.TaggedStruct("Append", body),
    Schema.TaggedStruct("Replace", body),
    Schema.TaggedStruct("Opaque", { base: Head, bytes: Schema.Uint8ArrayFromSelf, head: Head })
  )),
  receipt: optional(Schema.Struct({ receipt: RunBoundaryReceipt, outcome: CompletionOutcome })),
  operations: Schema.Array(OperationRecord),
  dropOperations: Schema.Array(OperationId),
  feed: Schema.Array(CompletionEntry),
  epoch: optional(Schema.Struct({
    epochId: EpochId,
    retired: Schema.Boolean,
    lastSeq: Schema.NonNegativeInt,
    droppedThrough: Schema.NonNegativeInt,
    cursors: FeedCursors
  })),
  slices: Schema.Array(SliceDocument),
  retainTerminal: optional(Schema.NonNegativeInt),
  close: Schema.Boolean
})
