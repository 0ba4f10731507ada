/** @since 0.1.0 */
import type * as Effect from "effect/Effect"
import type { ControlFailed, RuntimeDriverError, TurnCancelled } from "../src/domain/Errors.js"
import type { SessionId } from "../src/domain/Ids.js"
import type { Input } from "../src/domain/Input.js"
import type { ControlRequest, Turn, TurnOutput } from "./CoreExecutor.js"

/** Asks whoever runs the current run to end it; shaped like `CoreExecutor.hardCancel`. @since 0.1.0 @category models */
export type InterruptHandle = (request: ControlRequest) => Effect.Effect<void, ControlFailed>

/** What a run of `acceptInputAndRun` is given; its result is what it returns. @since 0.1.0 @category models */
export type InlineTurn = Omit<Turn, "finish">

/** Runs without a loop, by session id. @since 0.1.0 @category models */
export interface RunsControl {
  /**
   * Accepts an input and runs it here and now, in the session's single run slot (D23). `op` runs in a child of the calling
   * fiber; what it returns beside its value is committed together with the input's end.
   *
   * Fails `NotReady` where a loop is live, somebody else has the run slot, or other inputs are open; `ValidationFailed`
   * for an input that repeats another. Then `op` was not called.
   *
   * When `op` fails, its error is returned, the input is charged, and waits in its lane or is abandoned when its budget is
   * used up (D10); a defect is accounted for in the same way. When the caller is interrupted it waits uncharged.
   * Repeating the call with the same input goes on with it.
   *
   * From outside `op` is ended by interruption: by `hardCancelCurrentRun` (`TurnCancelled`, the input ends cancelled), by
   * the unregistration (`NotReady{destroyed}`, the input waits uncharged) and by the destruction (`Destroyed`). When the
   * result cannot be stored, the input waits uncharged and the call fails `Internal`; `uncommittedResult` gives the value.
   */
  readonly acceptInputAndRun: <A, E, R>(
    sessionId: SessionId,
    input: Input,
    op: (turn: InlineTurn) => Effect.Effect<readonly [A, TurnOutput], E, R>
  ) => Effect.Effect<A, RuntimeDriverError | TurnCancelled | E, R>
  /**
   * What `hardCancelCurrentRun` calls while no executor is attached, until one is, or the session is unregistered. The
   * last one installed counts. Fails `ValidationFailed{Conflict}` while an executor is attached: its own handle is used.
   */
  readonly installPreparedSessionInterruptHandle: (
    sessionId: SessionId,
    handle: InterruptHandle
  ) => Effect.Effect<void, RuntimeDriverError>
}
