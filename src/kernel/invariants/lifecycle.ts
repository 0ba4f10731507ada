/**
 * Invariants of lifecycle, run and registration. Some of them cannot be broken in terms of the types as they are; they
 * are checked all the same, so that types which are changed are still held to them.
 *
 * @since 0.1.0
 */
import { runtimeIdOf } from "../../domain/Ids.js"
import type { Lifecycle } from "../../domain/RuntimeState.js"
import type { SessionState } from "../../domain/SessionState.js"
import { isRetired } from "../selection.js"
import type { Invariant } from "./invariant.js"
import { when } from "./invariant.js"

/** @since 0.1.0 @category invariants */
export const lifecycleInvariants: ReadonlyArray<Invariant> = [
  {
    id: "P1",
    says: "a run and the phase it returns to are known together or not at all",
    check: ({ lifecycle }) => when(has(lifecycle, "runId") !== has(lifecycle, "returnTo"), "one without the other")
  },
  {
    id: "P2",
    says: "a session is running exactly while it has a run",
    check: ({ lifecycle }) =>
      when((lifecycle._tag === "Running") !== has(lifecycle, "runId"), `a run id in ${lifecycle._tag}, or none`)
  },
  {
    id: "P3",
    says: "no run beside idle, attached, retired, stopped and destroyed",
    check: ({ lifecycle }) =>
      when(lifecycle._tag !== "Running" && has(lifecycle, "runId"), `a run in a session that is ${lifecycle._tag}`)
  },
  {
    id: "P4",
    says: "outside a run nothing is left of a turn: owner, contributors, receipts, requests",
    check: ({ lifecycle }) =>
      lifecycle._tag === "Running"
        ? []
        : ofTurn.flatMap((key) => when(has(lifecycle, key), `${key} in a session that is ${lifecycle._tag}`))
  },
  {
    id: "P5",
    says: "an attached session, and a run that returns to it, has a loop",
    check: (state) => withoutLoop(state)
  },
  {
    id: "P6",
    says: "a binding has a fence, and is that of this session's runtime",
    check: ({ binding, runtimeId, sessionId }) => [
      ...when(runtimeId !== runtimeIdOf(sessionId), `the runtime id ${runtimeId} is another session's`),
      ...when(binding !== null && !isCount(binding.fence), "a binding without a fence")
    ]
  },
  {
    id: "P7",
    says: "a loop is live only in attached, running and retired; stopped and destroyed sessions have no attachment under way",
    check: (state) => [...strayLoop(state), ...strayAttachment(state)]
  },
  {
    id: "D5",
    says: "a loop drains exactly while its session is retired",
    check: (state) =>
      when(
        state.registration._tag === "Active" && state.registration.drainOnly !== isRetired(state),
        "a loop that drains beside a session that goes on, or the other way round"
      )
  }
]

// --- internal ---

const ofTurn = ["owner", "inputIds", "sequence", "startedAt", "cancel", "yieldRequest"] as const

const has = (lifecycle: Lifecycle, key: string): boolean => key in lifecycle

const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 0

/** A loop that is being taken down is still part of the lifecycle, until it says that it has ended. */
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
    `an attachment on its way beside ${lifecycle._tag}`
  )
