/**
 * Encodes a commit as rows and counts the bytes that it adds. The store encodes before a commit is queued, so that the
 * transaction only writes.
 *
 * @since 0.1.0
 */
import { Buffer } from "node:buffer"
import type { InputId } from "../../../src/domain/Ids.js"
import type { InputFacts, InputRecord, TerminalInput } from "../../../src/domain/InputRecord.js"
import type { Message } from "../../../src/domain/Message.js"
import type { RuntimeCommit } from "../../../src/domain/RuntimeCommit.js"
import { inputIdOf, newKeyOf } from "../../../src/kernel/validateCommit.js"
import type { Prepared } from "../storeMember.js"
import { sha256, sumOf } from "./digest.js"
import type { Shapes } from "./shapes.js"

/** A document and the digest of its bytes. @since 0.1.0 @category models */
export interface Doc {
  readonly doc: string
  readonly digest: Uint8Array
}

/** The ends of one commit, a receipt and inputs, as one row of `ended`. @since 0.1.0 @category models */
export interface EndedRow extends Doc {
  readonly receipt: { readonly runId: string; readonly sequence: number } | undefined
  readonly inputs: ReadonlyArray<{ readonly id: InputId; readonly wasOpen: boolean }>
}

/** An open input: its admission sequence and its id. @since 0.1.0 @category models */
export interface Named {
  readonly seq: number
  readonly id: InputId
}

/**
 * The facts of an input; the facts that many inputs share are in the row of their shape.
 *
 * @since 0.1.0
 * @category models
 */
export interface Facts {
  readonly facts: string
  readonly shape: number
  /** the sum of both documents and the input's id */
  readonly sum: number
}

/** The rows of one commit, without the runtime's key. @since 0.1.0 @category models */
export interface Encoded {
  readonly opened: ReadonlyArray<Named & Facts & Doc>
  readonly changed: ReadonlyArray<Named & Facts>
  readonly closed: ReadonlyArray<Named>
  readonly keys: ReadonlyArray<{ readonly key: string; readonly id: string }>
  readonly ended: ReadonlyArray<EndedRow>
  /** keyed by the position of their first message */
  readonly messages: ReadonlyArray<{ readonly position: number } & Doc>
  readonly operations: ReadonlyArray<{ readonly id: string; readonly completionSeq: number | null } & Doc>
  readonly feed: ReadonlyArray<{ readonly seq: number; readonly operationId: string } & Doc>
  readonly slices: ReadonlyArray<{ readonly name: string } & Doc>
  readonly opaque: { readonly bytes: Uint8Array; readonly digest: Uint8Array } | undefined
}

/** Encodes a commit as rows. @since 0.1.0 @category constructors */
export const encode = (shapes: Shapes) => (commit: RuntimeCommit): Prepared<Encoded> => {
  const prepared: Encoded = {
    ...inputRows(commit, shapes),
    ended: endedRows(commit, true),
    messages: messageRows(commit),
    operations: commit.operations.map((record) => ({
      id: record.spec.id,
      completionSeq: record.completionSeq ?? null,
      ...docOf(record)
    })),
    feed: commit.feed.map((entry) => ({ seq: entry.seq, operationId: entry.operationId, ...docOf(entry) })),
    slices: commit.slices.map((slice) => sliceRow(slice.name, JSON.stringify(slice.value))),
    opaque: commit.session?._tag === "Opaque"
      ? { bytes: commit.session.bytes, digest: sha256(commit.session.bytes) }
      : undefined
  }
  return { prepared, bytes: unitsOf(prepared), added: () => addedBy(prepared) }
}

/**
 * Makes the rows of what a commit ended. `withReceipt` is false if the receipt is stored already.
 *
 * @since 0.1.0
 * @category constructors
 */
export const endedRows = (commit: RuntimeCommit, withReceipt: boolean): ReadonlyArray<EndedRow> => {
  const ended: Array<{ readonly row: TerminalInput; readonly wasOpen: boolean }> = []
  for (const put of commit.inputs) {
    if (put._tag === "Terminal" || put._tag === "InsertTerminal") {
      ended.push({ row: put.row, wasOpen: put._tag === "Terminal" })
    }
  }
  const receipt = withReceipt ? commit.receipt : undefined
  const rows: Array<EndedRow> = []
  for (let i = 0; i < ended.length || (i === 0 && receipt !== undefined); i += endedPerRow) {
    const chunk = ended.slice(i, i + endedPerRow)
    // Trimming deletes rows from the first on. So the receipt is in the last row: inputs look their outcome up in it.
    const isLast = i + endedPerRow >= ended.length
    rows.push({
      receipt: isLast ? receipt?.receipt : undefined,
      inputs: chunk.map(({ row, wasOpen }) => ({ id: row.inputId, wasOpen })),
      ...docOf({
        committedAt: commit.at,
        ...(isLast ? receipt : undefined),
        inputs: chunk.map(({ row }) => row)
      })
    })
  }
  return rows
}

