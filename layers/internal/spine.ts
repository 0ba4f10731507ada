/**
 * The read model of a live session, assembled in one step from the entry and the published state.
 *
 * Callers: the snapshot reads and the event feed.
 *
 * @since 0.1.0
 */
import type { Health } from "../../services/MachineAuthority.js"
import type { SpineSnapshot } from "../../services/MeerkatMachine.js"
import { modeOf } from "../../src/domain/DrainSlot.js"
import { stateOfOpen } from "../../src/domain/InputRecord.js"
import type { SessionState } from "../../src/domain/SessionState.js"
import { drainViolations } from "../../src/kernel/drain.js"
import { violations } from "../../src/kernel/invariants.js"
import * as Ledger from "../../src/kernel/Ledger.js"
import { visibilityOf } from "../../src/kernel/toolVisibility.js"
import { factsOf } from "./drainCell.js"
import type { Entry } from "./entry.js"
import { attachmentOf } from "./transitions.js"
import { visibleOf } from "./visibleState.js"

/** The read model of a live session. */
export const snapshotOf = (
  entry: Entry,
  state: SessionState,
  health: Health,
  driver: SpineSnapshot["driver"]
): SpineSnapshot => {
  const running = state.lifecycle._tag === "Running" ? state.lifecycle : null
  const { cursors, epochId } = state.operations.epoch
  const drain = factsOf(entry)
  const taskLive = drain.task !== null
  return {
    sessionId: entry.sessionId,
    state: visibleOf(entry, state),
    driver,
    epochId,
    incarnation: entry.authority.incarnation,
    registration: state.registration._tag,
    attachmentLive: attachmentOf(entry.state.unsafeGet()) !== null,
    currentRunId: running?.runId ?? null,
    currentRunOwner: running?.owner ?? null,
    contributors: running?.inputIds ?? [],
    queue: Ledger.lane(state.ledger, "queue").map(stateOfOpen),
    steer: Ledger.lane(state.ledger, "steer").map(stateOfOpen),
    staged: Ledger.staged(state.ledger).map(stateOfOpen),
    waiters: entry.authority.waiters().map(([inputId, count]) => ({ inputId, count })),
    silentIntents: state.silentIntents,
    tools: visibilityOf(state),
    cursors,
    messageCount: state.head.messageCount,
    drain: { phase: drain.slot._tag, mode: modeOf(drain.slot), owner: drain.owner, taskLive },
    health: health._tag === "ReloadRequired"
      ? "reloadRequired"
      : entry.authority.kept().length > 0
      ? "storeRefuses"
      : "ready",
    violations: [...violations(state), ...drainViolations(drain, taskLive)]
  }
}
