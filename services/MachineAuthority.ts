/**
 * The interface between the machine and the owner of one live session's state.
 *
 * `MachineAuthorityLive` implements it; the machine, the loops and the runs call it. Invariants: one authority owns a
 * session at a time; it publishes a state only after the store has committed what must be durable in it.
 *
 * @since 0.1.0
 */
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
  /** the store refused the commit of this command, for good or for now; nothing changed */
  | { readonly _tag: "CommitFailed"; readonly error: CommitError }
  /** a commit outcome stayed unknown, or the session was fenced: the session must be opened again (D21) */
  | { readonly _tag: "ReloadRequired"; readonly reason: string }
  /** the session's scope is closed */
  | { readonly _tag: "Closed" }

/** Whether a session can still commit, or must be registered again (D21). @since 0.1.0 @category models */
export type Health = { readonly _tag: "Ready" } | { readonly _tag: "ReloadRequired"; readonly reason: string }

/**
 * The end of a run that the store has refused so far. The owner of the run keeps it and retries; the other parts of the
 * session find it through `SessionAuthority.kept`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Kept {
  readonly runId: RunId
  /** size of the result in memory */
  readonly bytes: number
  /** the error of the last attempt */
  readonly error: () => CommitError
  /** Retries at once. Returns the error of that attempt; null when the run is settled, or lost with its session. */
  readonly hurry: Effect.Effect<CommitError | null>
  /** Ends the retries: after one last attempt the owner gives the result up. */
  readonly abandon: () => void
  /** outcomes for the waiters of its inputs, if the session must be reloaded before the commit succeeds */
  readonly onReload: (reason: string) => ReadonlyArray<readonly [InputId, CompletionOutcome]>
}

/** An event, a state to begin with, or the count of events that the subscriber missed. @since 0.1.0 @category models */
export type SessionEvent =
  | { readonly _tag: "Event"; readonly envelope: RuntimeEventEnvelope }
  | { readonly _tag: "Snapshot"; readonly sequence: number; readonly state: SessionState }
  | { readonly _tag: "Lagged"; readonly missed: number }

/** Callbacks of a command. The worker calls them before it settles any later command of the round. @since 0.1.0 @category models */
export interface SubmitOptions<A> {
  /** runs synchronously when the command is settled; may register waiters, must not wait */
  readonly onSettled?: (reply: A) => void
  /** called when the caller was interrupted while the command was queued; the command was removed and changed nothing */
  readonly onWithdrawn?: () => void
  /**
   * True: if the store refuses this command as contradictory, alone in its round, the caller gets that error and the
   * session continues. False: the session must be reloaded.
   */
  readonly mayBeRefused?: boolean
  /** outcomes for the waiters of its inputs, if the outcome of this command stays unknown (D21) */
  readonly onReload?: (reason: string) => ReadonlyArray<readonly [InputId, CompletionOutcome]>
}

/** The callers that wait for the end of an operation of a session. Every access is synchronous. @since 0.1.0 @category models */
export interface OperationWatches {
  /** registers a watcher of a live operation; after the watches are closed the result has failed already */
  readonly watch: (id: OperationId) => Deferred.Deferred<OperationOutcome, WatchClosed>
  /** removes one watcher that left before the end */
  readonly release: (id: OperationId) => void
  readonly count: (id: OperationId) => number
  /** true once the watches are closed: no watcher gets an outcome any more */
  readonly isClosed: () => boolean
}

/**
 * The single owner of one session's state. It puts an arrival queue in front of the pure kernel, and runs a commit worker
 * only while the queue holds a command.
 *
 * @since 0.1.0
 * @category models
 */
export interface SessionAuthority {
  readonly sessionId: SessionId
  /** the number of this opening, its fence in the store; differs from that of every later opening */
  readonly incarnation: number
  /** the published state: all that must be durable in it is committed */
  readonly state: Effect.Effect<SessionState>
  readonly unsafeState: () => SessionState
  readonly health: Effect.Effect<Health>
  readonly unsafeHealth: () => Health
  /**
   * Queues a command and waits for its reply. An interruption while the command is queued removes it, and nothing
   * changes. A later interruption loses only the reply: the command still takes effect.
   */
  readonly submit: <A>(command: Command<A>, options?: SubmitOptions<A>) => Effect.Effect<A, SubmitError>
  /** completes as soon as a state other than `seen` is published; level-triggered, so no change is missed */
  readonly changedFrom: (seen: SessionState) => Effect.Effect<void>
  /** calls back synchronously at each publication until the returned function is called; must not wait or fail */
  readonly onPublish: (listener: (state: SessionState) => void) => () => void
  /** waits for the end of an open input */
  readonly awaitInput: (inputId: InputId) => Deferred.Deferred<CompletionOutcome>
  readonly waiters: () => ReadonlyArray<readonly [InputId, number]>
  readonly watches: OperationWatches
  /** resolves all remaining waiters of inputs with this outcome */
  readonly settleAll: (outcome: CompletionOutcome) => Effect.Effect<void>
  /** closes the watches and makes followers of the feed read again */
  readonly closeWatches: (reason: string) => Effect.Effect<void>
  readonly publish: (event: RuntimeEvent) => Effect.Effect<void>
  /** a snapshot first, then the events after it */
  readonly events: Stream.Stream<SessionEvent>
  /** marks the session as unusable until it is opened again; keeps the first reason; first resolves the waiters in `outcomes` */
  readonly requireReload: (
    reason: string,
    outcomes?: ReadonlyArray<readonly [InputId, CompletionOutcome]>
  ) => Effect.Effect<void>
  /** Keeps the end of a run in memory. Returns false if that would exceed the machine's limit of kept bytes. */
  readonly keep: (kept: Kept) => boolean
  /** Drops it after it was stored or given up. */
  readonly letGo: (kept: Kept) => void
  /** ends of runs that wait for the store */
  readonly kept: () => ReadonlyArray<Kept>
  /** wakes all callers of `changedFrom`, so that they check the state again */
  readonly nudge: Effect.Effect<void>
  /** refuses new commands, waits for the worker to end, then ends all waiters and subscriptions, later ones at once */
  readonly shutdown: Effect.Effect<void>
}

/** Why an opening failed. @since 0.1.0 @category models */
export type OpenFailure = Internal | RecoveryCorruption | Destroyed

/**
 * Opens sessions: recovers their durable state and returns the authority that owns that state from then on.
 *
 * @since 0.1.0
 * @category tags
 */
export class MachineAuthority extends Context.Tag("effect-meerkat/services/MachineAuthority")<MachineAuthority, {
  /** Opens a session. When the scope closes, the authority ends with its worker, waiters and events. */
  readonly open: (sessionId: SessionId) => Effect.Effect<SessionAuthority, OpenFailure, Scope.Scope>
  /** the number of workers and flush timers that run right now */
  readonly fiberCount: Effect.Effect<number>
}>() {}
