/**
 * What a machine holds beyond the life of one incarnation: the budget of kept results, and what it knows of runs whose
 * rows an incarnation left staged in the store.
 *
 * `MachineAuthorityLive` makes one of each. An authority writes to them when it ends; the next opening of its session
 * reads them. All access is synchronous, and both are bounded.
 *
 * @since 0.1.0
 */
import type { InputId, RunId, SessionId } from "../../src/domain/Ids.js"
import type { RuntimeCommit } from "../../src/domain/RuntimeCommit.js"
import type { SessionState } from "../../src/domain/SessionState.js"
import * as Ledger from "../../src/kernel/Ledger.js"
import type { Remembered } from "../../src/kernel/opening.js"
import * as Recent from "./recent.js"

/** Bytes of results that wait for the store, over all sessions of a machine. */
export interface Budget {
  /** false when the bytes do not fit any more; then nothing is taken */
  readonly take: (bytes: number) => boolean
  readonly give: (bytes: number) => void
}

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

/** Sessions whose runs are remembered; beyond them the oldest is forgotten, and its next opening charges a crash. */
const maxSessions = 10_000

export type Memory = Recent.Recent<SessionId, Remembered>

export const memory = (): Memory => Recent.make(maxSessions)

/** The runs that a commit stages inputs for. */
export const runsOf = ({ inputs }: RuntimeCommit): ReadonlyArray<RunId> =>
  inputs.flatMap((put) => {
    const facts = put._tag === "Insert" ? put.record : put._tag === "Update" ? put.facts : null
    return facts?.status.type === "staged" ? [facts.status.runId] : []
  })

/**
 * What a state that ends here leaves behind: runs whose inputs may be staged in the store although this process lives,
 * and inputs whose run was cancelled and has not been settled. Null when it leaves nothing.
 */
export const leftBy = (state: SessionState, lost: Iterable<RunId>): Remembered | null => {
  const runs = new Set<RunId>(lost)
  const cancelled = new Set<InputId>()
  for (const { status } of Ledger.staged(state.ledger)) if (status.type === "staged") runs.add(status.runId)
  const { lifecycle } = state
  if (lifecycle._tag === "Running" && lifecycle.cancel !== null) lifecycle.inputIds.forEach((id) => cancelled.add(id))
  return runs.size + cancelled.size === 0 ? null : { runs, cancelled }
}
