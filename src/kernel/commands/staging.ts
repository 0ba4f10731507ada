/**
 * What the beginning of a run is told and answers, whoever owns it.
 *
 * @since 0.1.0
 */
import type { Emit, StagedRun } from "../../domain/Command.js"
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

/** A batch that was staged; `hard` when its staging has to be durable before it is applied (D11). @since 0.1.0 @category models */
export interface Staged extends StagedRun {
  readonly hard: boolean
}

/** The run that was just staged. @since 0.1.0 @category accessors */
export const stagedRun = (state: SessionState, emits: ReadonlyArray<Emit>, runId: RunId): Staged => {
  const run = runOf(state, runId)
  const records = run === undefined ? [] : membersOf(state, run)
  return {
    runId,
    attempt: records.reduce((most, record) => Math.max(most, record.attempts), 1),
    records,
    completions: unapplied(state),
    hard: emits.some((emit) => emit._tag === "UpdateInput" && emit.facts.durability !== "ephemeral")
  }
}
