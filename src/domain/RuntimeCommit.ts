/**
 * The values that pass between the machine and a store: commits, images, openings and witnesses. A commit is the only
 * way to write; every store implements the rules stated here.
 *
 * @since 0.1.0
 */
import type { CompletionOutcome } from "./Completion.js"
import type { EpochId, InputId, OperationId, RequestId, RuntimeId, SessionId, Sha256 } from "./Ids.js"
import type { InputFacts, InputRecord, SliceDocument, TerminalInput } from "./InputRecord.js"
import type { Message } from "./Message.js"
import type { CompletionEntry, FeedCursors, OperationRecord } from "./Operation.js"
import type { RunBoundaryReceipt } from "./Receipt.js"
import type { PersistedRuntimeState } from "./RuntimeState.js"

/** How a commit changes the row of an input. @since 0.1.0 @category models */
export type InputPut =
  /** a new row; the store refuses an id that is known, open or terminal */
  | { readonly _tag: "Insert"; readonly record: InputRecord }
  /** changed facts of an open row; the stored content stays */
  | { readonly _tag: "Update"; readonly facts: InputFacts }
  /** the row leaves the open inputs; its content is dropped (D32) */
  | { readonly _tag: "Terminal"; readonly row: TerminalInput }
  /** a new input that is terminal at once (consumed on accept) */
  | { readonly _tag: "InsertTerminal"; readonly row: TerminalInput }

/** An idempotency key and the input that owns it. @since 0.1.0 @category models */
export interface KeyOwner {
  readonly key: string
  readonly inputId: InputId
}

/**
 * The head of a session's body. Each Replace begins a `generation`; `digest` rolls over the messages.
 *
 * @since 0.1.0
 * @category models
 */
export interface SessionHead {
  readonly generation: number
  readonly messageCount: number
  readonly digest: Sha256 | null
}

/** How a commit changes the session's body (D31). @since 0.1.0 @category models */
export type SessionPart =
  | {
    readonly _tag: "Append"
    readonly base: SessionHead
    readonly messages: ReadonlyArray<Message>
    readonly head: SessionHead
  }
  | {
    readonly _tag: "Replace"
    readonly base: SessionHead
    readonly messages: ReadonlyArray<Message>
    readonly head: SessionHead
  }
  | { readonly _tag: "Opaque"; readonly base: SessionHead; readonly bytes: Uint8Array; readonly head: SessionHead }

/**
 * The epoch of a runtime. `lastSeq` is the last assigned feed sequence; 0 before the first.
 *
 * @since 0.1.0
 * @category models
 */
export interface EpochFacts {
  readonly epochId: EpochId
  readonly retired: boolean
  readonly lastSeq: number
  readonly droppedThrough: number
  readonly cursors: FeedCursors
}

/**
 * One atomic write of one session: everything that a round of commands changes, and the revision it was computed from.
 * The store has no other write operation.
 *
 * @since 0.1.0
 * @category models
 */
export interface RuntimeCommit {
  readonly requestId: RequestId
  readonly runtimeId: RuntimeId
  readonly sessionId: SessionId
  /** fence: the incarnation that the opening assigned */
  readonly incarnation: number
  /** the revision this commit was computed from; the commit raises the store's revision by one */
  readonly basis: number
  /** epoch milliseconds, for `updatedAt` columns */
  readonly at: number
  readonly lifecycle?: PersistedRuntimeState
  readonly inputs: ReadonlyArray<InputPut>
  /** expired keys (D18), freed before `inputs` are applied; a key that has another owner by then keeps that owner */
  readonly clearKeys: ReadonlyArray<KeyOwner>
  readonly session?: SessionPart
  /** the receipt, and the outcome that its contributing inputs share (D19) */
  readonly receipt?: { readonly receipt: RunBoundaryReceipt; readonly outcome: CompletionOutcome }
  readonly operations: ReadonlyArray<OperationRecord>
  readonly dropOperations: ReadonlyArray<OperationId>
  /** ascending and contiguous; the first follows the stored `lastSeq` */
  readonly feed: ReadonlyArray<CompletionEntry>
  /** new epoch facts; `lastSeq` covers `feed`; cursors are max-merged */
  readonly epoch?: EpochFacts
  readonly slices: ReadonlyArray<SliceDocument>
  /** how many terminal inputs are kept; a commit trims at most 16 older rows (D32). Unlimited if absent */
  readonly retainTerminal?: number
  /** ends this incarnation: the store refuses its later commits */
  readonly close: boolean
}

/** The store's answer to a commit. @since 0.1.0 @category models */
export interface CommitAck {
  readonly requestId: RequestId
  readonly revision: number
  readonly batchSize: number
  /** the store had applied this request before and did not apply it again */
  readonly replayed: boolean
}

/** A stored row that could not be read. @since 0.1.0 @category models */
export interface CorruptRow {
  readonly table: string
  readonly key: string
  readonly detail: string
}

/** One consistent view of a runtime at its opening. It never contains the body. @since 0.1.0 @category models */
export interface RuntimeImage {
  readonly runtimeId: RuntimeId
  /** false if the store does not know this runtime */
  readonly exists: boolean
  /** the incarnation that this opening assigns (stored + 1) */
  readonly incarnation: number
  readonly revision: number
  readonly lifecycle: PersistedRuntimeState
  /** open inputs, ordered by admission sequence */
  readonly inputs: ReadonlyArray<InputRecord>
  readonly nextAdmissionSeq: number
  readonly head: SessionHead
  readonly epoch: EpochFacts | null
  readonly operations: ReadonlyArray<OperationRecord>
  readonly feed: ReadonlyArray<CompletionEntry>
  readonly slices: ReadonlyArray<SliceDocument>
  /** live rows that could not be read; any of them fails the opening of this session, and no other */
  readonly corrupt: ReadonlyArray<CorruptRow>
}

/** What a plan computes from an image: the opening commit and the opened value. @since 0.1.0 @category models */
export interface Opening<A> {
  readonly commit: RuntimeCommit
  readonly value: A
}

/** The owner of an idempotency key. @since 0.1.0 @category models */
export interface KeyFact {
  readonly key: string
  readonly inputId: InputId
  /** when its input ended; null while it is open */
  readonly completedAt: number | null
  /** how many terminal inputs of the session ended after this one */
  readonly newerTerminals: number
}

/**
 * The last write of a runtime, as the store knows it; it resolves unknown outcomes (D21).
 *
 * @since 0.1.0
 * @category models
 */
export interface CommitWitness {
  readonly incarnation: number
  readonly revision: number
  readonly lastRequestId: RequestId | null
}
