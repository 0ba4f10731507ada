/** @since 0.1.0 */
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
 * What may be said of an operation when it begins, and of its peer, in bytes as JSON. It is stored later than the call
 * returns, so a call that is taken must fit.
 *
 * @since 0.1.0
 * @category constants
 */
export const maxOperationBytes = 16 * 1024

/** What a new operation is; larger than `maxOperationBytes` it is `OpInvalid`. @since 0.1.0 @category models */
export interface OperationOptions {
  readonly displayName: string
  /** `background_tool_op` if absent: its end wakes an idle session */
  readonly kind?: OperationKind
  /** what it belongs to; the display name if absent */
  readonly sourceLabel?: string
  /** the session that works for it, if one does */
  readonly childSessionId?: SessionId
  readonly expectPeerChannel?: boolean
  /**
   * fresh if absent. With an id of one's own the call can be repeated: the second time it is `OpAlreadyRegistered`, as
   * long as the operation or its entry in the feed is kept
   */
  readonly id?: OperationId
}

/** What an operation came to: its text, or that with more to say. @since 0.1.0 @category models */
export type OperationAnswer = string | {
  readonly content: string
  /** the work was done and the answer is bad news; false if absent */
  readonly isError?: boolean
  /** milliseconds; from start to end if absent */
  readonly durationMs?: number
  readonly tokensUsed?: number
}

/** An operation as it is now. @since 0.1.0 @category models */
export interface OperationSnapshot extends OperationRecord {
  /** who waits for its end right now */
  readonly watcherCount: number
  /** milliseconds from its registration to its end; absent while it is live */
  readonly elapsedMs?: number
}

/** What a follower of the completion feed gets. @since 0.1.0 @category models */
export type FeedItem =
  | { readonly _tag: "Completion"; readonly entry: CompletionEntry }
  /** entries were dropped before they were read; the next ones are those that are left */
  | { readonly _tag: "Gap"; readonly gap: FeedGap }

/**
 * The background operations of one session: work that outlives the turn that began it.
 *
 * A *process-owned* operation is an effect that runs in the session's scope (`run`); it ends with the process. An
 * *external* one is completed by id by whoever does the work: a webhook, a person, a remote job; it outlives both
 * unregistration and restart (D28). Changes that do not end an operation are visible at once and stored with the next
 * commit. An end is durable before anybody hears of it, gets one entry in the session's completion feed, and, if the
 * operation is a `background_tool_op`, wakes the session once it is idle (D29).
 *
 * A refused call changes nothing. Every method fails `OpOwnerRetired` once the session is destroyed, is unregistered or was never
 * registered, and every change `OpInternal` when the store refuses it: the operation is as it was then. A caller that is
 * interrupted leaves the change undone or done, never half done.
 *
 * @since 0.1.0
 * @category models
 */
export interface SessionOperations {
  readonly sessionId: SessionId

  // --- begin
  /**
   * Runs an effect in a fiber of the session's scope. Its success is the end `Completed`, its failure or defect `Failed`,
   * its own interruption `Cancelled`. Unregistering the session, or a restart, ends it `Terminated`. The effect has the
   * services of this call; don't call it inside a transaction, which would be over before the work is.
   */
  readonly run: <E, R>(
    work: Effect.Effect<OperationAnswer, E, R>,
    options: OperationOptions
  ) => Effect.Effect<OperationId, OperationError, R>
  /** Makes an external operation known that is under way already. */
  readonly external: (options: OperationOptions) => Effect.Effect<OperationId, OperationError>
  /**
   * Makes an external operation known that is still being prepared: `provisioningSucceeded`, `provisioningFailed` or
   * `abort` follows. Fails `OpMaxConcurrentExceeded` at the machine's limit, as the two above.
   */
  readonly register: (options: OperationOptions) => Effect.Effect<OperationId, OperationError>

