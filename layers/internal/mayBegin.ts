/**
 * Whether something may begin in a session: the one place that decides it.
 *
 * Each kind of beginning has an ordered list of guards; the first guard that applies names the error. The guards read the
 * presence and the slot of the entry, and the published state and the health of its authority, in one step.
 *
 * Callers ask immediately before they begin. What is in progress already is ended by its owner, not by these guards.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { Buffer } from "node:buffer"
import type { RuntimeDriverError } from "../../src/domain/Errors.js"
import { Destroyed, NotReady, sessionGone } from "../../src/domain/Errors.js"
import { visible } from "../../src/domain/RuntimeState.js"
import { invalid, reloadRequired } from "./driverError.js"
import type { Entry } from "./entry.js"
import type { Check } from "./stored.js"
import { attachmentOf, isSealed } from "./transitions.js"

/** Null as long as the guard does not apply. */
type Guard = (entry: Entry) => RuntimeDriverError | null

/** Whether the session is being unregistered, or a teardown of it failed or is complete. */
export const isLeaving = ({ authority, state }: Entry): boolean =>
  state.unsafeGet().presence._tag !== "Open" || authority.unsafeState().registration._tag === "Draining"

/** Whether a stop or a destroy has taken the session's loop over. */
const isEnding = ({ state }: Entry): boolean => {
  const attachment = attachmentOf(state.unsafeGet())
  return attachment !== null && attachment.phase.unsafeGet().ending !== "none"
}

const destroyed: Guard = ({ authority, sessionId }) =>
  authority.unsafeState().lifecycle._tag === "Destroyed" ? new Destroyed({ sessionId }) : null

const leaving: Guard = (entry) => isLeaving(entry) ? sessionGone(entry.sessionId) : null

const reload: Guard = ({ authority, sessionId }) => {
  const health = authority.unsafeHealth()
  return health._tag === "ReloadRequired" ? reloadRequired(sessionId, health.reason) : null
}

const notStopped: Guard = ({ authority, sessionId }) => {
  const { lifecycle } = authority.unsafeState()
  return lifecycle._tag === "Stopped"
    ? new NotReady({ state: visible(lifecycle), detail: `session "${sessionId}" is stopped` })
    : null
}

/** A second stop gets the same error before and after the end of the first one. */
export const stoppedAlready: Guard = ({ authority, sessionId }) =>
  authority.unsafeState().lifecycle._tag === "Stopped"
    ? invalid({ _tag: "Conflict", detail: `session "${sessionId}" is stopped already` })
    : null

const endingAlready: Guard = (entry) =>
  isEnding(entry) ? invalid({ _tag: "Conflict", detail: `session "${entry.sessionId}" is being ended already` }) : null

const noTurn: Guard = (entry) =>
  isEnding(entry)
    ? new NotReady({
      state: visible(entry.authority.unsafeState().lifecycle),
      detail: `session "${entry.sessionId}" is being ended: no turn begins`
    })
    : null

const sealed: Guard = ({ sessionId, state }) => isSealed(state.unsafeGet()) ? sessionGone(sessionId) : null

const guards = {
  /** a call that uses the live session */
  call: [destroyed, leaving, reload],
  /** an executor is attached */
  attach: [destroyed, leaving, reload, notStopped],
  /** the run slot goes to a service turn; the kernel decides about everything else */
  turn: [noTurn],
  /** a caller's fiber begins the work of its run */
  run: [leaving],
  stop: [stoppedAlready, endingAlready],
  /** a change of an operation is decided */
  operation: [sealed]
} satisfies Record<string, ReadonlyArray<Guard>>

/** What may begin. */
export type Beginning = keyof typeof guards

/** Right when `what` may begin in this session now; else the error of the first guard that applies. */
export const mayBegin = (entry: Entry, what: Beginning): Either.Either<void, RuntimeDriverError> => {
  for (const guard of guards[what]) {
    const refused = guard(entry)
    if (refused !== null) return Either.left(refused)
  }
  return Either.void
}

/**
 * Checks a value that a caller gives a session to be stored. Fails `InvalidInput`; a session that is gone says so first,
 * whatever the value is.
 */
export const given = <A>(
  entry: Entry,
  check: Check<A>,
  value: unknown,
  what: string
): Effect.Effect<A, RuntimeDriverError> =>
  Either.match(check(value), {
    onLeft: (detail) =>
      Effect.zipRight(
        Effect.suspend(() => mayBegin(entry, "call")),
        Effect.fail(invalid({ _tag: "InvalidInput", detail: `not ${what}: ${detail}` }))
      ),
    onRight: Effect.succeed
  })

/** The same for documents that are stored whole: fails `TooLarge` beyond `limit` bytes of JSON. */
export const givenWithin = <A>(
  limit: number,
  entry: Entry,
  check: Check<A>,
  value: unknown,
  what: string
): Effect.Effect<A, RuntimeDriverError> =>
  Effect.filterOrElse(
    given(entry, check, value, what),
    (checked) => bytesOf(checked) <= limit,
    (checked) => Effect.fail(invalid({ _tag: "TooLarge", bytes: bytesOf(checked), limit }))
  )

// --- internal ---

const bytesOf = (value: unknown): number => Buffer.byteLength(JSON.stringify(value))
