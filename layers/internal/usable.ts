/**
 * Whether a session can be used, and as what it is seen.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { RuntimeDriverError } from "../../src/domain/Errors.js"
import { Destroyed, sessionGone } from "../../src/domain/Errors.js"
import type { RuntimeState } from "../../src/domain/RuntimeState.js"
import { visible } from "../../src/domain/RuntimeState.js"
import type { SessionState } from "../../src/domain/SessionState.js"
import { reloadRequired } from "./driverError.js"
import type { Entry } from "./entry.js"

/** Why nothing may begin in a session that is over, or about to be; null as long as it may. */
export const unusable = (entry: Entry): RuntimeDriverError | null => {
  const { authority, sessionId } = entry
  const { lifecycle, registration } = authority.unsafeState()
  const health = authority.unsafeHealth()
  if (lifecycle._tag === "Destroyed") return new Destroyed({ sessionId })
  if (entry.removed || entry.closing !== null || registration._tag === "Draining") return sessionGone(sessionId)
  return health._tag === "ReloadRequired" ? reloadRequired(sessionId, health.reason) : null
}

export const usable = (entry: Entry): Effect.Effect<void, RuntimeDriverError> =>
  Effect.suspend(() => {
    const refused = unusable(entry)
    return refused === null ? Effect.void : Effect.fail(refused)
  })

/**
 * The state that reads report. A session that must be reloaded and has neither loop nor run left is `idle`: what its
 * incarnation last published names a loop that is gone, and nothing can change that state any more.
 */
export const visibleOf = (
  { attachment, authority, guest }: Entry,
  { lifecycle }: SessionState = authority.unsafeState()
): RuntimeState => {
  const state = visible(lifecycle)
  const isDead = authority.unsafeHealth()._tag === "ReloadRequired" && attachment === null && guest === null
  return isDead && (state === "attached" || state === "running") ? "idle" : state
}
