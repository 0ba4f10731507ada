/**
 * The handle of one session: every method is a function of an entry, applied to the entry that `resolve` gives.
 *
 * Callers: `machine.session`, which resolves by id at each call, and `machine.sessionScoped`, which resolves to the same
 * incarnation for ever. No method looks an entry up in another way.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { SessionHandle } from "../../services/MeerkatMachine.js"
import type { SessionId } from "../../src/domain/Ids.js"
import { bind } from "./bindings.js"
import { acceptAndRun } from "./inlineRun.js"
import type { MachineParts, Resolve } from "./machineParts.js"
import { call } from "./machineParts.js"
import * as Prompting from "./prompting.js"
import * as Admission from "./surfaces/admission.js"
import { sessionComms } from "./surfaces/comms.js"
import * as Lifecycle from "./surfaces/lifecycle.js"
import { sessionLlm } from "./surfaces/llm.js"
import { sessionOperations } from "./surfaces/operations.js"
import * as Reads from "./surfaces/reads.js"
import { sessionTools } from "./surfaces/tools.js"

export const make = (parts: MachineParts, sessionId: SessionId, resolve: Resolve): SessionHandle => ({
  sessionId,
  prompt: Prompting.prompting(parts, resolve, false),
  steer: Prompting.prompting(parts, resolve, true),
  ask: (text, options = {}) => Prompting.ask(parts, sessionId, resolve, text, options),
  outcome: (inputId) => Reads.outcome(parts, resolve, inputId),
  retract: (inputId) => Admission.retract(resolve, inputId),
  promote: (inputId) => Admission.promote(resolve, inputId),
  cancel: (reason) => Lifecycle.cancel(parts, resolve, reason),
  yieldRun: (reason) => Lifecycle.yieldRun(resolve, reason),
  stop: (reason) => Lifecycle.stop(parts, resolve, reason),
  retire: Lifecycle.retire(resolve),
  reset: Lifecycle.reset(resolve),
  recycle: Lifecycle.recycle(resolve),
  destroy: Lifecycle.destroy(parts, resolve),
  history: Reads.history(parts, resolve),
  events: Reads.feed(parts, resolve),
  tools: sessionTools(parts, resolve),
  llm: sessionLlm(parts, resolve),
  operations: sessionOperations(parts, sessionId, resolve),
  snapshot: Effect.option(Effect.flatMap(resolve, (entry) => Reads.snapshot(parts, entry))),
  state: Reads.runtimeState(resolve),
  comms: sessionComms(parts, resolve),
  acceptAndRun: (input, op) => call("acceptInputAndRun", resolve, (entry) => acceptAndRun(parts, entry, input, op)),
  bindings: call("prepareBindings", resolve, (entry) => bind(parts, entry))
})
