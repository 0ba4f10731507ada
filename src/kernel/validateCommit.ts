/**
 * The rules by which a store accepts commits, as one pure function. The memory store calls it with maps, the SQLite
 * store with rows that it read in the transaction.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import type { InputId, RequestId, RunId, RuntimeId, SessionId } from "../domain/Ids.js"
import { sessionIdOf } from "../domain/Ids.js"
import type { TerminalInput } from "../domain/InputRecord.js"
import type { FeedCursors } from "../domain/Operation.js"
import type { RunBoundaryReceipt } from "../domain/Receipt.js"
import type { EpochFacts, InputPut, RuntimeCommit, SessionHead } from "../domain/RuntimeCommit.js"
import type { PersistedRuntimeState } from "../domain/RuntimeState.js"
import type { CommitError } from "../domain/StoreErrors.js"
import {
  CommitRefused,
  IdempotencyConflict,
  InputConflict,
  ReceiptConflict,
  RevisionConflict,
  RuntimeFenced
} from "../domain/StoreErrors.js"

/** What the store keeps of a runtime beside its rows. @since 0.1.0 @category models */
export interface RuntimeHead {
  readonly runtimeId: RuntimeId
  readonly sessionId: SessionId
  readonly incarnation: number
  /** false after a closing commit: only an opening is accepted */
  readonly open: boolean
  readonly revision: number
  readonly lifecycle: PersistedRuntimeState
  readonly lastRequestId: RequestId | null
  readonly nextAdmissionSeq: number
  /** the number of open inputs; it reveals missing rows, which would look like ended inputs */
  readonly openInputs: number
  /** how many terminal inputs and receipts were ever written; gives their order */
  readonly ended: number
  /** how many terminal inputs were ever written */
  readonly terminals: number
  readonly body: SessionHead
  /** the messages of earlier generations; it numbers messages without a gap over all generations */
  readonly bodyStart: number
  readonly epoch: EpochFacts | null
  readonly updatedAt: number
}

/** What a commit is checked against. Lookups need to cover only what the commit names. @since 0.1.0 @category models */
export interface CommitView {
  readonly head: RuntimeHead
  readonly isOpen: (id: InputId) => boolean
  readonly isTerminal: (id: InputId) => boolean
  readonly keyOwner: (key: string) => InputId | undefined
  readonly receipt: (runId: RunId, sequence: number) => RunBoundaryReceipt | undefined
}

/** The result of the check: the head after the commit, or that it was applied before. @since 0.1.0 @category models */
export type Verdict =
  | { readonly _tag: "Replayed"; readonly revision: number }
  | { readonly _tag: "Apply"; readonly head: RuntimeHead; readonly writesReceipt: boolean }

/**
 * Makes a view that accepts everything that the store's own constraints check.
 *
 * @since 0.1.0
 * @category constructors
 */
export const trusting = (head: RuntimeHead, commit: RuntimeCommit): CommitView => {
  const fresh = new Set<InputId>()
  const open = new Set<InputId>()
  for (const put of commit.inputs) {
    const id = inputIdOf(put)
    if (put._tag === "Insert" || put._tag === "InsertTerminal") fresh.add(id)
    else if (!fresh.has(id)) open.add(id)
  }
  return {
    head,
    isOpen: (id) => open.has(id),
    isTerminal: () => false,
    keyOwner: () => undefined,
    receipt: () => undefined
  }
}

const noBody: SessionHead = { generation: 0, messageCount: 0, digest: null }

/** Makes the head of a runtime that was never opened. @since 0.1.0 @category constructors */
export const unseen = (runtimeId: RuntimeId, sessionId: SessionId): RuntimeHead => ({
  runtimeId,
  sessionId,
  incarnation: 0,
  open: false,
  revision: 0,
  lifecycle: "idle",
  lastRequestId: null,
  nextAdmissionSeq: 0,
  openInputs: 0,
  ended: 0,
  terminals: 0,
  body: noBody,
  bodyStart: 0,
  epoch: null,
  updatedAt: 0
})

