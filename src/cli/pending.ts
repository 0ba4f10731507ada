/** @since 0.1.0 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Completion, MeerkatMachineService, SessionFeed } from "../../services/MeerkatMachine.js"
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
    return yield* machine.acceptInputWithCompletion(sessionId, input.value).pipe(
      Effect.map((again) => again.completion),
      // a retired session takes nothing, not even what it has
      Effect.catchTag("NotReady", () => Effect.succeedSome(watched(machine, sessionId, inputId)))
    )
  })

/** The end of an input as the session's events tell it. */
const watched = (machine: MeerkatMachineService, sessionId: SessionId, inputId: InputId): Completion => ({
  inputId,
  wait: machine.runtimeEvents(sessionId).pipe(
    Stream.mapEffect((feed) => endIn(machine, sessionId, inputId, feed)),
    Stream.filterMap((end) => end),
    Stream.runHead,
    Effect.orElseSucceed(() => Option.none<CompletionOutcome>()),
    Effect.map(
      Option.getOrElse((): CompletionOutcome => ({ _tag: "RuntimeTerminated", reason: "the session was left" }))
    )
  )
})

const endIn = (machine: MeerkatMachineService, sessionId: SessionId, inputId: InputId, feed: SessionFeed) => {
  if (feed._tag !== "Event") return ended(machine, sessionId, inputId)
  const { event } = feed.envelope
  return Effect.succeed(
    event._tag === "InputEnded" && event.inputId === inputId ? Option.some(event.outcome) : Option.none()
  )
}
