/**
 * Decides what a run loop may stage next, and holds the loop's clearance of the machine's isolation. One per run loop.
 *
 * Invariants:
 * - A session without charged inputs never uses the isolation: its turns cost one comparison per input.
 * - The loop holds the clearance from before the staging until the session publishes the end of the run. So the clearance
 *   is free as soon as no row is staged, even if the executor ignores its interruption.
 * - While a suspect waits, its session runs other inputs, until the suspect was passed over once (`isDue`).
 */
import * as Effect from "effect/Effect"
import type { IsolationPass, LoopOptions } from "../../services/RuntimeLoop.js"
import type { StagedRun } from "../../src/domain/Command.js"
import type { Clearance } from "../../src/domain/RuntimeState.js"
import type { SessionState } from "../../src/domain/SessionState.js"
import { runOf } from "../../src/kernel/facts.js"
import { selectBatch } from "../../src/kernel/selection.js"
import type { CrashLimits } from "../../src/kernel/suspicion.js"
import { clearanceOfBatch } from "../../src/kernel/suspicion.js"
import { releasedWith } from "./releasedWith.js"

/** The clearances of one run loop. */
export interface Granted {
  /** returns the clearance to stage the next batch with; null when no batch may run now */
  readonly forNext: (state: SessionState, now: number) => Clearance | null
  /** the session may run nothing now: returns a held clearance, but keeps a place in the line */
  readonly forNothing: () => null
  /** runs a batch that was staged with a clearance, and returns the clearance when the run is over */
  readonly during: <E>(staged: StagedRun | null, run: Effect.Effect<void, E>) => Effect.Effect<void, E>
  /** whether the session waits for the clearance that it asked for last */
  readonly waits: () => boolean
  readonly turn: Effect.Effect<void>
  readonly release: () => void
}

/** Makes the clearances of a loop. */
export const make = (
  limits: CrashLimits,
  { authority, isolation }: Pick<LoopOptions, "authority" | "isolation">
): Granted => {
  let pass: IsolationPass | null = null
  let waits = false

  /** A session that runs an uncharged input returns its clearance, so that it does not block other sessions. */
  const forNothing = () => {
    waits = false
    if (pass !== null && pass.held() !== "none") pass.release()
    return null
  }

  const forNext = (state: SessionState, now: number): Clearance | null => {
    const next = selectBatch(state, now, limits, "alone")
    const wanted = clearanceOfBatch(next, limits)
    if (wanted === "none") {
      forNothing()
      return next.length === 0 ? null : "none"
    }
    pass ??= isolation.pass()
    waits = !pass.take(wanted)
    if (!waits) return wanted
    return pass.isDue() || selectBatch(state, now, limits, "none").length === 0 ? null : "none"
  }

  return {
    forNext,
    forNothing,
    during: (staged, run) =>
      Effect.suspend(() => {
        if (pass === null) return run
        // another input may have become the first since the clearance was taken
        if (staged === null || clearanceOfBatch(staged.records, limits) === "none") {
          pass.release()
          return run
        }
        return releasedWith(authority, pass, (state) => runOf(state, staged.runId) === undefined, run)
      }),
    waits: () => waits,
    turn: Effect.suspend(() => pass === null ? Effect.void : pass.turn),
    release: () => pass?.release()
  }
}