// --- internal ---

/** Terminal inputs per row: it bounds the cost of looking one of them up. */
const endedPerRow = 32

/** Messages per row of the body: it bounds the size of a row, and the cost of reading one position. */
const messagesPerRow = 64

const docOf = (value: unknown): Doc => {
  const doc = JSON.stringify(value)
  return { doc, digest: sha256(doc) }
}

/** The digest covers name and document, because the document does not contain the name. */
const sliceRow = (name: string, doc: string) => ({ name, doc, digest: sha256(`${name}\n${doc}`) })

const inputRows = (commit: RuntimeCommit, shapes: Shapes): Pick<Encoded, "opened" | "changed" | "closed" | "keys"> => {
  const opened: Array<Encoded["opened"][number]> = []
  const changed = new Map<InputId, Encoded["changed"][number]>()
  const closed: Array<Named> = []
  const keys: Array<Encoded["keys"][number]> = []
  for (const put of commit.inputs) {
    if (put._tag === "Insert") opened.push(openRow(put.record, shapes))
    else if (put._tag === "Update") {
      changed.set(put.facts.inputId, { ...nameOf(put.facts), ...factsOf(put.facts, shapes) })
    } else if (put._tag === "Terminal") closed.push(nameOf(put.row))
    const key = newKeyOf(put)
    if (key !== undefined) keys.push({ key, id: inputIdOf(put) })
  }
  return { opened, changed: [...changed.values()], closed, keys }
}

const nameOf = (of: { readonly admissionSeq: number; readonly inputId: InputId }): Named => ({
  seq: of.admissionSeq,
  id: of.inputId
})

const openRow = (record: InputRecord, shapes: Shapes): Encoded["opened"][number] => {
  const { input, ...facts } = record
  return { ...nameOf(record), ...factsOf(facts, shapes), ...docOf(input) }
}

/** Splits facts: what hardly varies goes into the shape; the id has its own column. */
const factsOf = (facts: InputFacts, shapes: Shapes): Facts => {
  const {
    admissionSeq,
    createdAt,
    idempotencyKey,
    inputId,
    lastRunId,
    notBefore,
    status,
    trace,
    updatedAt,
    ...shared
  } = facts
  const own = { admissionSeq, status, createdAt, updatedAt, idempotencyKey, lastRunId, notBefore, trace }
  const [text, shape] = [JSON.stringify(own), JSON.stringify(shared)]
  return { facts: text, shape: shapes.idOf(shape), sum: sumOf(`${inputId}\n${shape}\n${text}`) }
}

const messageRows = (commit: RuntimeCommit): Encoded["messages"] => {
  const part = commit.session
  if (part === undefined || part._tag === "Opaque") return []
  const first = part._tag === "Append" ? part.base.messageCount : 0
  const rows: Array<Encoded["messages"][number]> = []
  for (let i = 0; i < part.messages.length; i += messagesPerRow) {
    const chunk: ReadonlyArray<Message> = part.messages.slice(i, i + messagesPerRow)
    rows.push({ position: first + i, ...docOf(chunk) })
  }
  return rows
}

type Documents = ReadonlyArray<{ readonly doc?: string; readonly facts?: string }>

const sum = (rows: Documents, of: (text: string) => number): number => {
  let total = 0
  for (const { doc, facts } of rows) total += (doc === undefined ? 0 : of(doc)) + (facts === undefined ? 0 : of(facts))
  return total
}

const unitsOf = (rows: Encoded): number =>
  added(rows, ({ length }) => length) + sum(rows.changed, ({ length }) => length) +
  sum(rows.ended, ({ length }) => length)

/** Counts the bytes that a commit adds. Rows of ended inputs count only if they hold the result of a run. */
const addedBy = (rows: Encoded): number =>
  added(rows, (text) => Buffer.byteLength(text)) +
  sum(rows.ended.filter(({ receipt }) => receipt !== undefined), (text) => Buffer.byteLength(text))

const added = (rows: Encoded, of: (text: string) => number): number =>
  sum(rows.opened, of) + sum(rows.messages, of) + sum(rows.operations, of) + sum(rows.feed, of) + sum(rows.slices, of) +
  (rows.opaque?.bytes.length ?? 0)
