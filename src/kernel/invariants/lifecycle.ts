/**
 * Invariants of lifecycle, run and registration. Today's types rule some violations out. The checks stay, so that a
 * change of the types is held to the same conditions.
 *
 * @since 0.1.0
 */
import { runtimeIdOf } from "../../domain/Ids.js"
import type { Lifecycle } from "../../domain/RuntimeState.js"
import type { SessionState } from "../../domain/SessionState.js"
import { isRetired } from "../selection.js"
import type { Invariant } from "./invariant.js"
import { when } from "./invariant.js"

/** The invariants, checked by `violations`. @since 0.1.0 @category invariants */
export const lifecycleInvariants: ReadonlyArray<Invariant> = [
  {
    id: "P1",
    says: "run id and return phase are both present or both absent",
    check: ({ lifecycle }) => when(has(lifecycle, "runId") !== has(lifecycle, "returnTo"), "one without the other")
  },
  {
    id: "P2",
    says: "a session is running exactly while it has a run",
    check: ({ lifecycle }) =>
      when((lifecycle._tag === "Running") !== has(lifecycle, "runId"), `a run id that does not fit ${lifecycle._tag}`)
  },
  {
    id: "P3",
    says: "idle, attached, retired, stopped and destroyed sessions have no run",
    check: ({ lifecycle }) =>
      when(lifecycle._tag !== "Running" && has(lifecycle, "runId"), `a run in a session that is ${lifecycle._tag}`)
  },
  {
    id: "P4",
    says: "a session without a run has nothing of a turn: owner, contributors, receipts, requests",
    check: ({ lifecycle }) =>
      lifecycle._tag === "Running"
        ? []
        : ofTurn.flatMap((key) => when(has(lifecycle, key), `${key} in a session that is ${lifecycle._tag}`))
  },
  {
    id: "P5",
    says: "an attached session has a loop, and so has a run that returns to attached",
    check: (state) => withoutLoop(state)
  },
  {
    id: "P6",
    says: "a binding has a fence and belongs to this session's runtime",
    check: ({ binding, runtimeId, sessionId }) => [
      ...when(runtimeId !== runtimeIdOf(sessionId), `the runtime id ${runtimeId} is another session's`),
      ...when(binding !== null && !isCount(binding.fence), "a binding without a fence")
    ]
  },
  {
    id: "P7",
    says:
      "a loop is live only in attached, running and retired; stopped and destroyed sessions have no attachment under way",
    check: (state) => [...strayLoop(state), ...strayAttachment(state)]
  },
  {
    id: "D5",
    says: "a loop drains exactly while its session is retired",
    check: (state) =>
      when(
        state.registration._tag === "Active" && state.registration.drainOnly !== isRetired(state),
        "a drain-only loop in an unretired session, or another loop in a retired session"
      )
  }
]

// --- internal ---

const ofTurn = ["owner", "inputIds", "sequence", "startedAt", "cancel", "yieldRequest"] as const

const has = (lifecycle: Lifecycle, key: string): boolean => key in lifecycle

const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 0

/** A loop that is being taken down stays part of the lifecycle until it reports its end. */
const withoutLoop = ({ lifecycle, registration }: SessionState): ReadonlyArray<string> => {
  const gone = registration._tag === "Queuing" || registration._tag === "Attaching"
  switch (lifecycle._tag) {
    case "Attached":
      return when(gone || (registration._tag === "Draining" && registration.token === null), "attached without a loop")
    case "Running":
      return when(lifecycle.returnTo === "Attached" && gone, "a run returns to a loop that is gone")
    default:
      return []
  }
}

const strayLoop = ({ lifecycle, registration }: SessionState): ReadonlyArray<string> => {
  if (registration._tag !== "Active") return []
  switch (lifecycle._tag) {
    case "Attached":
    case "Retired":
      return []
    case "Running":
      return when(lifecycle.returnTo === "Idle", "a run returns to idle beside a live loop")
    default:
      return [`a live loop beside ${lifecycle._tag}`]
  }
}

const strayAttachment = ({ lifecycle, registration }: SessionState): ReadonlyArray<string> =>
  when(
    registration._tag === "Attaching" &&
      (lifecycle._tag === "Stopped" || lifecycle._tag === "Destroyed" || lifecycle._tag === "Attached"),
    `an attachment under way beside ${lifecycle._tag}`
  )
