/** @since 0.1.0 */
import * as Effect from "effect/Effect"
import type { RuntimeDriverError } from "../../src/domain/Errors.js"
import { Destroyed, sessionGone } from "../../src/domain/Errors.js"
import { reloadRequired } from "./driverError.js"
import type { Entry } from "./entry.js"

/** Nothing may begin in a session that is over, or about to be. */
export const usable = (entry: Entry): Effect.Effect<void, RuntimeDriverError> =>
  Effect.flatMap(entry.authority.health, (health): Effect.Effect<void, RuntimeDriverError> => {
    const { sessionId } = entry
    const { lifecycle, registration } = entry.authority.unsafeState()
    if (lifecycle._tag === "Destroyed") return Effect.fail(new Destroyed({ sessionId }))
    if (entry.removed || entry.closing !== null || registration._tag === "Draining") {
      return Effect.fail(sessionGone(sessionId))
    }
    return health._tag === "ReloadRequired" ? Effect.fail(reloadRequired(sessionId, health.reason)) : Effect.void
  })
