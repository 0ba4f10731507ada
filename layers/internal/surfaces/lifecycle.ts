/**
 * Runs are interrupted; sessions are retired, reset, stopped and destroyed.
 *
 * Each call is one function of an entry, which the by-id surface and the session handle share.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { MeerkatMachineService } from "../../../services/MeerkatMachine.js"
import { bounded } from "../../../src/domain/BoundedText.js"
import type { RunId } from "../../../src/domain/Ids.js"
import {
  recover as recoverCommand,
  recycle as recycleCommand,
  reset as resetCommand,
  retire as retireCommand
} from "../../../src/kernel/commands/lifecycle.js"
import { requestCancel, requestYield } from "../../../src/kernel/commands/run.js"
import { runOf } from "../../../src/kernel/facts.js"
import { escortCancel } from "../attach.js"
import { driverError } from "../driverError.js"
import type { Entry } from "../entry.js"
import { escortGuest } from "../guest.js"
import * as Lifecycle from "../lifecycle.js"
import type { MachineParts, Resolve } from "../machineParts.js"
import { call, submit } from "../machineParts.js"
import { attachmentOf } from "../transitions.js"

/** Calls the interrupt handle of a run that was cancelled, and ends the run after the grace. */
const escort = (parts: MachineParts, entry: Entry, runId: RunId, reason: string): void => {
  const run = runOf(entry.authority.unsafeState(), runId)
  if (run === undefined) return
  if (run.owner !== "loop") return escortGuest(parts, entry, run, reason)
  const attachment = attachmentOf(entry.state.unsafeGet())
  if (attachment !== null) escortCancel(parts.attachments, entry, attachment, runId, reason)
}

/** Cancels the run in progress. */
export const cancel = (parts: MachineParts, resolve: Resolve, given: string) =>
  call("hardCancelCurrentRun", resolve, (entry) => {
    const reason = bounded(given)
    return Effect.mapError(
      Effect.asVoid(entry.authority.submit(requestCancel({ reason }), {
        // At settlement, also when the caller was interrupted. A request is delivered once: a repeated one neither calls the
        // handle again nor begins another grace (D16).
        onSettled: ({ first, runId }) => {
          if (first) escort(parts, entry, runId, reason)
        }
      })),
      driverError(entry.authority)
    )
  })

/** Asks the run in progress to end at its next boundary. */
export const yieldRun = (resolve: Resolve, reason: string) =>
  call("cancelAfterBoundary", resolve, (entry) => Effect.asVoid(submit(entry, requestYield({ reason }))))

export const stop = ({ attachments }: MachineParts, resolve: Resolve, reason: string) =>
  call("stopRuntimeExecutor", resolve, (entry) => Lifecycle.stop(attachments, entry, bounded(reason)))

export const retire = (resolve: Resolve) => call("retireRuntime", resolve, (entry) => submit(entry, retireCommand))

export const reset = (resolve: Resolve) =>
  call(
    "resetRuntime",
    resolve,
    (entry) => Effect.map(submit(entry, resetCommand), (report) => ({ ...report, joined: true }))
  )

export const recycle = (resolve: Resolve) => call("recycleRuntime", resolve, (entry) => submit(entry, recycleCommand))

const recover = (resolve: Resolve) => call("recoverRuntime", resolve, (entry) => submit(entry, recoverCommand))

export const destroy = ({ attachments }: MachineParts, resolve: Resolve) =>
  call("destroyRuntime", resolve, (entry) => Lifecycle.destroy(attachments, entry))

/** The lifecycle of sessions, by session id. */
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
  const { lookup } = parts.registry
  return {
    hardCancelCurrentRun: (sessionId, reason) => cancel(parts, lookup(sessionId), reason),
    cancelAfterBoundary: (sessionId, reason) => yieldRun(lookup(sessionId), reason),
    stopRuntimeExecutor: (sessionId, reason) => stop(parts, lookup(sessionId), reason),
    retireRuntime: (sessionId) => retire(lookup(sessionId)),
    resetRuntime: (sessionId) => reset(lookup(sessionId)),
    recycleRuntime: (sessionId) => recycle(lookup(sessionId)),
    recoverRuntime: (sessionId) => recover(lookup(sessionId)),
    destroyRuntime: (sessionId) => destroy(parts, lookup(sessionId)),
    publishEvent: (sessionId, event) =>
      call("publishEvent", lookup(sessionId), (entry) => entry.authority.publish({ _tag: "Custom", ...event }))
  }
}
