/**
 * Whether a store can read back what a commit carries. Both stores ask before they queue a commit, and for the commit of
 * an opening once it is planned. A number that its row could not give back is refused, and so is a name with half of a
 * surrogate pair; a text with one is repaired. Most commits hold whole numbers and well-formed strings alone: one look at
 * each of them says so, and only the others are held against the schemas of the rows.
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

/** The commit as it can be read back, or `CommitUnencodable` that names the first field that could not. */
export const storable = (commit: RuntimeCommit): Either.Either<RuntimeCommit, CommitUnencodable> =>
  isPlain(commit) ? Either.right(commit) : Either.mapLeft(exact(commit), (detail) => new CommitUnencodable({ detail }))

// --- internal ---

/** Whole numbers from 0 on and well-formed strings, which every field takes that takes a number or a string at all. */
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

/** JSON has no word for these, and no row gives them back; schemas of plain numbers let them pass. */
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

/** A commit by the schemas that read its rows; numbers of integer columns are whole. */
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
