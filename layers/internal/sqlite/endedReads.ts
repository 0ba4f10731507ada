/**
 * Reads receipts and terminal inputs, by id and in the order of their ends. `reads` calls it. Invariant: a missing or
 * damaged row is an error, never an absent result.
 *
 * @since 0.1.0
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { RuntimeStore, StoredReceipt } from "../../../services/RuntimeStore.js"
import type { CompletionOutcome } from "../../../src/domain/Completion.js"
import type { RuntimeId } from "../../../src/domain/Ids.js"
import type { TerminalInput } from "../../../src/domain/InputRecord.js"
import { type ReadError, StoreCorrupt } from "../../../src/domain/StoreErrors.js"
import * as Absence from "./absence.js"
import type { Row } from "./database.js"
import { type All, keyOf, pageRows, skimming } from "./paging.js"
import type { Quarantine } from "./quarantine.js"
import * as Rows from "./rows.js"
import { rowsPerRuntime } from "./schema.js"
import { sumOfKnown } from "./sums.js"

/** The reads of ended inputs. @since 0.1.0 @category models */
export interface EndedReads {
  readonly terminal: RuntimeStore["Type"]["terminalInput"]
  readonly receipt: RuntimeStore["Type"]["receipt"]
  /** The ended rows in order. Unreadable rows are set aside; a missing row fails the stream. */
  readonly rows: (id: RuntimeId) => Stream.Stream<Rows.Ended, ReadError>
}

/** Makes the reads; `absent` fails if a missing runtime may be a damaged row. @since 0.1.0 @category constructors */
export const make = (
  all: All,
  setAside: Quarantine["add"],
  absent: (id: RuntimeId) => Effect.Effect<void, ReadError>
): EndedReads => {
  const find = finder(all, setAside, absent)
  const receipt: EndedReads["receipt"] = (id, runId, sequence) =>
    Effect.flatMap(find(id, runId, sequence), (ended) => {
      const stored = Option.flatMap(ended, receiptOf)
      const isIt = Option.exists(stored, ({ receipt }) => receipt.runId === runId && receipt.sequence === sequence)
      return Option.isSome(ended) && !isIt
        ? Effect.fail(strayed(runId, "it names the end of another run"))
        : Effect.succeed(stored)
    })
  return {
    receipt,
    terminal: (id, inputId) =>
      Effect.gen(function*() {
        const ended = yield* find(id, inputId, -1)
        if (Option.isNone(ended)) return Option.none()
        const row = ended.value.inputs.find((input) => input.inputId === inputId)
        if (row === undefined) return yield* strayed(inputId, "it names the end of another input")
        const outcome = yield* outcomeOf(receipt, id, ended.value, row)
        if (Option.isSome(outcome)) return Option.some({ ...row, outcome: outcome.value })
        // a receipt is trimmed together with its inputs, so look whether the input was trimmed too
        const isForgotten = Option.isNone(yield* find(id, inputId, -1))
        if (isForgotten) return Option.none()
        return yield* new StoreCorrupt({ table: "ended", key: inputId, detail: "it names no stored receipt" })
      }),
    rows: (id) => skimming(Rows.endedOf, setAside)(chained(all, absent, id))
  }
}

/** The receipt of an ended row, if it has one. @since 0.1.0 @category decoding */
export const receiptOf = ({ committedAt, outcome, receipt }: Rows.Ended): Option.Option<StoredReceipt> =>
  receipt === undefined || outcome === undefined ? Option.none() : Option.some({ receipt, outcome, committedAt })

/** Decodes a row. Sets an unreadable row aside and fails. @since 0.1.0 @category decoding */
export const checked = (row: Row, setAside: Quarantine["add"]): Effect.Effect<Rows.Ended, ReadError> => {
  const ended = Rows.endedOf(row)
  return Either.isRight(ended)
    ? Effect.succeed(ended.right)
    : Effect.zipRight(setAside(ended.left, row), Effect.fail(Rows.corrupt(ended.left)))
}

// --- internal ---

const strayed = (key: string, detail: string) => new StoreCorrupt({ table: "known", key, detail })

const findSql = `WITH a (id, name, sequence) AS (VALUES (?, ?, ?)) SELECT r.rt, k.id, k.ended, k.sum, ${
  Rows.endedColumns("e")
}, ${Absence.besideKnown("k.id IS NULL", "a.name", "r.rt", "a.sequence")}
  FROM a CROSS JOIN runtime AS r ON r.runtime_id = a.id
  LEFT JOIN known AS k ON k.id = a.name AND k.rt = r.rt AND k.sequence = a.sequence
  LEFT JOIN ended AS e ON e.key = k.rt * ${rowsPerRuntime} + k.ended`

