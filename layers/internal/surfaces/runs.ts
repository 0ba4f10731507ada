/** @since 0.1.0 */
import * as Effect from "effect/Effect"
import type { RunsControl } from "../../../services/SessionRuns.js"
import { invalid } from "../driverError.js"
import { acceptAndRun } from "../inlineRun.js"
import type { MachineParts } from "../machineParts.js"
import { traced } from "../machineParts.js"
import { usable } from "../usable.js"

/** Inputs that their caller runs. */
export const runs = (parts: MachineParts): RunsControl => {
  const { registry } = parts
  return {
    acceptInputAndRun: (sessionId, input, op) =>
      traced(
        "acceptInputAndRun",
        Effect.flatMap(registry.lookup(sessionId), (entry) => acceptAndRun(parts, entry, input, op))
      ),
    installPreparedSessionInterruptHandle: (sessionId, handle) =>
      traced(
        "installPreparedSessionInterruptHandle",
        Effect.flatMap(registry.lookup(sessionId), (entry) =>
          Effect.flatMap(usable(entry), () => {
            if (entry.attachment !== null) {
              const detail = `session "${sessionId}" has an executor attached: its own interrupt handle is used`
              return Effect.fail(invalid({ _tag: "Conflict", detail }))
            }
            entry.interruptHandle = handle
            return Effect.void
          }))
      )
  }
}
