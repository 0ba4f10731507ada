/** The targets of a long sweep: it must hit each of them ten times. */
import { silentIntentsSlice } from "../../src/kernel/rows/lifecycle.js"
import { rows } from "../../src/kernel/table.js"
import { visibilitySlice } from "../../src/kernel/toolVisibility.js"
import * as Tally from "../../src/testkit/simulation/Tally.js"
import { names } from "../../src/testkit/simulation/traffic/Traffic.js"
import type { Totals } from "./totals.js"

/** Reads that the machine makes while it runs. */
const reads = ["witness", "terminalInput", "findKey", "receipt", "history", "sessions"]

/**
 * Rows that a sweep need not hit. No policy of this version supersedes; conformance and exploration test that row with
 * another policy. The two rows of a loop's end need several coincidences (see docs/verification/simulation.md).
 */
const unreachable = new Set(["input.supersede", "lifecycle.detachBusy", "registration.endedDraining"])

const reasons = [
  "retired",
  "reset",
  "stopped",
  "destroyed",
  "cancelled",
  "failed",
  "max_attempts_exhausted",
  "crash_budget_exhausted"
]

const expected: Readonly<Record<string, ReadonlyArray<string>>> = {
  method: names,
  row: rows.map(({ id }) => id).filter((id) => !unreachable.has(id)),
  error: [
    "NotReady",
    "ValidationFailed",
    "Destroyed",
    "RecoveryCorruption",
    "Internal",
    "NotFound",
    "InvalidState",
    "StoreError",
    "DeadlineExceeded",
    "TurnFailed"
  ],
  executorError: [
    "ApplyFailed",
    "TerminalFailure",
    "ControlFailed",
    "ExecutorStopped",
    "TurnCancelled",
    "ExecutorFault"
  ],
  outcome: [
    "Completed",
    "CompletedWithoutResult",
    "CallbackPending",
    "Cancelled",
    "Abandoned",
    "AbandonedWithError",
    "CompletedWithFinalizationFailure",
    "RuntimeTerminated"
  ],
  end: ["consumed", "coalesced", ...reasons.map((reason) => `abandoned.${reason}`)],
  fault: [
    "crash",
    ...["StoreBusy", "StoreFull", "StoreIo", "lostAck", "delay.before", "delay.after"].flatMap((kind) => [
      `commit.${kind}`,
      `openRuntime.${kind}`
    ]),
    "commit.lostCall",
    "commit.before.defect",
    "commit.after.defect",
    "openRuntime.lostCall",
    "openRuntime.corruptImage",
    "openRuntime.before.defect",
    "openRuntime.after.defect",
    ...["WriterFenced", "RuntimeFenced", "RevisionConflict", "CommitRefused", "StoreCorrupt"].map((tag) =>
      `commit.fatal.${tag}`
    ),
    ...reads.flatMap((verb) => ["StoreBusy", "StoreIo", "StoreCorrupt", "defect"].map((tag) => `${verb}.${tag}`))
  ],
  crash: ["in a commit", "in a run", "elsewhere"],
  restart: ["crash", "exit"],
  recovery: [
    "created",
    "adopted",
    "lifecycle.idle",
    "lifecycle.retired",
    "lifecycle.stopped",
    "queued inputs",
    "staged inputs",
    "staged batch",
    "crash budget used up",
    "suspect ran alone",
    "process operations terminated",
    "external operations kept",
    "completed operations kept",
    "feed beyond the agent",
    "continuation owed",
    "retry pending",
    "held inputs",
    ...[silentIntentsSlice, visibilitySlice].map((name) => `slice.${name}`)
  ]
}

/** Returns the groups with the targets that were hit fewer than `times` times. */
export const coverage = ({ tally }: Totals, times = 10): ReadonlyArray<readonly [string, ReadonlyArray<string>]> => {
  const record = Tally.toRecord(tally)
  return Object.entries(expected).flatMap(([group, names]) => {
    const missing = Tally.short(record, group, names, times)
    return missing.length === 0 ? [] : [[group, missing] as const]
  })
}