/** Finds the ended row of an input id or a receipt. Empty only if the name is unknown, or its input is open. */
const finder =
  (all: All, setAside: Quarantine["add"], absent: (id: RuntimeId) => Effect.Effect<void, ReadError>) =>
  (id: RuntimeId, name: string, sequence: number): Effect.Effect<Option.Option<Rows.Ended>, ReadError> =>
    Effect.flatMap(all(findSql, [id, name, sequence]), ([row]): Effect.Effect<Option.Option<Rows.Ended>, ReadError> => {
      if (row === undefined) return Effect.as(absent(id), Option.none())
      if (row["id"] === null) return Effect.as(Absence.knownIsAbsent(all, row), Option.none())
      if (row["sum"] !== sumOfKnown(name, row["rt"], sequence, row["ended"])) {
        return Effect.fail(strayed(name, "the sum does not match its columns"))
      }
      if (row["ended"] === null) return Effect.succeedNone
      if (row["key"] === null) return Effect.fail(strayed(name, "what it names is missing"))
      return Effect.asSome(checked(row, setAside))
    })

/** Finds the outcome of an input, usually in the same row. Otherwise it looks up the receipt, which may be trimmed by then. */
const outcomeOf = (
  receipt: EndedReads["receipt"],
  id: RuntimeId,
  ended: Rows.Ended,
  { lastRunId, lastSequence = 0, outcome }: TerminalInput
): Effect.Effect<Option.Option<CompletionOutcome>, ReadError> => {
  if (outcome !== undefined) return Effect.succeedSome(outcome)
  if (lastRunId === undefined) return Effect.succeedNone
  const beside = Option.filter(
    receiptOf(ended),
    (stored) => stored.receipt.runId === lastRunId && stored.receipt.sequence === lastSequence
  )
  return Effect.map(
    Option.isSome(beside) ? Effect.succeed(beside) : receipt(id, lastRunId, lastSequence),
    Option.map((stored) => stored.outcome)
  )
}

/** Reads one page, with the bounds of the table at that moment. */
const pageSql = `SELECT r.rt, r.ended AS bound, r.ended_from, ${Rows.endedColumns("e")}
  FROM runtime AS r LEFT JOIN ended AS e
    ON e.key >= r.rt * ${rowsPerRuntime} AND e.key < (r.rt + 1) * ${rowsPerRuntime} AND e.key > ?
  WHERE r.runtime_id = ? ORDER BY e.key LIMIT ${pageRows}`

/** Reads all rows, and fails if a number is missing between the oldest kept row and the last written one. */
const chained = (
  all: All,
  absent: (id: RuntimeId) => Effect.Effect<void, ReadError>,
  id: RuntimeId
): Stream.Stream<Row, ReadError> =>
  Stream.paginateChunkEffect({ after: -1, next: 0 }, ({ after, next }) =>
    Effect.gen(function*() {
      const page = yield* all(pageSql, [after, id])
      if (page.length === 0) yield* absent(id)
      const from = Number(page[0]?.["rt"] ?? 0) * rowsPerRuntime
      const rows = page.filter((row) => row["key"] !== null)
      let expected = Math.max(next, Number(page[0]?.["ended_from"] ?? 0))
      let before: Row | undefined
      for (const row of rows) {
        const n = keyOf(row) - from
        // an unreadable row may have the wrong length, so the number after it is not checked
        if (n !== expected && isReadable(before)) return yield* missing(id, expected)
        expected = n + Number(row["inputs"]) + Number(row["has_receipt"])
        before = row
      }
      const last = rows[rows.length - 1]
      if (rows.length === pageRows && last !== undefined) {
        return [Chunk.unsafeFromArray(rows), Option.some({ after: keyOf(last), next: expected })] as const
      }
      if (expected !== Number(page[0]?.["bound"] ?? 0) && isReadable(before)) return yield* missing(id, expected)
      return [Chunk.unsafeFromArray(rows), Option.none<{ after: number; next: number }>()] as const
    }))

const isReadable = (row: Row | undefined): boolean => row === undefined || Either.isRight(Rows.endedOf(row))

const missing = (id: RuntimeId, n: number) =>
  new StoreCorrupt({ table: "ended", key: id, detail: `number ${n} is missing` })
