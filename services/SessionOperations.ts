/**
 * The background operations of a session: the registry that runs and owners use, its options and its feed items. The
 * machine implements it on the session's authority; an end is durable before any caller sees it.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Stream from "effect/Stream"
import type { OperationError, WatchClosed } from "../src/domain/Errors.js"
import type { OperationId, SessionId } from "../src/domain/Ids.js"
import type {
  CompletionEntry,
  FeedBatch,
  FeedCursors,
  FeedGap,
  OperationEnd,
  OperationKind,
  OperationOutcome,
  OperationPeer,
  OperationRecord
} from "../src/domain/Operation.js"

/**
 * Most bytes, as JSON, of what describes a new operation or its peer. The description is stored after the call has
 * returned, so an accepted call must be sure to fit into a commit.
 *
 * @since 0.1.0
 * @category constants
 */
export const maxOperationBytes = 16 * 1024

/** Describes a new operation. More than `maxOperationBytes` fail `OpInvalid`. @since 0.1.0 @category models */
export interface OperationOptions {
  readonly displayName: string
  /** `background_tool_op` if absent: the end of such an operation wakes an idle session */
  readonly kind?: OperationKind
  /** the thing that the operation belongs to; the display name if absent */
  readonly sourceLabel?: string
  /** the session that works for the operation, if any */
  readonly childSessionId?: SessionId
  readonly expectPeerChannel?: boolean
  /**
   * Generated if absent. A call with an explicit id can be repeated: the second call fails `OpAlreadyRegistered` as
   * long as the operation or its feed entry is kept.
   */
  readonly id?: OperationId
}

/** The result of an operation: its text, or the text with details. @since 0.1.0 @category models */
export type OperationAnswer = string | {
  readonly content: string
  /** true if the work was done and its result is an error; false if absent */
  readonly isError?: boolean
  /** milliseconds; from start to end if absent */
  readonly durationMs?: number
  readonly tokensUsed?: number
}

/** The current state of an operation. @since 0.1.0 @category models */
export interface OperationSnapshot extends OperationRecord {
  /** the number of current watchers of its end */
  readonly watcherCount: number
  /** milliseconds from its registration to its end; absent while it is live */
  readonly elapsedMs?: number
}

/** An item of the completion feed. @since 0.1.0 @category models */
export type FeedItem =
  | { readonly _tag: "Completion"; readonly entry: CompletionEntry }
  /** entries were dropped before they were read; the feed continues with the oldest entry that is kept */
  | { readonly _tag: "Gap"; readonly gap: FeedGap }

/**
 * The background operations of one session: work that outlives the turn that began it.
 *
 * A *process-owned* operation is an effect that runs in the session's scope (`run`); it ends with the process. An
 * *external* operation is completed by id: by a webhook, a person or a remote job. It outlives unregistration and
 * restart (D28). Changes that do not end an operation are visible at once and stored with the next commit. An end is
 * durable before any caller sees it, and gets one entry in the session's completion feed. The end of a
 * `background_tool_op` wakes the session once it is idle (D29).
 *
 * A refused call changes nothing. Every method fails `OpOwnerRetired` if the session is destroyed, unregistered or was
 * never registered. Every change fails `OpInternal` when the store refuses it; the operation keeps its state. An
 * interrupted caller leaves the change done or not done, never half done.
 *
 * @since 0.1.0
 * @category models
 */
export interface SessionOperations {
  readonly sessionId: SessionId

  // --- begin
  /**
   * Runs an effect in a fiber of the session's scope and returns the operation's id. Success ends the operation
   * `Completed`, failure or defect `Failed`, its own interruption `Cancelled`. Unregistration or restart ends it
   * `Terminated`. The effect keeps the services of this call. Don't call it inside a transaction: the transaction ends
   * before the work does.
   */
  readonly run: <E, R>(
    work: Effect.Effect<OperationAnswer, E, R>,
    options: OperationOptions
  ) => Effect.Effect<OperationId, OperationError, R>
  /** Registers an external operation that is already under way. */
  readonly external: (options: OperationOptions) => Effect.Effect<OperationId, OperationError>
  /**
   * Registers an external operation that is still being prepared: `provisioningSucceeded`, `provisioningFailed` or
   * `abort` follows. Like `run` and `external`, it fails `OpMaxConcurrentExceeded` at the machine's limit.
   */
  readonly register: (options: OperationOptions) => Effect.Effect<OperationId, OperationError>

