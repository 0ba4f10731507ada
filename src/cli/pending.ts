/** @since 0.1.0 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Completion, MeerkatMachineService, SessionFeed } from "../../services/MeerkatMachine.js"
import type { RuntimeStore } from "../../services/RuntimeStore.js"
import type { CompletionOutcome } from "../domain/Completion.js"
import type { RuntimeDriverError } from "../domain/Errors.js"
import { type InputId, runtimeIdOf, type SessionId } from "../domain/Ids.js"
import type { ReadError } from "../domain/StoreErrors.js"

/**
 * Registers a session: what was open in the store, each input with its end, in the order of admission. Registering gives
 * up an input whose process died under it too often: that is an end like any other, and somebody waits to hear of it.
 *
 * @since 0.1.0
 * @category accessors
 */
export const register = (
  machine: MeerkatMachineService,
  store: RuntimeStore["Type"],
  sessionId: SessionId
): Effect.Effect<ReadonlyArray<Completion>, RuntimeDriverError | ReadError> =>
  Effect.gen(function*() {
    const stored = yield* Effect.either(openIn(store, sessionId))
    // what is wrong with a session is told best by its registration
    yield* machine.registerSession(sessionId)
    const open = yield* pendingOf(machine, sessionId)
    const still = new Set(open.map(({ inputId }) => inputId))
    const gone = (yield* stored).filter((inputId) => !still.has(inputId))
    const ends = yield* Effect.forEach(gone, (inputId) =>
      Effect.map(
        machine.outcome(sessionId, inputId),
        Option.map((outcome): Completion => ({ inputId, wait: Effect.succeed(outcome) }))
      ))
    return [...ends.flatMap(Option.toArray), ...open]
  })

/** How an input ended, also when it ended meanwhile. @since 0.1.0 @category accessors */
export const ended = (
  machine: MeerkatMachineService,
  sessionId: SessionId,
  inputId: InputId
): Effect.Effect<Option.Option<CompletionOutcome>> =>
  Effect.orElseSucceed(machine.outcome(sessionId, inputId), () => Option.none())

// --- internal ---

/** Inputs of a session are read only where some are open: there may be many that have ended. */
const openIn = (store: RuntimeStore["Type"], sessionId: SessionId) =>
  Effect.gen(function*() {
    const session = yield* store.session(runtimeIdOf(sessionId))
    if (Option.isNone(session) || session.value.pendingInputs === 0) return []
    const open = Stream.filter(
      store.inputs(session.value.runtimeId),
      ({ phase }) => phase === "queued" || phase === "staged"
    )
    return Array.from(yield* Stream.runCollect(open), ({ inputId }) => inputId)
  })

/** Offering an open input a second time changes nothing and gives its completion. */
const pendingOf = (machine: MeerkatMachineService, sessionId: SessionId) =>
  Effect.flatMap(machine.listActiveInputs(sessionId), (ids) =>
    Effect.map(
      Effect.forEach(ids, (id) => completionOf(machine, sessionId, id)),
      (found) => found.flatMap(Option.toArray)
    ))

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
