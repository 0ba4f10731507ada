/**
 * Inputs are accepted, and edited while they are queued.
 *
 * Each call is one function of an entry, which the by-id surface and the session handle share.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { MeerkatMachineService } from "../../../services/MeerkatMachine.js"
import type { RuntimeDriverError } from "../../../src/domain/Errors.js"
import { NotReady } from "../../../src/domain/Errors.js"
import type { InputId } from "../../../src/domain/Ids.js"
import type { Input } from "../../../src/domain/Input.js"
import { visible } from "../../../src/domain/RuntimeState.js"
import { promote as promoteCommand, retract as retractCommand } from "../../../src/kernel/commands/queue.js"
import * as Ledger from "../../../src/kernel/Ledger.js"
import * as Admission from "../admission.js"
import type { Entry } from "../entry.js"
import type { MachineParts, Resolve } from "../machineParts.js"
import { call, submit } from "../machineParts.js"
import { attachmentOf } from "../transitions.js"

const accept = (
  parts: MachineParts,
  entry: Entry,
  input: Input,
  options: Omit<Admission.AcceptOptions, "fresh">
) =>
  Effect.flatMap(
    Admission.checked(input),
    (valid) => Admission.admit(parts, entry, valid, { ...options, fresh: false })
  )

/** Answers whether a live loop has inputs to run. The loop decides by the state alone, so there is nothing to signal. */
const wake = (entry: Entry): Effect.Effect<boolean, RuntimeDriverError> => {
  const state = entry.authority.unsafeState()
  if (Ledger.size(state.ledger) === 0) return Effect.succeed(false)
  return attachmentOf(entry.state.unsafeGet()) !== null ? Effect.succeed(true) : Effect.fail(
    new NotReady({ state: visible(state.lifecycle), detail: `session "${entry.sessionId}" has no live loop` })
  )
}

export const retract = (resolve: Resolve, inputId: InputId) =>
  call("retractInput", resolve, (entry) => submit(entry, retractCommand(inputId)))

export const promote = (resolve: Resolve, inputId: InputId) =>
  call("promoteInput", resolve, (entry) => submit(entry, promoteCommand(inputId)))

/** Inputs of sessions, by session id. */
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
  const { lookup } = parts.registry
  return {
    acceptInput: (sessionId, input) =>
      call(
        "acceptInput",
        lookup(sessionId),
        (entry) => Effect.map(accept(parts, entry, input, { wake: true, completion: false }), (_) => _.outcome)
      ),
    acceptInputWithCompletion: (sessionId, input) =>
      call(
        "acceptInputWithCompletion",
        lookup(sessionId),
        (entry) => accept(parts, entry, input, { wake: true, completion: true })
      ),
    acceptInputWithoutWake: (sessionId, input) =>
      call(
        "acceptInputWithoutWake",
        lookup(sessionId),
        (entry) => Effect.map(accept(parts, entry, input, { wake: false, completion: false }), (_) => _.outcome)
      ),
    wakeRuntimeIfActiveInputs: (sessionId) => Effect.flatMap(lookup(sessionId), wake),
    retractInput: (sessionId, inputId) => retract(lookup(sessionId), inputId),
    promoteInput: (sessionId, inputId) => promote(lookup(sessionId), inputId)
  }
}
