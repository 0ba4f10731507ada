/** @since 0.1.0 */
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

/** One runtime as the store lists it. @since 0.1.0 @category models */
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
  /** only those with open inputs */
  readonly pendingOnly?: boolean
  /**
   * only those with something to do once they are registered: open inputs, or, while idle, background operations of a
   * process that is gone, and ends of background operations that no turn was told of
   */
  readonly dueOnly?: boolean
  readonly lifecycle?: ReadonlyArray<PersistedRuntimeState>
  /** only session ids that begin with it */
  readonly prefix?: string
}

/** Which inputs to list. @since 0.1.0 @category models */
export interface InputFilter {
  /** only those that have not ended; what has ended is not read */
  readonly openOnly?: boolean
}

/** A stored receipt with the outcome its contributors share. @since 0.1.0 @category models */
export interface StoredReceipt {
  readonly receipt: RunBoundaryReceipt
  readonly outcome: CompletionOutcome
  readonly committedAt: number
}

/**
 * Durable truth. `commit` is the only way to write, `openRuntime` the only way to begin: it reads one consistent
 * image, lets the plan decide, and writes the opening commit it planned. Every commit settles within the store's
 * `commitDeadline`: acknowledged and durable, or a typed failure that says nothing was written, or
 * `StoreOutcomeUnknown`. Openings are members of the group-commit batch like commits.
 *
 * @since 0.1.0
 * @category tags
 */
export class RuntimeStore extends Context.Tag("effect-meerkat/services/RuntimeStore")<RuntimeStore, {
  /** "memory" forgets everything with its layer */
  readonly kind: "memory" | "sqlite"
  /**
   * Fails when the store finds that its file was removed, renamed or replaced: nothing is acknowledged any more, and
   * sessions must be given up. Waits as long as that does not happen; waiting costs no timer and can be interrupted.
   */
  readonly lost: Effect.Effect<never, StoreLost>
  /** Reads the image of a runtime, plans, writes the planned opening commit. A plan that fails writes nothing. */
  readonly openRuntime: <A, E>(
    runtimeId: RuntimeId,
    plan: (image: RuntimeImage) => Either.Either<Opening<A>, E>
  ) => Effect.Effect<{ readonly ack: CommitAck; readonly value: A }, E | CommitError | ReadError>
  /** Writes one commit, all of it or nothing. Interrupting the caller while it is queued writes nothing. */
  readonly commit: (commit: RuntimeCommit) => Effect.Effect<CommitAck, CommitError>
  /**
   * What was written last, to resolve an unknown outcome. It answers once nothing is being written any more: a commit
   * that was given up as overdue while it was written cannot land after it.
   */
  readonly witness: (runtimeId: RuntimeId) => Effect.Effect<Option.Option<CommitWitness>, ReadError>
  /** A terminal input, its outcome filled in from the receipt where it lives there. */
  readonly terminalInput: (
    runtimeId: RuntimeId,
    inputId: InputId
  ) => Effect.Effect<Option.Option<TerminalInput & { readonly outcome: CompletionOutcome }>, ReadError>
  /** Who owns an idempotency key of the runtime. */
  readonly findKey: (runtimeId: RuntimeId, key: string) => Effect.Effect<Option.Option<KeyFact>, ReadError>
  /** Stored inputs, open and terminal, by admission order. */
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
  /** Feed entries with `seq > after`, and where the feed begins and ends. */
  readonly feed: (runtimeId: RuntimeId, after: number) => Effect.Effect<{
    readonly entries: ReadonlyArray<CompletionEntry>
    readonly watermark: number
    readonly droppedThrough: number
  }, ReadError>
  /**
   * The body's current messages from `from` (0-based position), paged. An opaque body has none. A body that is replaced
   * while it is read is read to its end, or fails `BodyReplaced`; messages of two bodies are never mixed.
   */
  readonly history: (runtimeId: RuntimeId, from?: number) => Stream.Stream<Message, ReadError>
  /** The bytes of an opaque body. */
  readonly opaqueBody: (runtimeId: RuntimeId) => Effect.Effect<Option.Option<Uint8Array>, ReadError>
  /** One runtime as `sessions` lists it. What is wrong with others is no matter. */
  readonly session: (runtimeId: RuntimeId) => Effect.Effect<Option.Option<StoredSession>, ReadError>
  /** All that can be read; then, if there are others, it fails with their names. */
  readonly sessions: (filter?: SessionFilter) => Stream.Stream<StoredSession, ReadError>
  /** Terminal rows that could not be read and were set aside. */
  readonly quarantined: Effect.Effect<ReadonlyArray<CorruptRow>, ReadError>
}>() {}
