/**
 * The state that a session is seen in: reads, snapshots and events of state changes use it.
 *
 * @since 0.1.0
 */
import type { RuntimeState } from "../../src/domain/RuntimeState.js"
import { visible } from "../../src/domain/RuntimeState.js"
import type { SessionState } from "../../src/domain/SessionState.js"
import type { Entry } from "./entry.js"
import { attachmentOf } from "./transitions.js"

/**
 * The state that reads report. A session that must be reloaded and has neither loop nor run left is `idle`: what its
 * incarnation last published names a loop that is gone, and nothing can change that state any more.
 */
export const visibleOf = (
  { authority, state }: Entry,
  { lifecycle }: SessionState = authority.unsafeState()
): RuntimeState => {
  const seen = visible(lifecycle)
  if (seen !== "attached" && seen !== "running") return seen
  const current = state.unsafeGet()
  const isDead = authority.unsafeHealth()._tag === "ReloadRequired" && attachmentOf(current) === null &&
    current.guest === null
  return isDead ? "idle" : seen
}