  // --- change: `OpNotFound` for an unknown id, `OpInvalidTransition` for one whose status does not allow it
  readonly provisioningSucceeded: (id: OperationId) => Effect.Effect<OperationRecord, OperationError>
  /** Counts one progress report. */
  readonly progress: (id: OperationId) => Effect.Effect<OperationRecord, OperationError>
  /**
   * Records that the peer of a member child is reachable, once per operation. `OpInvalid` beyond `maxOperationBytes`.
   */
  readonly peerReady: (id: OperationId, peer: OperationPeer) => Effect.Effect<OperationRecord, OperationError>
  /** Requests that the operation winds down; `markRetired` or any other end follows. */
  readonly requestRetire: (id: OperationId) => Effect.Effect<OperationRecord, OperationError>

  // --- end: durable when these return. The fiber of a process-owned operation is interrupted, without waiting for it.
  //     When two ends race, the first commit wins and the other call fails `OpInvalidTransition`
  readonly complete: (id: OperationId, answer: OperationAnswer) => Effect.Effect<OperationRecord, OperationError>
  readonly fail: (id: OperationId, error: string) => Effect.Effect<OperationRecord, OperationError>
  readonly provisioningFailed: (id: OperationId, error: string) => Effect.Effect<OperationRecord, OperationError>
  /** Ends an operation before it starts. */
  readonly abort: (id: OperationId, reason?: string) => Effect.Effect<OperationRecord, OperationError>
  readonly cancel: (id: OperationId, reason?: string) => Effect.Effect<OperationRecord, OperationError>
  readonly markRetired: (id: OperationId) => Effect.Effect<OperationRecord, OperationError>
  /** Ends every live operation `Terminated{reason}`, external ones too, in one commit; returns their ids. */
  readonly terminateOwner: (reason: string) => Effect.Effect<ReadonlyArray<OperationId>, OperationError>

  // --- read
  /** Returns the operation; none for an id that is unknown or was dropped by retention or `collectCompleted`. */
  readonly get: (id: OperationId) => Effect.Effect<Option.Option<OperationSnapshot>, OperationError>
  /** All operations that are kept, ordered by display name. */
  readonly list: Effect.Effect<ReadonlyArray<OperationSnapshot>, OperationError>

  // --- wait
  /**
   * Waits for the outcome of the operation; returns at once if it has ended. All watchers get the same outcome. Fails
   * `WatchClosed` when the session is unregistered while an external operation is still live.
   */
  readonly watch: (id: OperationId) => Effect.Effect<OperationOutcome, OperationError | WatchClosed>
  /**
   * Waits for all operations and returns their outcomes in the order of `ids`. A session has at most one such wait; a
   * second call fails `OpWaitAlreadyActive`. Retention keeps the members while it waits. Interruption removes the wait.
   */
  readonly waitAll: (
    ids: ReadonlyArray<OperationId>
  ) => Effect.Effect<ReadonlyArray<OperationEnd>, OperationError>
  /** Returns the ended operations in the order of their ends, and drops them from the registry; the feed keeps them. */
  readonly collectCompleted: Effect.Effect<ReadonlyArray<OperationEnd>, OperationError>

  // --- completion feed: every end has the next sequence of the session, from 1
  /** Returns the entries with a sequence above `after`, and whether some of them are no longer kept. */
  readonly listSince: (after: number) => Effect.Effect<FeedBatch, OperationError>
  /** The sequence of the newest entry; 0 if the feed is empty. */
  readonly watermark: Effect.Effect<number, OperationError>
  /** The cursors: what the agent received, what the machine observed, and what woke the session (D29). */
  readonly cursors: Effect.Effect<FeedCursors, OperationError>
  /**
   * Emits every entry with a sequence above `after` once and in order, then new entries as they come. Without `after`
   * it begins with the oldest entry that is kept. It ends after the last entry when the session is unregistered or
   * destroyed. It fails `OpInternal` when the session must be registered again. A reader that falls behind the
   * retention gets a `Gap`.
   */
  readonly feed: (after?: number) => Stream.Stream<FeedItem, OperationError>
}

/** Gives access to the operations of sessions, by session id. @since 0.1.0 @category models */
export interface OperationsControl {
  /**
   * Returns the operations of a live session; none for an unknown session. The object stays the same while the session
   * is registered; afterwards it refuses every change.
   */
  readonly opsLifecycleRegistry: (sessionId: SessionId) => Effect.Effect<Option.Option<SessionOperations>>
}
