/** @since 0.1.0 */
import * as Context from "effect/Context"
import type * as Deferred from "effect/Deferred"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { Command, Rejection } from "../src/domain/Command.js"
import type { CompletionOutcome } from "../src/domain/Completion.js"
import type { Destroyed, Internal, RecoveryCorruption, WatchClosed } from "../src/domain/Errors.js"
import type { InputId, OperationId, RunId, SessionId } from "../src/domain/Ids.js"
import type { OperationOutcome } from "../src/domain/Operation.js"
import type { RuntimeEvent, RuntimeEventEnvelope } from "../src/domain/RuntimeEvent.js"
import type { SessionState } from "../src/domain/SessionState.js"
import type { CommitError } from "../src/domain/StoreErrors.js"

/** Why a submitted command did not happen. @since 0.1.0 @category errors */
export type SubmitError =
  | { readonly _tag: "Rejected"; readonly rejection: Rejection }
  /** the store refused this command's commit for good, or for the moment; nothing changed */
  | { readonly _tag: "CommitFailed"; readonly error: CommitError }
  /** an outcome could not be resolved, or the session was fenced: it must be opened anew (D21) */
  | { readonly _tag: "ReloadRequired"; readonly reason: string }
  /** the session's scope is closed */
  | { readonly _tag: "Closed" }

/** How a session's durability stands (D21). @since 0.1.0 @category models */
export type Health = { readonly _tag: "Ready" } | { readonly _tag: "ReloadRequired"; readonly reason: string }

/**
 * The end of a run that the store has refused so far. The owner of the run keeps it and tries again; everything else
 * of the session sees it here.
 *
 * @since 0.1.0
 * @category models
 */
export interface Kept {
  readonly runId: RunId
  /** size of the result in memory */
  readonly bytes: number
  /** why the store refused it the last time */
  readonly error: () => CommitError
  /** Tries at once. Answers the refusal; null when the run is settled, or lost with its session. */
  readonly hurry: Effect.Effect<CommitError | null>
  /** Ends the waiting: one last try, then the result is given up. */
  readonly abandon: () => void
  /** what those who wait for its inputs are told if the session must be reloaded meanwhile */
  readonly onReload: (reason: string) => ReadonlyArray<readonly [InputId, CompletionOutcome]>
}

/** An event, or the news that some were missed. @since 0.1.0 @category models */
export type SessionEvent =
  | { readonly _tag: "Event"; readonly envelope: RuntimeEventEnvelope }
  | { readonly _tag: "Snapshot"; readonly sequence: number; readonly state: SessionState }
  | { readonly _tag: "Lagged"; readonly missed: number }

/** What a command may observe when it is settled, in the worker, before any later command of the round. @since 0.1.0 @category models */
export interface SubmitOptions<A> {
  /** runs synchronously at settlement; only registers (waiters), never waits */
  readonly onSettled?: (reply: A) => void
  /** the caller was interrupted while the command was queued: it was taken back, nothing happened */
  readonly onWithdrawn?: () => void
  /** a lone command that the store refuses as contradictory is answered so, and the session stays; else it is reloaded */
  readonly mayBeRefused?: boolean
  /** what those who wait for these inputs are told if this command's outcome stays unknown (D21) */
  readonly onReload?: (reason: string) => ReadonlyArray<readonly [InputId, CompletionOutcome]>
}

/** Who waits for the end of an operation of a session. Every access is synchronous. @since 0.1.0 @category models */
export interface OperationWatches {
  /** a watcher of a live operation; once the watches are closed it has failed already */
  readonly watch: (id: OperationId) => Deferred.Deferred<OperationOutcome, WatchClosed>
  /** one who watched left before the end */
  readonly release: (id: OperationId) => void
  readonly count: (id: OperationId) => number
  /** nobody will be told anything any more */
  readonly isClosed: () => boolean
}

/**
 * The single owner of one session's state: an arrival queue in front of the pure kernel, and a commit worker that
 * exists only while the queue holds something.
 *
 * @since 0.1.0
 * @category models
 */
export interface SessionAuthority {
  readonly sessionId: SessionId
  /** the fence that the opening gave; tells this entry from its successors */
  readonly incarnation: number
  /** the published state: nothing in it that had to be durable is not */
  readonly state: Effect.Effect<SessionState>
  readonly unsafeState: () => SessionState
  readonly health: Effect.Effect<Health>
  readonly unsafeHealth: () => Health
  /**
   * Queues a command and waits for its reply. Interrupted while queued, it is removed and nothing happened; later its
   * effects happen all the same and only the reply is lost.
   */
  readonly submit: <A>(command: Command<A>, options?: SubmitOptions<A>) => Effect.Effect<A, SubmitError>
  /** completes as soon as another state than this one is published; level-triggered, so nothing is missed */
  readonly changedFrom: (seen: SessionState) => Effect.Effect<void>
  /** calls back synchronously at each publication until the returned function is called; must not wait or fail */
  readonly onPublish: (listener: (state: SessionState) => void) => () => void
  /** waits for the end of an open input */
  readonly awaitInput: (inputId: InputId) => Deferred.Deferred<CompletionOutcome>
  readonly waiters: () => ReadonlyArray<readonly [InputId, number]>
  readonly watches: OperationWatches
  /** resolves every waiter of an input that is left */
  readonly settleAll: (outcome: CompletionOutcome) => Effect.Effect<void>
  /** closes the watches; followers of the feed look again */
  readonly closeWatches: (reason: string) => Effect.Effect<void>
  readonly publish: (event: RuntimeEvent) => Effect.Effect<void>
  /** a snapshot first, then the events after it */
  readonly events: Stream.Stream<SessionEvent>
  /** marks the session as unusable until it is opened anew; the first reason is kept; `outcomes` are told first */
  readonly requireReload: (
    reason: string,
    outcomes?: ReadonlyArray<readonly [InputId, CompletionOutcome]>
  ) => Effect.Effect<void>
  /** Keeps the end of a run in memory; false when the machine keeps as many bytes as it may. */
  readonly keep: (kept: Kept) => boolean
  /** Lets go of it, stored or given up. */
  readonly letGo: (kept: Kept) => void
  /** ends of runs that wait for the store */
  readonly kept: () => ReadonlyArray<Kept>
  /** wakes everybody who waits for another state, so that they look again */
  readonly nudge: Effect.Effect<void>
  /** refuses new commands, waits for the worker to end, and tells whoever waits or follows, now or later, of the end */
  readonly shutdown: Effect.Effect<void>
}

/** Outcome of an opening. @since 0.1.0 @category models */
export type OpenFailure = Internal | RecoveryCorruption | Destroyed

/**
 * Opens sessions: recovers their durable state and hands out the authority that owns it from then on.
 *
 * @since 0.1.0
 * @category tags
 */
export class MachineAuthority extends Context.Tag("effect-meerkat/services/MachineAuthority")<MachineAuthority, {
  /** The scope ends the authority: its worker, its waiters, its events. */
  readonly open: (sessionId: SessionId) => Effect.Effect<SessionAuthority, OpenFailure, Scope.Scope>
  /** workers and flush timers that run right now */
  readonly fiberCount: Effect.Effect<number>
}>() {}
