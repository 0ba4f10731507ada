/** @since 0.1.0 */
import type { CompletionOutcome } from "./Completion.js"
import type { EpochId, InputId, OperationId, RequestId, RuntimeId, SessionId, Sha256 } from "./Ids.js"
import type { InputFacts, InputRecord, SliceDocument, TerminalInput } from "./InputRecord.js"
import type { Message } from "./Message.js"
import type { CompletionEntry, FeedCursors, OperationRecord } from "./Operation.js"
import type { RunBoundaryReceipt } from "./Receipt.js"
import type { PersistedRuntimeState } from "./RuntimeState.js"

/** What becomes of an input's row. @since 0.1.0 @category models */
export type InputPut =
  /** a new row; refused when the id is known, open or terminal */
  | { readonly _tag: "Insert"; readonly record: InputRecord }
  /** changed facts of an open row; the words stay as stored */
  | { readonly _tag: "Update"; readonly facts: InputFacts }
  /** the row leaves the open inputs; its words are dropped (D32) */
  | { readonly _tag: "Terminal"; readonly row: TerminalInput }
  /** a new input that is terminal at once (consumed on accept) */
  | { readonly _tag: "InsertTerminal"; readonly row: TerminalInput }

/** A key and whose it is. @since 0.1.0 @category models */
export interface KeyOwner {
  readonly key: string
  readonly inputId: InputId
}

/** Head of a session's body. `generation` changes at each Replace; `digest` is the rolling digest of the messages. @since 0.1.0 @category models */
export interface SessionHead {
  readonly generation: number
  readonly messageCount: number
  readonly digest: Sha256 | null
}

/** What happens to the session's body (D31). @since 0.1.0 @category models */
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

/** Epoch facts of a runtime. `nextSeq` is the last assigned sequence of the feed, 0 when none. @since 0.1.0 @category models */
export interface EpochFacts {
  readonly epochId: EpochId
  readonly retired: boolean
  readonly lastSeq: number
  readonly droppedThrough: number
  readonly cursors: FeedCursors
}

/**
 * One atomic unit of one session: everything a round of commands changes, and what it was computed from. The store
 * has no second write verb.
 *
 * @since 0.1.0
 * @category models
 */
export interface RuntimeCommit {
  readonly requestId: RequestId
  readonly runtimeId: RuntimeId
  readonly sessionId: SessionId
  /** fence: the incarnation that the opening gave */
  readonly incarnation: number
  /** revision this commit was computed from; the store's is one higher afterwards */
  readonly basis: number
  /** epoch milliseconds, for `updatedAt` columns */
  readonly at: number
  readonly lifecycle?: PersistedRuntimeState
  readonly inputs: ReadonlyArray<InputPut>
  /** keys freed before `inputs` are applied, because they expired (D18); one that has another owner by now stays its own */
  readonly clearKeys: ReadonlyArray<KeyOwner>
  readonly session?: SessionPart
  /** receipt and the outcome that its contributors share (D19) */
  readonly receipt?: { readonly receipt: RunBoundaryReceipt; readonly outcome: CompletionOutcome }
  readonly operations: ReadonlyArray<OperationRecord>
  readonly dropOperations: ReadonlyArray<OperationId>
  /** ascending and contiguous; the first follows the stored `lastSeq` */
  readonly feed: ReadonlyArray<CompletionEntry>
  /** new epoch facts; `lastSeq` covers `feed`; cursors are max-merged */
  readonly epoch?: EpochFacts
  readonly slices: ReadonlyArray<SliceDocument>
  /** terminal inputs kept at most; older ones are trimmed, at most 16 rows per commit (D32). Absent = unlimited */
  readonly retainTerminal?: number
  /** ends this incarnation: nothing of it is accepted afterwards */
  readonly close: boolean
}

/** @since 0.1.0 @category models */
export interface CommitAck {
  readonly requestId: RequestId
  readonly revision: number
  readonly batchSize: number
  /** the store had this request already: nothing was applied twice */
  readonly replayed: boolean
}

/** A stored row that could not be read. @since 0.1.0 @category models */
export interface CorruptRow {
  readonly table: string
  readonly key: string
  readonly detail: string
}

/** One consistent view of a runtime, as it is opened. It never holds the body. @since 0.1.0 @category models */
export interface RuntimeImage {
  readonly runtimeId: RuntimeId
  /** false for a runtime that the store has never seen */
  readonly exists: boolean
  /** the incarnation this opening is given (stored + 1) */
  readonly incarnation: number
  readonly revision: number
  readonly lifecycle: PersistedRuntimeState
  /** open inputs by admission sequence */
  readonly inputs: ReadonlyArray<InputRecord>
  readonly nextAdmissionSeq: number
  readonly head: SessionHead
  readonly epoch: EpochFacts | null
  readonly operations: ReadonlyArray<OperationRecord>
  readonly feed: ReadonlyArray<CompletionEntry>
  readonly slices: ReadonlyArray<SliceDocument>
  /** live rows that could not be read; any of them fails the opening of this session only */
  readonly corrupt: ReadonlyArray<CorruptRow>
}

/** What a plan makes of an image: the opening commit and the value it stands for. @since 0.1.0 @category models */
export interface Opening<A> {
  readonly commit: RuntimeCommit
  readonly value: A
}

/** Owner of an idempotency key. @since 0.1.0 @category models */
export interface KeyFact {
  readonly key: string
  readonly inputId: InputId
  /** when its input ended; null while it is open */
  readonly completedAt: number | null
  /** terminal inputs of the session that ended after it */
  readonly newerTerminals: number
}

/** What the store knows of the last write of a runtime; answers an unknown outcome (D21). @since 0.1.0 @category models */
export interface CommitWitness {
  readonly incarnation: number
  readonly revision: number
  readonly lastRequestId: RequestId | null
}
