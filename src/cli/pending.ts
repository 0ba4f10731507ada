/** @since 0.1.0 */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Completion, MeerkatMachineService, SessionFeed } from "../../services/MeerkatMachine.js"
import type { RuntimeStore } from "../../services/RuntimeStore.js"
import type { CompletionOutcome } from "../domain/Completion.js"
import type { RuntimeDriverError } from "../domain/Errors.js"
import { type InputId, runtimeIdOf, type SessionId } from "../domain/Ids.js"
import type { ReadError } from "../domain/StoreErrors.js"
import { drives } from "../kernel/selection.js"
import type { Ended } from "./report.js"

/** An open input of a registered session. @since 0.1.0 @category models */
export interface Open extends Completion {
  /** it makes a live loop run; else it only goes along with others, and may wait for ever */
  readonly drives: boolean
}

/** What registering found of what was open in the store. @since 0.1.0 @category models */
export interface Found {
  /** it has ended by the registration */
  readonly gone: ReadonlyArray<Ended>
  readonly open: ReadonlyArray<Open>
}

/**
 * Registers a session: what was open in the store, in the order of admission. Registering gives up an input whose process
 * died under it too often: that is an end like any other, and somebody waits to hear of it.
 *
 * @since 0.1.0
 * @category accessors
 */
export const register = (
  machine: MeerkatMachineService,
  store: RuntimeStore["Type"],
  sessionId: SessionId
): Effect.Effect<Found, RuntimeDriverError | ReadError> =>
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
        Option.map((outcome): Ended => ({ sessionId, inputId, outcome }))
      ))
    return { gone: ends.flatMap(Option.toArray), open }
  })

/**
 * How an input has ended, once nothing is left that would take it along; none if it is open. What its waiter was told comes
 * first: an end that could not be stored is known nowhere else.
 *
 * @since 0.1.0
 * @category accessors
 */
export const ended = (
  machine: MeerkatMachineService,
  sessionId: SessionId,
  inputId: InputId,
  waiter: Fiber.Fiber<CompletionOutcome>
): Effect.Effect<Option.Option<CompletionOutcome>, RuntimeDriverError> =>
  // those who wait for ends of the same moment are woken one after the other
  Effect.zipRight(Effect.yieldNow(), waiter.poll).pipe(
    Effect.flatMap(Option.match({
      onNone: () => machine.outcome(sessionId, inputId),
      onSome: (exit) => Effect.asSome(exit)
    }))
  )

// --- internal ---

/** Damage to what ended long ago is no matter here, and there may be much of it. */
const openIn = (store: RuntimeStore["Type"], sessionId: SessionId) =>
  Effect.map(
    Stream.runCollect(store.inputs(runtimeIdOf(sessionId), { openOnly: true })),
    (open) => Array.from(open, ({ inputId }) => inputId)
  )

/** A first command adds the wake that is due for background work: it may take along what does not drive. */
const pendingOf = (machine: MeerkatMachineService, sessionId: SessionId) =>
  Effect.gen(function*() {
    const retired = (yield* machine.runtimeState(sessionId)) === "retired"
    const openOf = (ids: ReadonlyArray<InputId>) =>
      Effect.map(
        Effect.forEach(ids, (inputId) => openInput(machine, sessionId, inputId, retired)),
        (found) => found.flatMap(Option.toArray)
      )
    const first = yield* machine.listActiveInputs(sessionId)
    const known = yield* openOf(first)
    const before = new Set(first)
    const added = yield* machine.listActiveInputs(sessionId)
    return [...known, ...(yield* openOf(added.filter((inputId) => !before.has(inputId))))]
  })

/** Offering an open input a second time changes nothing and gives its completion. */
const openInput = (machine: MeerkatMachineService, sessionId: SessionId, inputId: InputId, retired: boolean) =>
  Effect.gen(function*() {
    const state = Option.getOrUndefined(yield* machine.inputState(sessionId, inputId))
    if (state?.input === undefined) return Option.none<Open>()
    const completion = yield* machine.acceptInputWithCompletion(sessionId, state.input).pipe(
      Effect.map((again) => again.completion),
      // a retired session takes nothing, not even what it has
      Effect.catchTag("NotReady", () => Effect.succeedSome(watched(machine, sessionId, inputId)))
    )
    return Option.map(completion, (known): Open => ({ ...known, drives: drives(state, retired) }))
  })

/** The end of an input as the session's events tell it. */
const watched = (machine: MeerkatMachineService, sessionId: SessionId, inputId: InputId): Completion => ({
  inputId,
  wait: machine.runtimeEvents(sessionId).pipe(
    Stream.mapEffect((feed) => endIn(machine, sessionId, inputId, feed)),
    Stream.filterMap((end) => end),
    Stream.runHead,
    Effect.map(Option.getOrElse(() => unknownEnd("the session was left"))),
    Effect.catchAll((error) => Effect.succeed(unknownEnd(error.message)))
  )
})

const unknownEnd = (reason: string): CompletionOutcome => ({ _tag: "RuntimeTerminated", reason })

const endIn = (machine: MeerkatMachineService, sessionId: SessionId, inputId: InputId, feed: SessionFeed) => {
  if (feed._tag !== "Event") return machine.outcome(sessionId, inputId)
  const { event } = feed.envelope
  return Effect.succeed(
    event._tag === "InputEnded" && event.inputId === inputId ? Option.some(event.outcome) : Option.none()
  )
}
