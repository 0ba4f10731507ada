/**
 * The rows of one runtime in memory, and how a commit changes them. `RuntimeStoreMemory` calls it. Invariant: the rules
 * and the order of changes are the same as in the SQLite store.
 *
 * @since 0.1.0
 */
import type { StoredReceipt } from "../../../services/RuntimeStore.js"
import type { CompletionOutcome } from "../../../src/domain/Completion.js"
import type { InputId } from "../../../src/domain/Ids.js"
import type { InputRecord, TerminalInput } from "../../../src/domain/InputRecord.js"
import type { InputPut, RuntimeCommit, RuntimeImage } from "../../../src/domain/RuntimeCommit.js"
import { type CommitView, newKeyOf, type RuntimeHead, type Verdict } from "../../../src/kernel/validateCommit.js"
import type { Ended, Tables } from "../../MemoryTables.js"

/** The view that a commit is validated against. @since 0.1.0 @category constructors */
export const viewOf = (tables: Tables): CommitView => ({
  head: tables.head,
  isOpen: (id) => tables.open?.has(id) ?? false,
  isTerminal: (id) => tables.ended?.has(id) ?? false,
  keyOwner: (key) => tables.keys?.get(key),
  receipt: (runId, sequence) => tables.receipts?.get(`${runId} ${sequence}`)?.receipt
})

/** The image that an opening is planned from. @since 0.1.0 @category constructors */
export const imageOf = (tables: Tables): RuntimeImage => ({
  runtimeId: tables.head.runtimeId,
  exists: tables.head.incarnation > 0,
  incarnation: tables.head.incarnation + 1,
  revision: tables.head.revision,
  lifecycle: tables.head.lifecycle,
  inputs: openInputs(tables),
  nextAdmissionSeq: tables.head.nextAdmissionSeq,
  head: tables.head.body,
  epoch: tables.head.epoch,
  operations: [...tables.operations?.values() ?? []],
  feed: tables.feed ?? [],
  slices: Array.from(tables.slices ?? [], ([name, value]) => ({ name, value })),
  corrupt: []
})

/** The open inputs in the order of admission. @since 0.1.0 @category accessors */
export const openInputs = (tables: Tables): Array<InputRecord> =>
  [...tables.open?.values() ?? []].sort((a, b) => a.admissionSeq - b.admissionSeq)

/** The outcome of a terminal input: its own, or that of its receipt. @since 0.1.0 @category accessors */
export const outcomeOf = (tables: Tables, row: TerminalInput): CompletionOutcome | undefined =>
  row.outcome ?? tables.receipts?.get(`${row.lastRunId ?? ""} ${row.lastSequence ?? 0}`)?.outcome

/** Applies a validated commit. @since 0.1.0 @category writing */
export const apply = (tables: Tables, commit: RuntimeCommit, verdict: Extract<Verdict, { _tag: "Apply" }>): void => {
  const before = tables.head
  for (const { inputId, key } of commit.clearKeys) {
    if (tables.keys?.get(key) === inputId) tables.keys.delete(key)
  }
  if (verdict.writesReceipt && commit.receipt !== undefined) addReceipt(tables, commit.receipt, commit.at)
  let ordinal = before.terminals
  for (const put of commit.inputs) ordinal = applyPut(tables, put, ordinal)
  applyBody(tables, commit)
  applyOperations(tables, commit, before, verdict.head)
  for (const slice of commit.slices) (tables.slices ??= new Map()).set(slice.name, slice.value)
  tables.head = verdict.head
  if (commit.retainTerminal !== undefined) trim(tables, commit.retainTerminal)
}

// --- internal ---

const addReceipt = (tables: Tables, stored: NonNullable<RuntimeCommit["receipt"]>, committedAt: number): void => {
  const name = `${stored.receipt.runId} ${stored.receipt.sequence}`
  ;(tables.receipts ??= new Map()).set(name, { ...stored, committedAt })
}

/** Applies one change of an input. Returns the ordinal of the next terminal row. */
const applyPut = (tables: Tables, put: InputPut, ordinal: number): number => {
  const key = newKeyOf(put)
  switch (put._tag) {
    case "Insert":
      ;(tables.open ??= new Map()).set(put.record.inputId, put.record)
      if (key !== undefined) (tables.keys ??= new Map()).set(key, put.record.inputId)
      return ordinal
    case "Update": {
      const stored = tables.open?.get(put.facts.inputId)
      if (stored !== undefined) tables.open?.set(put.facts.inputId, { ...put.facts, input: stored.input })
      return ordinal
    }
    case "Terminal":
    case "InsertTerminal":
      tables.open?.delete(put.row.inputId)
      ;(tables.ended ??= new Map()).set(put.row.inputId, { row: put.row, ordinal })
      if (key !== undefined) (tables.keys ??= new Map()).set(key, put.row.inputId)
      return ordinal + 1
  }
}

const applyBody = (tables: Tables, { session }: RuntimeCommit): void => {
  if (session === undefined) return
  switch (session._tag) {
    case "Append":
      tables.messages ??= []
      for (const message of session.messages) tables.messages.push(message)
      return
    case "Replace":
      tables.messages = [...session.messages]
      tables.opaque = undefined
      return
    case "Opaque":
      tables.messages = []
      tables.opaque = session.bytes
  }
}

const applyOperations = (tables: Tables, commit: RuntimeCommit, before: RuntimeHead, after: RuntimeHead): void => {
  for (const record of commit.operations) (tables.operations ??= new Map()).set(record.spec.id, record)
  for (const id of commit.dropOperations) tables.operations?.delete(id)
  if (commit.epoch === undefined && commit.feed.length === 0) return
  const kept = before.epoch?.epochId === after.epoch?.epochId ? tables.feed ?? [] : []
  const dropped = after.epoch?.droppedThrough ?? 0
  tables.feed = [...kept, ...commit.feed].filter((entry) => entry.seq > dropped)
}

/** The most rows that one commit trims. */
const trimmedPerCommit = 16

const trim = (tables: Tables, retain: number): void => {
  const ended = tables.ended ?? new Map<InputId, Ended>()
  for (let i = 0; i < trimmedPerCommit && ended.size > retain; i++) {
    for (const [id, { row }] of ended) {
      ended.delete(id)
      const key = row.idempotencyKey
      if (key !== undefined && tables.keys?.get(key) === id) tables.keys.delete(key)
      break
    }
  }
  const receipts = tables.receipts ?? new Map<string, StoredReceipt>()
  for (const [name, { receipt }] of receipts) {
    if (receipts.size <= 2 * retain) return
    // a receipt may belong to a run of ephemeral inputs, without a stored terminal input
    if (!receipt.contributingInputIds.some((id) => ended.has(id))) receipts.delete(name)
  }
}