  // --- change: `OpNotFound` for an unknown id, `OpInvalidTransition` for one whose status does not allow it
  readonly provisioningSucceeded: (id: OperationId) => Effect.Effect<OperationRecord, OperationError>
  /** Counts one report. */
  readonly progress: (id: OperationId) => Effect.Effect<OperationRecord, OperationError>
  /** The peer of a member child can be reached; once per operation. `OpInvalid` beyond `maxOperationBytes`. */
  readonly peerReady: (id: OperationId, peer: OperationPeer) => Effect.Effect<OperationRecord, OperationError>
  /** Asks it to wind down; `markRetired` or any other end follows. */
  readonly requestRetire: (id: OperationId) => Effect.Effect<OperationRecord, OperationError>

  // --- end: durable when these return. The fiber of a process-owned operation is interrupted, not waited for; of two
  //     ends that race, the first to be committed is the one, and the other call fails `OpInvalidTransition`
  readonly complete: (id: OperationId, answer: OperationAnswer) => Effect.Effect<OperationRecord, OperationError>
  readonly fail: (id: OperationId, error: string) => Effect.Effect<OperationRecord, OperationError>
  readonly provisioningFailed: (id: OperationId, error: string) => Effect.Effect<OperationRecord, OperationError>
  /** Gives up before the start. */
  readonly abort: (id: OperationId, reason?: string) => Effect.Effect<OperationRecord, OperationError>
  readonly cancel: (id: OperationId, reason?: string) => Effect.Effect<OperationRecord, OperationError>
  readonly markRetired: (id: OperationId) => Effect.Effect<OperationRecord, OperationError>
  /** Ends every live operation `Terminated{reason}`, external ones too, in one commit; answers which. */
  readonly terminateOwner: (reason: string) => Effect.Effect<ReadonlyArray<OperationId>, OperationError>

  // --- read
  /** None for an id that is unknown, or was forgotten by retention or `collectCompleted`. */
  readonly get: (id: OperationId) => Effect.Effect<Option.Option<OperationSnapshot>, OperationError>
  /** All that are kept, by display name. */
  readonly list: Effect.Effect<ReadonlyArray<OperationSnapshot>, OperationError>

  // --- wait
  /**
   * How the operation ends, at once if it has. Any number of watchers get the same outcome. Fails `WatchClosed` when the
   * session is unregistered first and the operation lives on (an external one).
   */
  readonly watch: (id: OperationId) => Effect.Effect<OperationOutcome, OperationError | WatchClosed>
  /**
   * Waits for all; outcomes in the asked order. One at a time per session: `OpWaitAlreadyActive`. Its members are not
   * forgotten while it waits; interrupting it takes it away.
   */
  readonly waitAll: (
    ids: ReadonlyArray<OperationId>
  ) => Effect.Effect<ReadonlyArray<OperationEnd>, OperationError>
  /** Hands out the operations that ended, in the order in which they did, and forgets them; the feed is not touched. */
  readonly collectCompleted: Effect.Effect<ReadonlyArray<OperationEnd>, OperationError>

  // --- completion feed: every end has the next sequence of the session, from 1
  /** The entries with a sequence above `after`, and whether some of them are no longer kept. */
  readonly listSince: (after: number) => Effect.Effect<FeedBatch, OperationError>
  /** Sequence of the newest entry, 0 when there is none. */
  readonly watermark: Effect.Effect<number, OperationError>
  /** What the agent was given, what the machine looked at, and for what it woke the session (D29). */
  readonly cursors: Effect.Effect<FeedCursors, OperationError>
  /**
   * Every entry with a sequence above `after` (0 if absent: the oldest that is kept), once and in order, then those that
   * come. Ends when the session is unregistered or destroyed, after the last entry of it; fails `OpInternal` when the
   * session has to be registered anew. A reader that falls behind the retention gets a `Gap`.
   */
  readonly feed: (after?: number) => Stream.Stream<FeedItem, OperationError>
}

/** The operations of sessions, by session id. @since 0.1.0 @category models */
export interface OperationsControl {
  /**
   * The operations of a live session; none for an unknown one. The same object each time as long as the session is
   * registered; after that it refuses every change.
   */
  readonly opsLifecycleRegistry: (sessionId: SessionId) => Effect.Effect<Option.Option<SessionOperations>>
}
