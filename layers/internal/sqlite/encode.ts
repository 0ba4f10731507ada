/**
 * A commit as rows. Made before the commit is queued, so that the transaction only writes.
 *
 * @since 0.1.0
 */
import type { InputId } from "../../../src/domain/Ids.js"
import type { InputFacts, InputRecord, TerminalInput } from "../../../src/domain/InputRecord.js"
import type { Message } from "../../../src/domain/Message.js"
import type { RuntimeCommit } from "../../../src/domain/RuntimeCommit.js"
import { inputIdOf, newKeyOf } from "../../../src/kernel/validateCommit.js"
import { sha256 } from "./digest.js"

/** A document and the digest of its bytes. @since 0.1.0 @category models */
export interface Doc {
  readonly doc: string
  readonly digest: Uint8Array
}

/** A receipt or a terminal input: a row of `ended` and its entry in `known`. @since 0.1.0 @category models */
export interface EndedRow extends Doc {
  readonly kind: "input" | "receipt"
  readonly id: string
  /** of a receipt; -1 for an input */
  readonly sequence: number
  /** its id is known already: it was open */
  readonly wasOpen: boolean
  readonly at: number
}

/** An open input by its place and its name. @since 0.1.0 @category models */
export interface Named {
  readonly seq: number
  readonly id: InputId
}

/** Rows of one commit, without the runtime's key. @since 0.1.0 @category models */
export interface Encoded {
  readonly opened: ReadonlyArray<Named & { readonly facts: string } & Doc>
  readonly changed: ReadonlyArray<Named & { readonly facts: string }>
  readonly closed: ReadonlyArray<Named>
  readonly keys: ReadonlyArray<{ readonly key: string; readonly id: string }>
  readonly receipt: EndedRow | undefined
  readonly terminals: ReadonlyArray<EndedRow>
  /** by the position of their first message */
  readonly messages: ReadonlyArray<{ readonly position: number } & Doc>
  readonly operations: ReadonlyArray<{ readonly id: string; readonly completionSeq: number | null } & Doc>
  readonly feed: ReadonlyArray<{ readonly seq: number; readonly operationId: string } & Doc>
  readonly slices: ReadonlyArray<{ readonly name: string } & Doc>
  readonly opaque: { readonly bytes: Uint8Array; readonly digest: Uint8Array } | undefined
}

/** @since 0.1.0 @category constructors */
export const encode = (commit: RuntimeCommit): { readonly prepared: Encoded; readonly bytes: number } => {
  const prepared: Encoded = {
    ...inputRows(commit),
    receipt: receiptRow(commit),
    messages: messageRows(commit),
    operations: commit.operations.map((record) => ({
      id: record.spec.id,
      completionSeq: record.completionSeq ?? null,
      ...docOf(record)
    })),
    feed: commit.feed.map((entry) => ({ seq: entry.seq, operationId: entry.operationId, ...docOf(entry) })),
    slices: commit.slices.map((slice) => ({ name: slice.name, ...docOf(slice.value) })),
    opaque: commit.session?._tag === "Opaque"
      ? { bytes: commit.session.bytes, digest: sha256(commit.session.bytes) }
      : undefined
  }
  return { prepared, bytes: bytesOf(prepared) }
}

// --- internal ---

/** Messages per row of the body: bounds the row, and what reading one position costs. */
const messagesPerRow = 64

const docOf = (value: unknown): Doc => {
  const doc = JSON.stringify(value)
  return { doc, digest: sha256(doc) }
}

const inputRows = (commit: RuntimeCommit): Pick<Encoded, "opened" | "changed" | "closed" | "keys" | "terminals"> => {
  const opened: Array<Encoded["opened"][number]> = []
  const changed = new Map<InputId, Encoded["changed"][number]>()
  const closed: Array<Named> = []
  const keys: Array<Encoded["keys"][number]> = []
  const terminals: Array<EndedRow> = []
  for (const put of commit.inputs) {
    switch (put._tag) {
      case "Insert":
        opened.push(openRow(put.record))
        break
      case "Update":
        changed.set(put.facts.inputId, { ...nameOf(put.facts), facts: JSON.stringify(put.facts) })
        break
      case "Terminal":
        closed.push(nameOf(put.row))
        terminals.push(terminalRow(put.row, true))
        break
      case "InsertTerminal":
        terminals.push(terminalRow(put.row, false))
        break
    }
    const key = newKeyOf(put)
    if (key !== undefined) keys.push({ key, id: inputIdOf(put) })
  }
  return { opened, changed: [...changed.values()], closed, keys, terminals }
}

const nameOf = (of: { readonly admissionSeq: number; readonly inputId: InputId }): Named => ({
  seq: of.admissionSeq,
  id: of.inputId
})

const openRow = (record: InputRecord): Encoded["opened"][number] => {
  const { input, ...facts } = record
  return { ...nameOf(record), facts: factsText(facts), ...docOf(input) }
}

const factsText = (facts: InputFacts): string => JSON.stringify(facts)

const terminalRow = (row: TerminalInput, wasOpen: boolean): EndedRow => ({
  wasOpen,
  kind: "input",
  id: row.inputId,
  sequence: -1,
  at: row.completedAt,
  ...docOf(row)
})

const receiptRow = (commit: RuntimeCommit): EndedRow | undefined =>
  commit.receipt === undefined ? undefined : {
    kind: "receipt",
    wasOpen: false,
    id: commit.receipt.receipt.runId,
    sequence: commit.receipt.receipt.sequence,
    at: commit.at,
    ...docOf({ ...commit.receipt, committedAt: commit.at })
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

const sum = (rows: ReadonlyArray<{ readonly doc?: string; readonly facts?: string }>): number => {
  let total = 0
  for (const row of rows) total += (row.doc?.length ?? 0) + (row.facts?.length ?? 0)
  return total
}

const bytesOf = (rows: Encoded): number =>
  sum(rows.opened) + sum(rows.changed) + sum(rows.terminals) + sum(rows.messages) + sum(rows.operations) +
  sum(rows.feed) + sum(rows.slices) + (rows.receipt?.doc.length ?? 0) + (rows.opaque?.bytes.length ?? 0)
