/**
 * Rows about the session's loop: who may attach one, which one is live, and the way down.
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

/** What the rows of this slice are given. @since 0.1.0 @category models */
export interface RegistrationTriggers {
  readonly BeginAttach: Attachment
  readonly PublishLoop: Attachment & { readonly drainOnly: boolean }
  readonly AbortAttach: Attachment
  readonly LoopEnded: Attachment
  /** the loop's claim is void, whoever holds it: the session was stopped or destroyed */
  readonly DropLoop: object
  readonly SetDrainOnly: { readonly drainOnly: boolean }
  readonly BeginUnregister: object
}

/** @since 0.1.0 @category rows */
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
    // a teardown that failed is called again and goes on where it was
    registrationRow("unregisterAgain", { from: ["Draining"] })
  ]
}

/** The token that the registration names. @since 0.1.0 @category accessors */
export const tokenOf = ({ registration }: SessionState): number | null =>
  registration._tag === "Queuing" ? null : registration.token

// --- internal ---

const queuing: Registration = { _tag: "Queuing" }

const become = (state: SessionState, registration: Registration): SessionState => ({ ...state, registration })

/** The loop is part of the lifecycle already: it ends, it is not aborted. */
const isPublished = ({ lifecycle }: SessionState): boolean =>
  lifecycle._tag === "Attached" || (lifecycle._tag === "Running" && lifecycle.returnTo === "Attached")

/** A late act of an older attachment is refused. */
const holds = (state: SessionState, { token }: Attachment): boolean => tokenOf(state) === token
