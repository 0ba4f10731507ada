/** A store as a value. The exploration checks its commits against it and writes them to it. */
import * as Either from "effect/Either"
import type { InputId, OperationId } from "../../../src/domain/Ids.js"
import { runtimeIdOf } from "../../../src/domain/Ids.js"
import type { InputRecord, SliceDocument } from "../../../src/domain/InputRecord.js"
import type { CompletionEntry, OperationRecord } from "../../../src/domain/Operation.js"
import type { RunBoundaryReceipt } from "../../../src/domain/Receipt.js"
import type { RuntimeCommit, RuntimeImage } from "../../../src/domain/RuntimeCommit.js"
import type { CommitView, RuntimeHead } from "../../../src/kernel/validateCommit.js"
import { unseen, validateCommit } from "../../../src/kernel/validateCommit.js"
import { sessionId } from "../kernel.js"

export interface Stored {
  readonly head: RuntimeHead
  readonly inputs: ReadonlyMap<InputId, InputRecord>
  readonly ended: ReadonlySet<InputId>
  readonly operations: ReadonlyMap<OperationId, OperationRecord>
  readonly feed: ReadonlyArray<CompletionEntry>
  readonly slices: ReadonlyMap<string, SliceDocument>
  /** of the newest run only, since run ids are never reused */
  readonly receipts: ReadonlyArray<RunBoundaryReceipt>
}

export const nothingStored: Stored = {
  head: unseen(runtimeIdOf(sessionId), sessionId),
  inputs: new Map(),
  ended: new Set(),
  operations: new Map(),
  feed: [],
  slices: new Map(),
  receipts: []
}

/** The image that an opening receives. */
export const imageOf = ({ feed, head, inputs, operations, slices }: Stored): RuntimeImage => ({
  runtimeId: head.runtimeId,
  exists: head.revision > 0,
  incarnation: head.incarnation + 1,
  revision: head.revision,
  lifecycle: head.lifecycle,
  inputs: inputsOf(inputs),
  nextAdmissionSeq: head.nextAdmissionSeq,
  head: head.body,
  epoch: head.epoch,
  operations: Array.from(operations.values()),
  feed,
  slices: Array.from(slices.values()),
  corrupt: []
})

/** The store after a commit, or its objection. */
export const write = (
  stored: Stored,
  commit: RuntimeCommit,
  mode: "open" | "commit"
): Either.Either<Stored, string> =>
  Either.mapBoth(validateCommit(commit, viewOf(stored), mode), {
    onLeft: (error) => `${error._tag}: ${error.message}`,
    onRight: (verdict) => verdict._tag === "Replayed" ? stored : applied(stored, commit, verdict.head)
  })

// --- internal ---

const inputsOf = (inputs: Stored["inputs"]): ReadonlyArray<InputRecord> =>
  Array.from(inputs.values()).sort((a, b) => a.admissionSeq - b.admissionSeq)

const viewOf = ({ ended, head, inputs, receipts }: Stored): CommitView => ({
  head,
  isOpen: (id) => inputs.has(id),
  isTerminal: (id) => ended.has(id),
  keyOwner: (key) => inputsOf(inputs).find(({ idempotencyKey }) => idempotencyKey === key)?.inputId,
  receipt: (runId, sequence) => receipts.find((known) => known.runId === runId && known.sequence === sequence)
})

const applied = (stored: Stored, commit: RuntimeCommit, head: RuntimeHead): Stored => {
  const operations = new Map(stored.operations)
  for (const record of commit.operations) operations.set(record.spec.id, record)
  for (const id of commit.dropOperations) operations.delete(id)
  const slices = new Map(stored.slices)
  for (const document of commit.slices) slices.set(document.name, document)
  const dropped = head.epoch?.droppedThrough ?? 0
  return {
    head,
    ...withInputs(stored, commit),
    operations,
    slices,
    feed: [...stored.feed, ...commit.feed].filter(({ seq }) => seq > dropped),
    receipts: commit.receipt === undefined ? stored.receipts : [commit.receipt.receipt]
  }
}

const withInputs = (
  { ended: known, inputs: open }: Stored,
  commit: RuntimeCommit
): Pick<Stored, "inputs" | "ended"> => {
  if (commit.inputs.length === 0) return { inputs: open, ended: known }
  const inputs = new Map(open)
  const ended = new Set(known)
  for (const put of commit.inputs) {
    switch (put._tag) {
      case "Insert":
        inputs.set(put.record.inputId, put.record)
        break
      case "Update": {
        const old = inputs.get(put.facts.inputId)
        if (old !== undefined) inputs.set(old.inputId, { input: old.input, ...put.facts })
        break
      }
      case "Terminal":
      case "InsertTerminal":
        inputs.delete(put.row.inputId)
        ended.add(put.row.inputId)
    }
  }
  return { inputs, ended }
}
