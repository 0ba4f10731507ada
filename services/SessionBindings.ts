/** @since 0.1.0 */
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type { RuntimeDriverError, TurnCancelled } from "../src/domain/Errors.js"
import type { EpochId, RunId, SessionId } from "../src/domain/Ids.js"
import type { RuntimeState } from "../src/domain/RuntimeState.js"
import type { TurnOutput } from "./CoreExecutor.js"
import type { SessionOperations } from "./SessionOperations.js"
import type { SessionTools } from "./SessionTools.js"

/** A turn that somebody else runs in a session's run slot. @since 0.1.0 @category models */
export interface ServiceTurnSnapshot {
  readonly runId: RunId
  /** epoch milliseconds */
  readonly startedAt: number
  /** what the session is once the turn has ended */
  readonly returnsTo: Extract<RuntimeState, "idle" | "attached" | "retired">
  /** why it was asked to end; null when it was not */
  readonly cancelRequested: string | null
  /** why it was asked to yield at its next boundary; null when it was not */
  readonly yieldRequested: string | null
}

/** How `ServiceTurn.run` ends the turn. @since 0.1.0 @category models */
export interface ServiceTurnOptions<A> {
  /** what the value adds to the session's body, committed with the end of the turn; nothing unless told */
  readonly output?: (value: A) => TurnOutput
}

/**
 * Turns that the session does not run itself (D26): its owner takes the single run slot, does what it does, and says how
 * it went. No batch starts meanwhile; inputs that are accepted wait. A turn can begin while the session is idle or
 * attached and bound, and belongs to one incarnation: after the unregistration every call fails `NotReady{destroyed}`.
 *
 * A turn whose owner never comes back ends with the session's unregistration or destruction, or when it is cancelled
 * with `hardCancelCurrentRun`: `cancelGrace` later the slot is free. What is said of it then is refused.
 *
 * Ends name the turn they mean by `runId`, or mean the one that holds the slot. One that names its turn may be repeated
 * when its answer was lost; `complete` of a turn that was completed answers as the first did.
 *
 * @since 0.1.0
 * @category models
 */
export interface ServiceTurn {
  /**
   * Takes the run slot. With an id of one's own the call may be repeated: for the turn that holds the slot it answers the
   * same again. Fails `NotReady` while somebody else holds the slot, and `ValidationFailed` when the session is not bound:
   * `prepareBindings` was not called since it was registered, reset or recycled.
   */
  readonly begin: (runId?: RunId) => Effect.Effect<RunId, RuntimeDriverError>
  /**
   * The turn ended well. Its output, if any, is durable when this returns; when it could not be stored the turn goes on
   * and the call may be repeated. Fails `NotReady` when no service turn, or another one, holds the slot.
   */
  readonly complete: (output?: TurnOutput, runId?: RunId) => Effect.Effect<void, RuntimeDriverError>
  /** The turn failed; nothing is stored. */
  readonly fail: (detail: string, runId?: RunId) => Effect.Effect<void, RuntimeDriverError>
  /** The turn was cancelled; nothing is stored. */
  readonly cancel: (reason: string, runId?: RunId) => Effect.Effect<void, RuntimeDriverError>
  /** The turn that holds the slot; none when nobody does, or the loop, or `acceptInputAndRun`. */
  readonly snapshot: Effect.Effect<Option.Option<ServiceTurnSnapshot>>
  /** Completes with the reason once this turn is asked to end, or without one once it holds the slot no more. */
  readonly cancelRequested: (runId: RunId) => Effect.Effect<Option.Option<string>>
  /**
   * Runs an effect as a turn, in a child of the calling fiber: completed when it succeeds, failed when it fails or dies,
   * cancelled when the caller is interrupted. Whatever happens the slot is given back.
   *
   * From outside it is ended by interruption: cancelled it fails `TurnCancelled`, with the session it fails
   * `NotReady{destroyed}` or `Destroyed`. When its end could not be stored it fails `Internal`; `uncommittedResult` then
   * gives the value.
   */
  readonly run: <A, E, R>(
    effect: Effect.Effect<A, E, R>,
    options?: ServiceTurnOptions<A>
  ) => Effect.Effect<A, RuntimeDriverError | TurnCancelled | E, R>
}

/**
 * What the owner of a session's work is given to work with. Only a machine makes one (`verifyBindings` tells), one per
 * incarnation: whoever asks again gets the same.
 *
 * @since 0.1.0
 * @category models
 */
export interface SessionRuntimeBindings {
  readonly sessionId: SessionId
  readonly epochId: EpochId
  /** tells this registration from its successors */
  readonly incarnation: number
  readonly turn: ServiceTurn
  /** its background operations and their feed: the very registry that its runs are given */
  readonly operations: SessionOperations
  readonly tools: SessionTools
}

/** Bindings, by session id. @since 0.1.0 @category models */
export interface BindingsControl {
  /**
   * Registers the session if need be, binds it, and gives its bindings. The phase stays as it is (D26). If the binding
   * fails, a registration that this very call began is undone.
   */
  readonly prepareBindings: (sessionId: SessionId) => Effect.Effect<SessionRuntimeBindings, RuntimeDriverError>
  /** The same without binding the session: its turns cannot begin until somebody binds it. */
  readonly prepareLocalSessionBindings: (
    sessionId: SessionId
  ) => Effect.Effect<SessionRuntimeBindings, RuntimeDriverError>
  /** `ValidationFailed` unless the value was made by a machine. */
  readonly verifyBindings: (value: unknown) => Effect.Effect<SessionRuntimeBindings, RuntimeDriverError>
  /**
   * Ends the service turn that holds the slot: what it did is stored already, by its owner. Fails `NotReady{state}` when
   * there is none: a turn that failed or was cancelled cannot be completed, nor a run of the loop.
   */
  readonly commitServiceTurnTerminalReceipt: (sessionId: SessionId) => Effect.Effect<void, RuntimeDriverError>
}
