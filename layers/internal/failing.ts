/**
 * How the failure of a run is stored. The loop and inline runs call it. Invariant: a failure that the store cannot hold
 * never leaves its inputs queued; they end with an outcome that says so, and the session goes on behind them.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { SubmitError } from "../../services/MachineAuthority.js"
import type { RunFailure } from "../../src/domain/Command.js"
import type { RunId } from "../../src/domain/Ids.js"
import { isUnwritable } from "../../src/domain/StoreErrors.js"
import { failRun } from "../../src/kernel/commands/run.js"
import { unstored } from "./runFailure.js"
import type { Insistence } from "./runSettlement.js"
import { insist, insistOrReload, orReload } from "./runSettlement.js"

/**
 * Stores that a run failed. A failure that the store refuses as unwritable is replaced by a short one, without a retry.
 * Fails `ReloadRequired` when the store refuses that as well, or refuses for another reason.
 */
export const storeFailure = (how: Insistence, runId: RunId, failure: RunFailure): Effect.Effect<void, SubmitError> =>
  Effect.catchAll(
    insist(how, failRun({ runId, failure })),
    (error) =>
      error._tag === "CommitFailed" && isUnwritable(error.error)
        ? insistOrReload(how, failRun({ runId, failure: { ...failure, ...unstored(error.error._tag) } }))
        : orReload(how)(error)
  )
