/**
 * The bindings of a session, which the owner of its work is given, and the service turns that this owner runs. The
 * machine makes bindings and verifies them; every value belongs to one incarnation of one session.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type { RuntimeDriverError, TurnCancelled } from "../src/domain/Errors.js"
import type { EpochId, RunId, SessionId } from "../src/domain/Ids.js"
import type { RuntimeState } from "../src/domain/RuntimeState.js"
import type { TurnOutput } from "./CoreExecutor.js"
import type { SessionOperations } from "./SessionOperations.js"
import type { SessionTools } from "./SessionTools.js"

/** A turn that a caller runs in a session's run slot. @since 0.1.0 @category models */
export interface ServiceTurnSnapshot {
  readonly runId: RunId
  /** epoch milliseconds */
  readonly startedAt: number
  /** the state of the session after the turn has ended */
  readonly returnsTo: Extract<RuntimeState, "idle" | "attached" | "retired">
  /** the reason of the request to end; null without a request */
  readonly cancelRequested: string | null
  /** the reason of the request to yield at the next boundary; null without a request */
  readonly yieldRequested: string | null
}

/** Options of `ServiceTurn.run`. @since 0.1.0 @category models */
export interface ServiceTurnOptions<A> {
  /** what the value adds to the session's body, committed with the end of the turn; nothing if absent */
  readonly output?: (value: A) => TurnOutput
}

/**
 * Turns that a caller runs instead of the session (D26). The owner takes the single run slot, does the work, and
 * reports how the turn ended. Meanwhile the session starts no batch, and accepted inputs wait. A turn can begin while
 * the session is bound and idle or attached. It belongs to one incarnation: after the unregistration every call fails
 * `NotReady{destroyed}`.
 *
 * A turn whose owner never ends it is ended by the session's unregistration or destruction. `hardCancelCurrentRun` ends
 * it too: the slot is free `cancelGrace` later. The session refuses later reports about that turn.
 *
 * Ends name their turn by `runId`, or mean the turn that holds the slot. A call that names its turn may be repeated
 * when its answer was lost. `complete` of a completed turn answers as the first call did.
 *
 * @since 0.1.0
 * @category models
 */
export interface ServiceTurn {
  /**
   * Takes the run slot and returns the run id. A call with an explicit id may be repeated: it returns the same id while
   * that turn holds the slot. Fails `NotReady` while another turn or run holds the slot. Fails `ValidationFailed` when
   * the session is not bound: call `prepareBindings` after each registration, reset or recycle.
   */
  readonly begin: (runId?: RunId) => Effect.Effect<RunId, RuntimeDriverError>
  /**
   * Ends the turn as completed. Its output, if any, is durable when the call returns. If the store cannot commit it,
   * the turn stays open and the call may be repeated. Fails `NotReady` when no service turn, or another one, holds the
   * slot.
   */
  readonly complete: (output?: TurnOutput, runId?: RunId) => Effect.Effect<void, RuntimeDriverError>
  /** Ends the turn as failed; nothing is stored. */
  readonly fail: (detail: string, runId?: RunId) => Effect.Effect<void, RuntimeDriverError>
  /** Ends the turn as cancelled; nothing is stored. */
  readonly cancel: (reason: string, runId?: RunId) => Effect.Effect<void, RuntimeDriverError>
  /**
   * Returns the service turn that holds the slot; none if the slot is free or the loop or `acceptInputAndRun` holds it.
   */
  readonly snapshot: Effect.Effect<Option.Option<ServiceTurnSnapshot>>
  /** Completes with the reason when this turn is asked to end, or with none when it no longer holds the slot. */
  readonly cancelRequested: (runId: RunId) => Effect.Effect<Option.Option<string>>
  /**
   * Runs an effect as a turn, in a child of the calling fiber. The turn completes when the effect succeeds, fails when
   * it fails or dies, and is cancelled when the caller is interrupted. Every exit frees the slot.
   *
   * A cancellation from outside interrupts the effect, and the call fails `TurnCancelled`. The end of the session
   * interrupts it too, and the call fails `NotReady{destroyed}` or `Destroyed`. Fails `Internal` when the end of the
   * turn could not be stored; `uncommittedResult` then returns the value.
   */
  readonly run: <A, E, R>(
    effect: Effect.Effect<A, E, R>,
    options?: ServiceTurnOptions<A>
  ) => Effect.Effect<A, RuntimeDriverError | TurnCancelled | E, R>
}

/**
 * What the owner of a session's work uses to do that work. Only a machine makes bindings (`verifyBindings` checks
 * that), once per incarnation: later callers get the same object.
 *
 * @since 0.1.0
 * @category models
 */
export interface SessionRuntimeBindings {
  readonly sessionId: SessionId
  readonly epochId: EpochId
  /** distinguishes this registration from later ones */
  readonly incarnation: number
  readonly turn: ServiceTurn
  /** the session's background operations and their feed: the same registry that its runs are given */
  readonly operations: SessionOperations
  readonly tools: SessionTools
}

/** Prepares and verifies bindings, by session id. @since 0.1.0 @category models */
export interface BindingsControl {
  /**
   * Registers the session if necessary, binds it, and returns its bindings. The phase does not change (D26). If the
   * binding fails, the call undoes a registration that it began itself.
   */
  readonly prepareBindings: (sessionId: SessionId) => Effect.Effect<SessionRuntimeBindings, RuntimeDriverError>
  /** Does the same without binding the session: its turns cannot begin before `prepareBindings`. */
  readonly prepareLocalSessionBindings: (
    sessionId: SessionId
  ) => Effect.Effect<SessionRuntimeBindings, RuntimeDriverError>
  /** Returns the bindings; fails `ValidationFailed` unless a machine made the value. */
  readonly verifyBindings: (value: unknown) => Effect.Effect<SessionRuntimeBindings, RuntimeDriverError>
  /**
   * Ends the service turn that holds the slot as completed; its owner has stored its work already. Fails
   * `NotReady{state}` when no service turn holds the slot: a failed or cancelled turn and a run of the loop are
   * refused.
   */
  readonly commitServiceTurnTerminalReceipt: (sessionId: SessionId) => Effect.Effect<void, RuntimeDriverError>
}
