/**
 * The interface of the durable store: openings, commits and reads.
 *
 * `RuntimeStoreSqlite` and `RuntimeStoreMemory` implement it; the session authorities write through it, and the machine
 * reads. Invariants: a commit is atomic; an acknowledged commit is durable; a commit of an older incarnation is refused.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Either from "effect/Either"
import type * as Option from "effect/Option"
import type * as Stream from "effect/Stream"
import type { CompletionOutcome } from "../src/domain/Completion.js"
import type { InputId, OperationId, RunId, RuntimeId, SessionId } from "../src/domain/Ids.js"
import type { InputState, TerminalInput } from "../src/domain/InputRecord.js"
import type { Message } from "../src/domain/Message.js"
import type { CompletionEntry, OperationRecord } from "../src/domain/Operation.js"
import type { RunBoundaryReceipt } from "../src/domain/Receipt.js"
import type {
  CommitAck,
  CommitWitness,
  CorruptRow,
  KeyFact,
  Opening,
  RuntimeCommit,
  RuntimeImage
} from "../src/domain/RuntimeCommit.js"
import type { PersistedRuntimeState } from "../src/domain/RuntimeState.js"
import type { CommitError, ReadError, StoreLost } from "../src/domain/StoreErrors.js"

/** One runtime, as `sessions` lists it. @since 0.1.0 @category models */
export interface StoredSession {
  readonly sessionId: SessionId
  readonly runtimeId: RuntimeId
  readonly lifecycle: PersistedRuntimeState
  readonly pendingInputs: number
  readonly messageCount: number
  readonly updatedAt: number
}

/** Which runtimes to list. @since 0.1.0 @category models */
export interface SessionFilter {
  /** only runtimes with open inputs */
  readonly pendingOnly?: boolean
  /**
   * only runtimes that have work after a registration: open inputs; or, if idle, background operations of a process that
   * has ended, and ends of background operations that no turn has received
   */
  readonly dueOnly?: boolean
  readonly lifecycle?: ReadonlyArray<PersistedRuntimeState>
  /** only session ids that begin with this text */
  readonly prefix?: string
}

/** Which inputs to list. @since 0.1.0 @category models */
export interface InputFilter {
  /** only inputs that have not ended; the store does not read the others */
  readonly openOnly?: boolean
}

/** A stored receipt with the outcome that its contributing inputs share. @since 0.1.0 @category models */
export interface StoredReceipt {
  readonly receipt: RunBoundaryReceipt
  readonly outcome: CompletionOutcome
  readonly committedAt: number
}

/**
 * The durable state of all sessions. A session begins with `openRuntime` and writes with `commit`, in no other way.
 * Every commit ends within the store's `commitDeadline`: acknowledged and durable, or with an error that says that
 * nothing was written, or with `StoreOutcomeUnknown`. Openings join the group-commit batch like commits.
 *
 * @since 0.1.0
 * @category tags
 */
export class RuntimeStore extends Context.Tag("effect-meerkat/services/RuntimeStore")<RuntimeStore, {
  /** a "memory" store loses everything when its layer closes */
  readonly kind: "memory" | "sqlite"
  /**
   * Fails when the store finds that its file was removed, renamed or replaced. The store then acknowledges nothing more,
   * and the machine must give its sessions up. Until then it waits, without a timer; the wait can be interrupted.
   */
  readonly lost: Effect.Effect<never, StoreLost>
  /**
   * Reads one consistent image of a runtime, calls `plan`, and writes the opening commit that it returns. A plan that
   * fails writes nothing.
   */
  readonly openRuntime: <A, E>(
    runtimeId: RuntimeId,
    plan: (image: RuntimeImage) => Either.Either<Opening<A>, E>
  ) => Effect.Effect<{ readonly ack: CommitAck; readonly value: A }, E | CommitError | ReadError>
  /** Writes one commit atomically. Interrupting the caller while the commit is queued writes nothing. */
  readonly commit: (commit: RuntimeCommit) => Effect.Effect<CommitAck, CommitError>
  /**
   * Returns what was written last, to resolve an unknown outcome. It waits until no write is in progress: a commit that
   * missed its deadline during the write cannot be written after this answer.
   */
  readonly witness: (runtimeId: RuntimeId) => Effect.Effect<Option.Option<CommitWitness>, ReadError>
  /** Returns a terminal input with its outcome; the store reads the outcome from the receipt if only the receipt has it. */
  readonly terminalInput: (
    runtimeId: RuntimeId,
    inputId: InputId
  ) => Effect.Effect<Option.Option<TerminalInput & { readonly outcome: CompletionOutcome }>, ReadError>
  /** Returns the input that owns an idempotency key of the runtime. */
  readonly findKey: (runtimeId: RuntimeId, key: string) => Effect.Effect<Option.Option<KeyFact>, ReadError>
  /** Stored inputs, open and terminal, in admission order. */
  readonly inputs: (runtimeId: RuntimeId, filter?: InputFilter) => Stream.Stream<InputState, ReadError>
  readonly receipt: (
    runtimeId: RuntimeId,
    runId: RunId,
    sequence: number
  ) => Effect.Effect<Option.Option<StoredReceipt>, ReadError>
  /** Receipts in commit order. */
  readonly receipts: (runtimeId: RuntimeId) => Stream.Stream<StoredReceipt, ReadError>
  readonly operation: (
    runtimeId: RuntimeId,
    id: OperationId
  ) => Effect.Effect<Option.Option<OperationRecord>, ReadError>
  readonly operations: (runtimeId: RuntimeId) => Stream.Stream<OperationRecord, ReadError>
  /** Returns the feed entries with `seq > after`, and the bounds of the feed. */
  readonly feed: (runtimeId: RuntimeId, after: number) => Effect.Effect<{
    readonly entries: ReadonlyArray<CompletionEntry>
    readonly watermark: number
    readonly droppedThrough: number
  }, ReadError>
  /**
   * The current messages of the body from position `from` (0-based), in pages; empty for an opaque body. If a commit
   * replaces the body during the read, the stream ends with the old body or fails `BodyReplaced`; it never mixes two.
   */
  readonly history: (runtimeId: RuntimeId, from?: number) => Stream.Stream<Message, ReadError>
  /** The bytes of an opaque body. */
  readonly opaqueBody: (runtimeId: RuntimeId) => Effect.Effect<Option.Option<Uint8Array>, ReadError>
  /** Returns one runtime as `sessions` lists it. Damage of other runtimes does not fail it. */
  readonly session: (runtimeId: RuntimeId) => Effect.Effect<Option.Option<StoredSession>, ReadError>
  /** Lists all readable runtimes; then fails with the names of the unreadable ones, if there are any. */
  readonly sessions: (filter?: SessionFilter) => Stream.Stream<StoredSession, ReadError>
  /** Terminal rows that the store could not read and set aside. */
  readonly quarantined: Effect.Effect<ReadonlyArray<CorruptRow>, ReadError>
}>() {}
