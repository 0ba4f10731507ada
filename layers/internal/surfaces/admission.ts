/** @since 0.1.0 */
import * as Effect from "effect/Effect"
import type { MeerkatMachineService } from "../../../services/MeerkatMachine.js"
import { NotReady } from "../../../src/domain/Errors.js"
import type { SessionId } from "../../../src/domain/Ids.js"
import type { Input } from "../../../src/domain/Input.js"
import { visible } from "../../../src/domain/RuntimeState.js"
import { promote, retract } from "../../../src/kernel/commands/queue.js"
import * as Ledger from "../../../src/kernel/Ledger.js"
import * as Admission from "../admission.js"
import type { MachineParts } from "../machineParts.js"
import { submitTo, traced } from "../machineParts.js"

/** Inputs are taken in, and edited while they are queued. */
export const admission = (
  parts: MachineParts
): Pick<
  MeerkatMachineService,
  | "acceptInput"
  | "acceptInputWithCompletion"
  | "acceptInputWithoutWake"
  | "wakeRuntimeIfActiveInputs"
  | "retractInput"
  | "promoteInput"
> => {
  const acceptWith = (sessionId: SessionId, input: Input, options: Omit<Admission.AcceptOptions, "fresh">) =>
    Effect.flatMap(
      parts.registry.lookup(sessionId),
      (entry) =>
        Effect.flatMap(
          Admission.checked(input),
          (valid) => Admission.admit(parts, entry, valid, { ...options, fresh: false })
        )
    )
  return {
    acceptInput: (sessionId, input) =>
      traced(
        "acceptInput",
        Effect.map(acceptWith(sessionId, input, { wake: true, completion: false }), (_) => _.outcome)
      ),
    acceptInputWithCompletion: (sessionId, input) =>
      traced("acceptInputWithCompletion", acceptWith(sessionId, input, { wake: true, completion: true })),
    acceptInputWithoutWake: (sessionId, input) =>
      traced(
        "acceptInputWithoutWake",
        Effect.map(acceptWith(sessionId, input, { wake: false, completion: false }), (_) => _.outcome)
      ),
    wakeRuntimeIfActiveInputs: (sessionId) =>
      Effect.flatMap(parts.registry.lookup(sessionId), (entry) => {
        const state = entry.authority.unsafeState()
        if (Ledger.size(state.ledger) === 0) return Effect.succeed(false)
        // The loop decides by the state alone, so that there is nothing to signal: it looks already.
        return entry.attachment !== null ? Effect.succeed(true) : Effect.fail(
          new NotReady({ state: visible(state.lifecycle), detail: `session "${sessionId}" has no live loop` })
        )
      }),
    retractInput: (sessionId, inputId) => traced("retractInput", submitTo(parts, sessionId, retract(inputId))),
    promoteInput: (sessionId, inputId) => traced("promoteInput", submitTo(parts, sessionId, promote(inputId)))
  }
}
