/**
 * What a machine keeps longer than one incarnation of a session: the budget of kept results, and the memory of runs whose
 * rows an ended incarnation left staged in the store.
 *
 * `MachineAuthorityLive` makes one of each. An authority writes to the memory when it ends; the next opening of its
 * session reads it. All access is synchronous, and both are bounded.
 *
 * @since 0.1.0
 */
import type { InputId, RunId, SessionId } from "../../src/domain/Ids.js"
import type { RuntimeCommit } from "../../src/domain/RuntimeCommit.js"
import type { SessionState } from "../../src/domain/SessionState.js"
import * as Ledger from "../../src/kernel/Ledger.js"
import type { Remembered } from "../../src/kernel/opening.js"
import * as Recent from "./recent.js"

/** The bytes of results that wait for the store, in all sessions of a machine. */
export interface Budget {
  /** takes the bytes; returns false and takes nothing if they exceed the limit */
  readonly take: (bytes: number) => boolean
  /** returns bytes that were taken */
  readonly give: (bytes: number) => void
}

/** Makes an unused budget. */
export const budget = (limit: number): Budget => {
  let taken = 0
  return {
    take: (bytes) => {
      if (taken + bytes > limit) return false
      taken += bytes
      return true
    },
    give: (bytes) => {
      taken -= bytes
    }
  }
}

/** The number of sessions whose runs are remembered. Above it the oldest is forgotten: its next opening charges a crash. */
const maxSessions = 10_000

/** What is remembered, by session. */
export type Memory = Recent.Recent<SessionId, Remembered>

/** Makes an empty memory. */
export const memory = (): Memory => Recent.make(maxSessions)

/** Returns the runs that a commit stages inputs for. */
export const runsOf = ({ inputs }: RuntimeCommit): ReadonlyArray<RunId> =>
  inputs.flatMap((put) => {
    const facts = put._tag === "Insert" ? put.record : put._tag === "Update" ? put.facts : null
    return facts?.status.type === "staged" ? [facts.status.runId] : []
  })

/**
 * Returns what the next incarnation must know of the last state: runs whose inputs may be staged in the store although
 * the process did not crash, and inputs of a cancelled run that was not settled. Null if there is neither.
 */
export const leftBy = (state: SessionState, lost: Iterable<RunId>): Remembered | null => {
  const runs = new Set<RunId>(lost)
  const cancelled = new Set<InputId>()
  for (const { status } of Ledger.staged(state.ledger)) if (status.type === "staged") runs.add(status.runId)
  const { lifecycle } = state
  if (lifecycle._tag === "Running" && lifecycle.cancel !== null) lifecycle.inputIds.forEach((id) => cancelled.add(id))
  return runs.size + cancelled.size === 0 ? null : { runs, cancelled }
}
