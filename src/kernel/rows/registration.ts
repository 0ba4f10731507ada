/**
 * The registration rows: which attachment may claim the loop, which loop is live, and the teardown.
 *
 * @since 0.1.0
 */
import type { Registration } from "../../domain/RuntimeState.js"
import type { SessionState } from "../../domain/SessionState.js"
import type { Table } from "../row.js"
import { registrationRow } from "../row.js"

/** Names one attachment. @since 0.1.0 @category models */
export interface Attachment {
  readonly token: number
}

/** The triggers of this slice and their payloads. @since 0.1.0 @category models */
export interface RegistrationTriggers {
  readonly BeginAttach: Attachment
  readonly PublishLoop: Attachment & { readonly drainOnly: boolean }
  readonly AbortAttach: Attachment
  readonly LoopEnded: Attachment
  /** voids any claim on the loop, because the session was stopped or destroyed */
  readonly DropLoop: object
  readonly SetDrainOnly: { readonly drainOnly: boolean }
  readonly BeginUnregister: object
}

/** The registration rows. @since 0.1.0 @category rows */
export const registrationRows: Table<RegistrationTriggers> = {
  BeginAttach: [
    registrationRow("beginAttach", {
      from: ["Queuing"],
      to: ["Attaching"],
      update: (state, { token }) => become(state, { _tag: "Attaching", token })
    })
  ],
  PublishLoop: [
    registrationRow("publish", {
      from: ["Attaching"],
      to: ["Active"],
      guards: { token_matches: (state, payload) => holds(state, payload) },
      update: (state, { drainOnly, token }) => become(state, { _tag: "Active", token, drainOnly })
    })
  ],
  AbortAttach: [
    registrationRow("abort", {
      from: ["Attaching"],
      to: ["Queuing"],
      guards: { token_matches: (state, payload) => holds(state, payload) },
      update: (state) => become(state, queuing)
    }),
    registrationRow("abortDraining", {
      from: ["Draining"],
      guards: {
        token_matches: (state, payload) => holds(state, payload),
        not_published: (state) => !isPublished(state)
      },
      update: (state) => become(state, { _tag: "Draining", token: null })
    })
  ],
  LoopEnded: [
    registrationRow("ended", {
      from: ["Active"],
      to: ["Queuing"],
      guards: { token_matches: (state, payload) => holds(state, payload) },
      update: (state) => become(state, queuing)
    }),
    registrationRow("endedDraining", {
      from: ["Draining"],
      guards: { token_matches: (state, payload) => holds(state, payload) },
      update: (state) => become(state, { _tag: "Draining", token: null })
    })
  ],
  DropLoop: [
    registrationRow("drop", {
      from: ["Attaching", "Active"],
      to: ["Queuing"],
      update: (state) => become(state, queuing)
    }),
    registrationRow("dropNone", { from: ["Queuing"] }),
    registrationRow("dropDraining", {
      from: ["Draining"],
      update: (state) => become(state, { _tag: "Draining", token: null })
    })
  ],
  SetDrainOnly: [
    registrationRow("drainOnly", {
      from: ["Active"],
      update: (state, { drainOnly }) =>
        state.registration._tag === "Active" ? become(state, { ...state.registration, drainOnly }) : state
    }),
    registrationRow("drainOnlyNone", { from: ["Queuing", "Attaching"] })
  ],
  BeginUnregister: [
    registrationRow("beginUnregister", {
      from: ["Queuing", "Attaching", "Active"],
      to: ["Draining"],
      update: (state) => become(state, { _tag: "Draining", token: tokenOf(state) })
    }),
    // the caller repeats a teardown that failed, and it continues where it failed
    registrationRow("unregisterAgain", { from: ["Draining"] })
  ]
}

/** Returns the token that the registration holds; null without a claim. @since 0.1.0 @category accessors */
export const tokenOf = ({ registration }: SessionState): number | null =>
  registration._tag === "Queuing" ? null : registration.token

// --- internal ---

const queuing: Registration = { _tag: "Queuing" }

const become = (state: SessionState, registration: Registration): SessionState => ({ ...state, registration })

/** True if the loop is already part of the lifecycle; such a loop ends instead of being aborted. */
const isPublished = ({ lifecycle }: SessionState): boolean =>
  lifecycle._tag === "Attached" || (lifecycle._tag === "Running" && lifecycle.returnTo === "Attached")

/** False for a late call of an older attachment, which is refused. */
const holds = (state: SessionState, { token }: Attachment): boolean => tokenOf(state) === token
