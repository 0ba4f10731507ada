/**
 * Ties the clearance of a run to the published state of its session. `granted` and `inlineIsolation` call this module.
 * Invariant: the clearance is released exactly once.
 */
import * as Effect from "effect/Effect"
import type { SessionAuthority } from "../../services/MachineAuthority.js"
import type { IsolationPass } from "../../services/RuntimeLoop.js"
import type { SessionState } from "../../src/domain/SessionState.js"

/**
 * Runs `run` and releases the clearance. It releases as soon as the session publishes a state in which the run is over,
 * or must be reloaded; at the latest when `run` ends.
 */
export const releasedWith = <A, E, R>(
  authority: SessionAuthority,
  pass: IsolationPass,
  isOver: (state: SessionState) => boolean,
  run: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    let held = true
    const release = () => {
      if (!held) return
      held = false
      pass.release()
    }
    const look = (state: SessionState) => {
      if (isOver(state) || authority.unsafeHealth()._tag === "ReloadRequired") release()
    }
    const unwatch = authority.onPublish(look)
    look(authority.unsafeState())
    return Effect.ensuring(
      run,
      Effect.sync(() => {
        unwatch()
        release()
      })
    )
  })