/**
 * Checks a commit against the stored state. An opening commit carries the incarnation of its image; any other commit
 * carries the incarnation of the live opening. Fails with the first objection.
 *
 * @since 0.1.0
 * @category validation
 */
export const validateCommit = (
  commit: RuntimeCommit,
  view: CommitView,
  mode: "open" | "commit"
): Either.Either<Verdict, CommitError> => {
  if (view.head.lastRequestId === commit.requestId) {
    return Either.right({ _tag: "Replayed", revision: view.head.revision })
  }
  const objection = checkFence(commit, view.head, mode) ??
    checkInputs(commit, view) ??
    checkBody(commit, view.head) ??
    checkOperations(commit) ??
    checkFeed(commit, view.head)
  if (objection !== undefined) return Either.left(objection)
  const receipt = checkReceipt(commit, view)
  if (Either.isLeft(receipt)) return Either.left(receipt.left)
  return Either.right({ _tag: "Apply", head: nextHead(commit, view.head, receipt.right), writesReceipt: receipt.right })
}

// --- internal ---

const refused = (commit: RuntimeCommit, detail: string): CommitRefused =>
  new CommitRefused({ runtimeId: commit.runtimeId, detail })

const checkFence = (commit: RuntimeCommit, head: RuntimeHead, mode: "open" | "commit"): CommitError | undefined => {
  if (sessionIdOfRuntime(commit) !== commit.sessionId) {
    return refused(commit, `runtime ${commit.runtimeId} is not that of session "${commit.sessionId}"`)
  }
  const expected = mode === "open" ? head.incarnation + 1 : head.incarnation
  if (commit.incarnation !== expected || (mode === "commit" && !head.open)) {
    return new RuntimeFenced({ runtimeId: commit.runtimeId, held: commit.incarnation, current: head.incarnation })
  }
  if (commit.basis !== head.revision) {
    return new RevisionConflict({ runtimeId: commit.runtimeId, expected: commit.basis, actual: head.revision })
  }
  return undefined
}

const sessionIdOfRuntime = (commit: RuntimeCommit): SessionId | undefined => {
  const found = sessionIdOf(commit.runtimeId)
  return found._tag === "Some" ? found.value : undefined
}

/** Returns the id of the input that a put changes. @since 0.1.0 @category accessors */
export const inputIdOf = (put: InputPut): InputId => {
  switch (put._tag) {
    case "Insert":
      return put.record.inputId
    case "Update":
      return put.facts.inputId
    case "Terminal":
    case "InsertTerminal":
      return put.row.inputId
  }
}

/** Returns the terminal row that a put writes, if any. @since 0.1.0 @category accessors */
export const terminalOf = (put: InputPut): TerminalInput | undefined =>
  put._tag === "Terminal" || put._tag === "InsertTerminal" ? put.row : undefined

/** Returns the key that a put takes for a new input, if any. @since 0.1.0 @category accessors */
export const newKeyOf = (put: InputPut): string | undefined => {
  if (put._tag === "Insert") return put.record.idempotencyKey
  return put._tag === "InsertTerminal" ? put.row.idempotencyKey : undefined
}

const durabilityOf = (put: InputPut) => {
  switch (put._tag) {
    case "Insert":
      return put.record.durability
    case "Update":
      return put.facts.durability
    case "Terminal":
    case "InsertTerminal":
      return put.row.durability
  }
}

/** Returns the owner of a key once the commit has cleared its expired keys. */
const ownerOf = (key: string, { clearKeys }: RuntimeCommit, view: CommitView): InputId | undefined => {
  const owner = view.keyOwner(key)
  return clearKeys.some((cleared) => cleared.key === key && cleared.inputId === owner) ? undefined : owner
}

