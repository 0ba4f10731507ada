/**
 * Two looks at a session that nobody touches, and what they say of the inputs that wait in it.
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
  /** it could be run at once, and drives the session */
  readonly due: boolean
}

/** A live loop that runs nothing, and what waits beside it, the next one first. @since 0.1.0 @category models */
export interface Look {
  /** runs that have begun in the session so far */
  readonly runs: number
  readonly waiting: ReadonlyArray<Waiting>
}

type Seen = Pick<
  SpineSnapshot,
  "attachmentLive" | "currentRunId" | "queue" | "registration" | "state" | "steer"
>

/** Whether the input has the session run: what is held, and the progress of a peer, only rides along. @since 0.1.0 @category guards */
export const drives = (state: SpineSnapshot["state"], { hold, kind }: Pick<InputState, "hold" | "kind">): boolean =>
  state === "retired" || (!hold && kind !== "peer_response_progress")

/** Null where no loop is, or where something runs: nothing has to be taken up then. @since 0.1.0 @category constructors */
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

/** Whether something waits that could be run at once. @since 0.1.0 @category guards */
export const isOwed = (seen: Look | null): boolean => seen !== null && seen.waiting.some(({ due }) => due)

/**
 * What was due at both looks and was not tried between them, although nothing ran and nothing before it moved. What
 * comes or goes behind it is no excuse.
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
