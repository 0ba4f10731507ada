/**
 * Inputs that their caller runs, by session id.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { RunsControl } from "../../../services/SessionRuns.js"
import { invalid } from "../driverError.js"
import { acceptAndRun } from "../inlineRun.js"
import type { MachineParts } from "../machineParts.js"
import { call } from "../machineParts.js"
import { mayBegin } from "../mayBegin.js"
import { installHandle } from "../transitions.js"

/** Inputs that their caller runs. */
export const runs = (parts: MachineParts): RunsControl => {
  const { lookup } = parts.registry
  return {
    acceptInputAndRun: (sessionId, input, op) =>
      call("acceptInputAndRun", lookup(sessionId), (entry) => acceptAndRun(parts, entry, input, op)),
    installPreparedSessionInterruptHandle: (sessionId, handle) =>
      call(
        "installPreparedSessionInterruptHandle",
        lookup(sessionId),
        (entry) =>
          Effect.flatMap(Effect.suspend(() => mayBegin(entry, "call")), () => {
            if (entry.state.unsafeModify(installHandle(handle))) return Effect.void
            const detail = `session "${sessionId}" has an executor attached: its own interrupt handle is used`
            return Effect.fail(invalid({ _tag: "Conflict", detail }))
          })
      )
  }
}
