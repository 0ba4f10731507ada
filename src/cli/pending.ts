/** @since 0.1.0 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Completion, MeerkatMachineService } from "../../services/MeerkatMachine.js"
import type { CompletionOutcome } from "../domain/Completion.js"
import type { RuntimeDriverError } from "../domain/Errors.js"
import type { InputId, SessionId } from "../domain/Ids.js"

/**
 * The open inputs of a registered session in the order of their admission, each with its end. Offering an open input a
 * second time changes nothing and gives its completion.
 *
 * @since 0.1.0
 * @category accessors
 */
export const pendingOf = (
  machine: MeerkatMachineService,
  sessionId: SessionId
): Effect.Effect<ReadonlyArray<Completion>, RuntimeDriverError> =>
  Effect.flatMap(machine.listActiveInputs(sessionId), (ids) =>
    Effect.map(
      Effect.forEach(ids, (id) => completionOf(machine, sessionId, id)),
      (found) => found.flatMap(Option.toArray)
    ))

/** How an input ended, also when it ended meanwhile. @since 0.1.0 @category accessors */
export const ended = (
  machine: MeerkatMachineService,
  sessionId: SessionId,
  inputId: InputId
): Effect.Effect<Option.Option<CompletionOutcome>> =>
  Effect.orElseSucceed(machine.outcome(sessionId, inputId), () => Option.none())

// --- internal ---

const completionOf = (machine: MeerkatMachineService, sessionId: SessionId, inputId: InputId) =>
  Effect.gen(function*() {
    const state = yield* machine.inputState(sessionId, inputId)
    const input = Option.flatMapNullable(state, (known) => known.input)
    if (Option.isNone(input)) return Option.none<Completion>()
    const again = yield* machine.acceptInputWithCompletion(sessionId, input.value)
    return again.completion
  })
