/**
 * What the beginning of a run is told and answers, whoever owns it.
 *
 * @since 0.1.0
 */
import type { StagedRun } from "../../domain/Command.js"
import type { RunId } from "../../domain/Ids.js"
import type { InputRecord } from "../../domain/InputRecord.js"
import type { Env, SessionState } from "../../domain/SessionState.js"
import { membersOf, runOf } from "../facts.js"
import { unapplied } from "../feed.js"
import type { Beginning } from "../rows/run.js"

/** @since 0.1.0 @category constructors */
export const beginning = (runId: RunId, batch: ReadonlyArray<InputRecord>, env: Env): Beginning => ({
  runId,
  inputIds: batch.map((record) => record.inputId),
  at: env.now
})

/** The run that was just staged. @since 0.1.0 @category accessors */
export const stagedRun = (state: SessionState, runId: RunId): StagedRun => {
  const run = runOf(state, runId)
  const records = run === undefined ? [] : membersOf(state, run)
  return {
    runId,
    attempt: records.reduce((most, record) => Math.max(most, record.attempts), 1),
    records,
    completions: unapplied(state)
  }
}
