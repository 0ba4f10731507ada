/**
 * Runs without a loop: `acceptInputAndRun` and the interrupt handle that goes with it. The machine implements them;
 * such a run holds the session's single run slot.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type { ControlFailed, RuntimeDriverError, TurnCancelled } from "../src/domain/Errors.js"
import type { SessionId } from "../src/domain/Ids.js"
import type { Input } from "../src/domain/Input.js"
import type { ControlRequest, Turn, TurnOutput } from "./CoreExecutor.js"

/**
 * Asks the owner of the current run to end it; same shape as `CoreExecutor.hardCancel`.
 *
 * @since 0.1.0
 * @category models
 */
export type InterruptHandle = (request: ControlRequest) => Effect.Effect<void, ControlFailed>

/**
 * The turn that `acceptInputAndRun` passes to its effect. The effect returns its output.
 *
 * @since 0.1.0
 * @category models
 */
export type InlineTurn = Omit<Turn, "finish">

/** Runs inputs without a loop, by session id. @since 0.1.0 @category models */
export interface RunsControl {
  /**
   * Accepts an input and runs it at once in the session's single run slot (D23). `op` runs in a child of the calling
   * fiber. It returns the caller's value and a turn output; the output is committed together with the input's end.
   *
   * Fails `NotReady` if a loop is live, the run slot is taken, or other inputs are open. Fails `ValidationFailed` for
   * an input that duplicates another. In these cases `op` was not called.
   *
   * When `op` fails or dies, the call returns that failure and the input is charged. The input waits in its lane, or is
   * abandoned when its attempts are used up (D10). When the caller is interrupted, the input waits uncharged. Repeating
   * the call with the same input runs it again.
   *
   * `hardCancelCurrentRun`, unregistration and destruction interrupt `op`. They fail the call `TurnCancelled` (the
   * input ends cancelled), `NotReady{destroyed}` (the input waits uncharged) and `Destroyed`. When the result cannot be
   * stored, the input waits uncharged and the call fails `Internal`; `uncommittedResult` then returns the value.
   */
  readonly acceptInputAndRun: <A, E, R>(
    sessionId: SessionId,
    input: Input,
    op: (turn: InlineTurn) => Effect.Effect<readonly [A, TurnOutput], E, R>
  ) => Effect.Effect<A, RuntimeDriverError | TurnCancelled | E, R>
  /**
   * Installs the handle that `hardCancelCurrentRun` calls while no executor is attached. It holds until an executor is
   * attached or the session is unregistered; the last installed handle counts. Fails `ValidationFailed{Conflict}` while
   * an executor is attached, because the executor's own handle is used.
   */
  readonly installPreparedSessionInterruptHandle: (
    sessionId: SessionId,
    handle: InterruptHandle
  ) => Effect.Effect<void, RuntimeDriverError>
}