/** Applies the puts in order, so that one commit may admit an input and end it. */
const checkInputs = (commit: RuntimeCommit, view: CommitView): CommitError | undefined => {
  const state = new Map<InputId, "open" | "terminal">()
  const taken = new Map<string, InputId>()
  for (const put of commit.inputs) {
    const id = inputIdOf(put)
    if (durabilityOf(put) === "ephemeral") return refused(commit, `ephemeral input ${id} is never stored`)
    const known = state.get(id) ?? (view.isOpen(id) ? "open" : view.isTerminal(id) ? "terminal" : undefined)
    const fresh = put._tag === "Insert" || put._tag === "InsertTerminal"
    if (fresh && known !== undefined) return new InputConflict({ inputId: id, detail: `the id is known: ${known}` })
    if (!fresh && known !== "open") return new InputConflict({ inputId: id, detail: "no such input is open" })
    const key = newKeyOf(put)
    if (key !== undefined) {
      const owner = taken.get(key) ?? ownerOf(key, commit, view)
      if (owner !== undefined) return new IdempotencyConflict({ key, ownerInputId: owner })
      taken.set(key, id)
    }
    state.set(id, terminalOf(put) === undefined ? "open" : "terminal")
  }
  return undefined
}

const sameBody = (a: SessionHead, b: SessionHead): boolean =>
  a.generation === b.generation && a.messageCount === b.messageCount && a.digest === b.digest

const checkBody = (commit: RuntimeCommit, head: RuntimeHead): CommitError | undefined => {
  const part = commit.session
  if (part === undefined) return undefined
  if (!sameBody(part.base, head.body)) {
    return refused(commit, "the body was computed from another head than the stored one")
  }
  switch (part._tag) {
    case "Append":
      return part.head.generation === head.body.generation &&
          part.head.messageCount === head.body.messageCount + part.messages.length
        ? undefined
        : refused(commit, "an append keeps the generation and counts its messages")
    case "Replace":
      return part.head.generation === head.body.generation + 1 && part.head.messageCount === part.messages.length
        ? undefined
        : refused(commit, "a replacement begins the next generation and counts its messages")
    case "Opaque":
      return part.head.generation === head.body.generation + 1
        ? undefined
        : refused(commit, "an opaque body begins the next generation")
  }
}

const liveStatuses: ReadonlySet<string> = new Set(["provisioning", "running", "retiring"])

/** Checks that status, outcome and feed sequence of each operation agree. */
const checkOperations = (commit: RuntimeCommit): CommitError | undefined => {
  for (const { completionSeq, outcome, spec, status } of commit.operations) {
    const terminal = !liveStatuses.has(status)
    if (terminal !== (outcome !== undefined) || terminal !== (completionSeq !== undefined)) {
      return refused(commit, `operation ${spec.id} is ${status} with ${outcome === undefined ? "no" : "an"} outcome`)
    }
  }
  return undefined
}

const checkFeed = (commit: RuntimeCommit, head: RuntimeHead): CommitError | undefined => {
  const stored = head.epoch
  const epoch = commit.epoch
  const sameEpoch = epoch === undefined || (stored !== null && stored.epochId === epoch.epochId)
  const target = epoch ?? stored
  if (stored !== null && stored.retired && sameEpoch && (commit.feed.length > 0 || epoch?.retired === false)) {
    return refused(commit, `epoch ${stored.epochId} is retired`)
  }
  if (stored !== null && !sameEpoch && !stored.retired) {
    return refused(commit, `epoch ${stored.epochId} is still in use`)
  }
  let last = sameEpoch ? stored?.lastSeq ?? 0 : 0
  const named = new Set<string>()
  for (const entry of commit.feed) {
    if (entry.seq !== last + 1) return refused(commit, `feed entry ${entry.seq} does not follow ${last}`)
    if (named.has(entry.operationId)) return refused(commit, `operation ${entry.operationId} is twice in the feed`)
    named.add(entry.operationId)
    last = entry.seq
  }
  if (commit.feed.length > 0 && target === null) return refused(commit, "a feed needs an epoch")
  return epoch === undefined ? undefined : checkEpoch(commit, epoch, last)
}

