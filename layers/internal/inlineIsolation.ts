/**
 * Isolation for inline runs of inputs that were charged with a crash. A caller that repeats `acceptInputAndRun` after a
 * crash runs the stored input. `inlineRun` calls this module.
 *
 * Invariant: such a run holds the clearance that it needs, as in a run loop. An input without a charge costs only a
 * look-up of its record.
 */
import * as Effect from "effect/Effect"
import type { IsolationPass } from "../../services/RuntimeLoop.js"
import type { InputId, RunId } from "../../src/domain/Ids.js"
import type { Clearance } from "../../src/domain/RuntimeState.js"
import { runOf } from "../../src/kernel/facts.js"
import * as Ledger from "../../src/kernel/Ledger.js"
import { clearanceOf } from "../../src/kernel/suspicion.js"
import type { Entry } from "./entry.js"
import type { MachineParts } from "./machineParts.js"
import { isLeaving } from "./mayBegin.js"
import { firstOf } from "./race.js"
import { releasedWith } from "./releasedWith.js"

/** The clearance that the call needs; "none" also if the session would refuse the call. */
const wantedOf = (parts: MachineParts, entry: Entry, inputId: InputId): Clearance => {
  const { ledger, lifecycle } = entry.authority.unsafeState()
  const record = Ledger.get(ledger, inputId)
  if (record === undefined || record.status.type !== "queued") return "none"
  if (lifecycle._tag !== "Idle" || isLeaving(entry)) return "none"
  return entry.authority.unsafeHealth()._tag === "Ready" ? clearanceOf(record, parts.config) : "none"
}

/** Waits for the turn of the input. Ends early if the session would now refuse the call. */
const cleared = (
  parts: MachineParts,
  entry: Entry,
  inputId: InputId,
  pass: IsolationPass
): Effect.Effect<void> =>
  Effect.suspend(() => {
    const state = entry.authority.unsafeState()
    const wanted = wantedOf(parts, entry, inputId)
    if (wanted === "none" || pass.take(wanted)) return Effect.void
    return Effect.zipRight(
      firstOf(pass.turn, entry.authority.changedFrom(state)),
      cleared(parts, entry, inputId, pass)
    )
  })

/** Waits for the clearance that the input needs, then runs with it. Only the wait can be interrupted. */
export const isolated = <A, E, R>(
  parts: MachineParts,
  entry: Entry,
  { inputId, runId }: { readonly inputId: InputId; readonly runId: RunId },
  restore: <B, F>(effect: Effect.Effect<B, F>) => Effect.Effect<B, F>,
  run: (clearance: Clearance) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    if (wantedOf(parts, entry, inputId) === "none") return run("none")
    const pass = parts.attachments.isolation.pass()
    let begun = false
    return restore(cleared(parts, entry, inputId, pass)).pipe(
      Effect.flatMap(() =>
        releasedWith(entry.authority, pass, (state) => {
          const runs = runOf(state, runId) !== undefined
          begun ||= runs
          return begun && !runs
        }, Effect.suspend(() => run(pass.held())))
      ),
      Effect.ensuring(Effect.sync(pass.release))
    )
  })
