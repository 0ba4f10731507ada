/**
 * The open inputs of a session that the CLI registers, and how they end. `run`, `send` and `resume` call it.
 *
 * @since 0.1.0
 */
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
  /** true: it makes a live loop run; false: it only rides along and may wait without end */
  readonly drives: boolean
}

/** The formerly open inputs of a session after its registration. @since 0.1.0 @category models */
export interface Found {
  /** inputs that the registration ended */
  readonly gone: ReadonlyArray<Ended>
  readonly open: ReadonlyArray<Open>
}

/**
 * Registers a session and returns the inputs that were open in the store, in the order of admission. The registration
 * abandons an input whose process died too often during its runs. That outcome is reported like any other.
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
    // the registration gives the better error for a broken session
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
 * Returns the outcome of an input once nothing is left that would run it; none if it is open. The waiter's outcome
 * comes first: only the waiter knows an end that could not be stored.
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
  // waiters of simultaneous ends wake one after the other, so give this one its turn
  Effect.zipRight(Effect.yieldNow(), waiter.poll).pipe(
    Effect.flatMap(Option.match({
      onNone: () => machine.outcome(sessionId, inputId),
      onSome: (exit) => Effect.asSome(exit)
    }))
  )

// --- internal ---

/** Reads open inputs only: damage of old inputs does not matter here, and they may be many. */
const openIn = (store: RuntimeStore["Type"], sessionId: SessionId) =>
  Effect.map(
    Stream.runCollect(store.inputs(runtimeIdOf(sessionId), { openOnly: true })),
    (open) => Array.from(open, ({ inputId }) => inputId)
  )

/** The first command adds a due wake for background work, and its run may take along inputs that do not drive. */
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

/** Accepts an open input again: that changes nothing and returns its completion. */
const openInput = (machine: MeerkatMachineService, sessionId: SessionId, inputId: InputId, retired: boolean) =>
  Effect.gen(function*() {
    const state = Option.getOrUndefined(yield* machine.inputState(sessionId, inputId))
    if (state?.input === undefined) return Option.none<Open>()
    const completion = yield* machine.acceptInputWithCompletion(sessionId, state.input).pipe(
      Effect.map((again) => again.completion),
      // a retired session refuses every input, even its own; watch its events instead
      Effect.catchTag("NotReady", () => Effect.succeedSome(watched(machine, sessionId, inputId)))
    )
    return Option.map(completion, (known): Open => ({ ...known, drives: drives(state, retired) }))
  })

/** Waits for the outcome of an input in the session's events. */
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