const checkEpoch = (commit: RuntimeCommit, epoch: EpochFacts, last: number): CommitError | undefined => {
  if (epoch.lastSeq !== last) return refused(commit, `lastSeq ${epoch.lastSeq} is not that of the feed, ${last}`)
  if (epoch.droppedThrough > last) return refused(commit, `droppedThrough ${epoch.droppedThrough} is beyond the feed`)
  return Math.max(epoch.cursors.agentApplied, epoch.cursors.observed, epoch.cursors.injected) > last
    ? refused(commit, "a cursor is beyond the feed")
    : undefined
}

const sameReceipt = (a: RunBoundaryReceipt, b: RunBoundaryReceipt): boolean =>
  a.boundary === b.boundary && a.conversationDigest === b.conversationDigest && a.messageCount === b.messageCount &&
  a.contributingInputIds.length === b.contributingInputIds.length &&
  a.contributingInputIds.every((id, i) => id === b.contributingInputIds[i])

/** Returns whether the receipt must be written. A stored equal receipt is accepted and not written again. */
const checkReceipt = (commit: RuntimeCommit, view: CommitView): Either.Either<boolean, CommitError> => {
  if (commit.receipt === undefined) return Either.right(false)
  const { receipt } = commit.receipt
  const stored = view.receipt(receipt.runId, receipt.sequence)
  if (stored === undefined) return Either.right(true)
  return sameReceipt(stored, receipt)
    ? Either.right(false)
    : Either.left(new ReceiptConflict({ runId: receipt.runId, sequence: receipt.sequence }))
}

const maxCursors = (a: FeedCursors, b: FeedCursors): FeedCursors => ({
  agentApplied: Math.max(a.agentApplied, b.agentApplied),
  observed: Math.max(a.observed, b.observed),
  injected: Math.max(a.injected, b.injected)
})

const nextEpoch = (commit: RuntimeCommit, stored: EpochFacts | null): EpochFacts | null => {
  const feedEnd = commit.feed[commit.feed.length - 1]?.seq
  if (commit.epoch === undefined) {
    return stored === null || feedEnd === undefined ? stored : { ...stored, lastSeq: feedEnd }
  }
  if (stored === null || stored.epochId !== commit.epoch.epochId) return commit.epoch
  return {
    ...commit.epoch,
    droppedThrough: Math.max(stored.droppedThrough, commit.epoch.droppedThrough),
    cursors: maxCursors(stored.cursors, commit.epoch.cursors)
  }
}

/** How a put changes the number of open inputs. */
const opens = { Insert: 1, Update: 0, Terminal: -1, InsertTerminal: 0 } as const

const nextHead = (commit: RuntimeCommit, head: RuntimeHead, writesReceipt: boolean): RuntimeHead => {
  let nextAdmissionSeq = head.nextAdmissionSeq
  let terminals = 0
  let openInputs = head.openInputs
  for (const put of commit.inputs) {
    openInputs += opens[put._tag]
    const row = terminalOf(put)
    if (row !== undefined) terminals++
    const seq = put._tag === "Insert" ? put.record.admissionSeq : row?.admissionSeq ?? -1
    if (seq >= nextAdmissionSeq) nextAdmissionSeq = seq + 1
  }
  return {
    runtimeId: commit.runtimeId,
    sessionId: commit.sessionId,
    incarnation: commit.incarnation,
    open: !commit.close,
    revision: head.revision + 1,
    lifecycle: commit.lifecycle ?? head.lifecycle,
    lastRequestId: commit.requestId,
    nextAdmissionSeq,
    openInputs,
    ended: head.ended + terminals + (writesReceipt ? 1 : 0),
    terminals: head.terminals + terminals,
    body: commit.session?.head ?? head.body,
    bodyStart: commit.session === undefined || commit.session._tag === "Append"
      ? head.bodyStart
      : head.bodyStart + head.body.messageCount,
    epoch: nextEpoch(commit, head.epoch),
    updatedAt: commit.at
  }
}
