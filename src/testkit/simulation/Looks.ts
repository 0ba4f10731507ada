/**
 * Compares two observations of a session without traffic, to find inputs that should have run. The audit takes them.
 *
 * @since 0.1.0
 */
import type { SpineSnapshot } from "../../../services/MeerkatMachine.js"
import type { InputId } from "../../domain/Ids.js"
import type { InputState } from "../../domain/InputRecord.js"

/** An input in a lane. @since 0.1.0 @category models */
export interface Waiting {
  readonly inputId: InputId
  readonly attempts: number
  /** it could run at once and drives the session */
  readonly due: boolean
}

/** A live loop without a run, and the waiting inputs in their order. @since 0.1.0 @category models */
export interface Look {
  /** how many runs have begun in the session so far */
  readonly runs: number
  readonly waiting: ReadonlyArray<Waiting>
}

type Seen = Pick<
  SpineSnapshot,
  "attachmentLive" | "currentRunId" | "queue" | "registration" | "state" | "steer"
>

/**
 * True if the input makes a loop run. Held inputs and progress reports only ride along.
 *
 * @since 0.1.0
 * @category guards
 */
export const drives = (state: SpineSnapshot["state"], { hold, kind }: Pick<InputState, "hold" | "kind">): boolean =>
  state === "retired" || (!hold && kind !== "peer_response_progress")

/**
 * Makes a look; null without a loop or during a run, because then no input needs to start.
 *
 * @since 0.1.0
 * @category constructors
 */
export const look = (seen: Seen, now: number, runs: number): Look | null => {
  const { attachmentLive, currentRunId, queue, registration, state, steer } = seen
  if (!attachmentLive || currentRunId !== null || registration === "Draining") return null
  const waiting = [...steer, ...queue].map((input) => ({
    inputId: input.inputId,
    attempts: input.attempts,
    due: (input.notBefore ?? 0) <= now && drives(state, input)
  }))
  return { runs, waiting }
}

/** True if a waiting input could run at once. @since 0.1.0 @category guards */
export const isOwed = (seen: Look | null): boolean => seen !== null && seen.waiting.some(({ due }) => due)

/**
 * Returns the inputs that were due at both looks and not tried in between, while nothing ran and no earlier input
 * moved. Changes of later inputs do not matter.
 *
 * @since 0.1.0
 * @category accessors
 */
export const stranded = (before: Look | null, after: Look | null): ReadonlyArray<Waiting> => {
  if (before === null || after === null || before.runs !== after.runs) return []
  const still = new Map(after.waiting.map((input) => [input.inputId, input] as const))
  const same = ({ attempts, inputId }: Waiting) => still.get(inputId)?.attempts === attempts
  const moved = before.waiting.findIndex((input) => !same(input))
  return before.waiting
    .slice(0, moved < 0 ? before.waiting.length : moved)
    .filter(({ due, inputId }) => due && still.get(inputId)?.due === true)
}
