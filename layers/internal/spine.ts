/** @since 0.1.0 */
import type { Health } from "../../services/MachineAuthority.js"
import type { SpineSnapshot } from "../../services/MeerkatMachine.js"
import { stateOfOpen } from "../../src/domain/InputRecord.js"
import { visible } from "../../src/domain/RuntimeState.js"
import type { SessionState } from "../../src/domain/SessionState.js"
import { violations } from "../../src/kernel/invariants.js"
import * as Ledger from "../../src/kernel/Ledger.js"
import type { Entry } from "./entry.js"

/** The read model of a live session. */
export const snapshotOf = (
  entry: Entry,
  state: SessionState,
  health: Health,
  driver: SpineSnapshot["driver"]
): SpineSnapshot => {
  const running = state.lifecycle._tag === "Running" ? state.lifecycle : null
  const { cursors, epochId } = state.operations.epoch
  return {
    sessionId: entry.sessionId,
    state: visible(state.lifecycle),
    driver,
    epochId,
    incarnation: entry.authority.incarnation,
    registration: state.registration._tag,
    attachmentLive: entry.attachment !== null,
    currentRunId: running?.runId ?? null,
    contributors: running?.inputIds ?? [],
    queue: Ledger.lane(state.ledger, "queue").map(stateOfOpen),
    steer: Ledger.lane(state.ledger, "steer").map(stateOfOpen),
    staged: Ledger.staged(state.ledger).map(stateOfOpen),
    waiters: entry.authority.waiters().map(([inputId, count]) => ({ inputId, count })),
    silentIntents: state.silentIntents,
    cursors,
    messageCount: state.head.messageCount,
    health: health._tag === "Ready" ? "ready" : "reloadRequired",
    violations: violations(state)
  }
}
