/** @since 0.1.0 */
import * as Effect from "effect/Effect"
import type { MeerkatMachineService } from "../../../services/MeerkatMachine.js"
import { bounded } from "../../../src/domain/BoundedText.js"
import type { RunId } from "../../../src/domain/Ids.js"
import { recover, recycle, reset, retire } from "../../../src/kernel/commands/lifecycle.js"
import { requestCancel, requestYield } from "../../../src/kernel/commands/run.js"
import { runOf } from "../../../src/kernel/facts.js"
import { escortCancel } from "../attach.js"
import { driverError } from "../driverError.js"
import type { Entry } from "../entry.js"
import { escortGuest } from "../guest.js"
import * as Lifecycle from "../lifecycle.js"
import type { MachineParts } from "../machineParts.js"
import { submitTo, traced } from "../machineParts.js"

/** Runs are interrupted, sessions retired, reset, stopped and destroyed. */
export const lifecycle = (
  parts: MachineParts
): Pick<
  MeerkatMachineService,
  | "hardCancelCurrentRun"
  | "cancelAfterBoundary"
  | "stopRuntimeExecutor"
  | "retireRuntime"
  | "resetRuntime"
  | "recycleRuntime"
  | "recoverRuntime"
  | "destroyRuntime"
  | "publishEvent"
> => {
  const { attachments, registry } = parts
  const escort = (entry: Entry, runId: RunId, reason: string): void => {
    const run = runOf(entry.authority.unsafeState(), runId)
    if (run === undefined) return
    if (run.owner !== "loop") escortGuest(parts, entry, run, reason)
    else if (entry.attachment !== null) escortCancel(attachments, entry, entry.attachment, runId, reason)
  }
  return {
    hardCancelCurrentRun: (sessionId, given) => {
      const reason = bounded(given)
      return traced(
        "hardCancelCurrentRun",
        Effect.flatMap(registry.lookup(sessionId), (entry) =>
          Effect.mapError(
            Effect.asVoid(entry.authority.submit(requestCancel({ reason }), {
              // At settlement, whatever becomes of the caller: a request is delivered once; repeating it neither calls
              // the handle again nor begins another grace (D16).
              onSettled: ({ first, runId }) => {
                if (first) escort(entry, runId, reason)
              }
            })),
            driverError(entry.authority)
          ))
      )
    },
    cancelAfterBoundary: (sessionId, reason) =>
      traced("cancelAfterBoundary", Effect.asVoid(submitTo(parts, sessionId, requestYield({ reason })))),
    stopRuntimeExecutor: (sessionId, reason) =>
      traced(
        "stopRuntimeExecutor",
        Effect.flatMap(registry.lookup(sessionId), (entry) => Lifecycle.stop(attachments, entry, bounded(reason)))
      ),
    retireRuntime: (sessionId) => traced("retireRuntime", submitTo(parts, sessionId, retire)),
    resetRuntime: (sessionId) =>
      traced("resetRuntime", Effect.map(submitTo(parts, sessionId, reset), (report) => ({ ...report, joined: true }))),
    recycleRuntime: (sessionId) => traced("recycleRuntime", submitTo(parts, sessionId, recycle)),
    recoverRuntime: (sessionId) => traced("recoverRuntime", submitTo(parts, sessionId, recover)),
    destroyRuntime: (sessionId) =>
      traced(
        "destroyRuntime",
        Effect.flatMap(registry.lookup(sessionId), (entry) => Lifecycle.destroy(attachments, entry))
      ),
    publishEvent: (sessionId, event) =>
      traced(
        "publishEvent",
        Effect.flatMap(registry.lookup(sessionId), (entry) => entry.authority.publish({ _tag: "Custom", ...event }))
      )
  }
}
