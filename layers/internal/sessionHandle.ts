/** @since 0.1.0 */
import * as Effect from "effect/Effect"
import type { MeerkatMachineService, SessionHandle } from "../../services/MeerkatMachine.js"
import type { SessionId } from "../../src/domain/Ids.js"
import { bind } from "./bindings.js"
import { acceptAndRun } from "./inlineRun.js"
import type { MachineParts, Resolve } from "./machineParts.js"
import { traced } from "./machineParts.js"
import * as Prompting from "./prompting.js"
import { admission } from "./surfaces/admission.js"
import { sessionComms } from "./surfaces/comms.js"
import { lifecycle } from "./surfaces/lifecycle.js"
import { sessionLlm } from "./surfaces/llm.js"
import { sessionOperations } from "./surfaces/operations.js"
import * as Reads from "./surfaces/reads.js"
import { sessionTools } from "./surfaces/tools.js"

/**
 * A handle. `resolve` gives the entry at each call: by id for the handle of `machine.session`, always the same
 * incarnation for that of `sessionScoped`.
 */
export const make = (
  parts: MachineParts,
  machine: Omit<MeerkatMachineService, "session" | "sessionScoped">,
  sessionId: SessionId,
  resolve: Resolve
): SessionHandle => {
  // whoever looks it up by id afterwards could find a successor
  const own: MachineParts = { ...parts, registry: { ...parts.registry, lookup: () => resolve } }
  const calls = { ...admission(own), ...lifecycle(own), ...Reads.reads(own) }
  const handle: SessionHandle = {
    sessionId,
    prompt: Prompting.prompting(parts, resolve, false),
    steer: Prompting.prompting(parts, resolve, true),
    ask: (text, options = {}) => Prompting.ask(parts, sessionId, resolve, text, options),
    outcome: (inputId) => calls.outcome(sessionId, inputId),
    retract: (inputId) => calls.retractInput(sessionId, inputId),
    promote: (inputId) => calls.promoteInput(sessionId, inputId),
    cancel: (reason) => calls.hardCancelCurrentRun(sessionId, reason),
    yieldRun: (reason) => calls.cancelAfterBoundary(sessionId, reason),
    stop: (reason) => calls.stopRuntimeExecutor(sessionId, reason),
    retire: calls.retireRuntime(sessionId),
    reset: calls.resetRuntime(sessionId),
    recycle: calls.recycleRuntime(sessionId),
    destroy: calls.destroyRuntime(sessionId),
    history: Reads.history(parts, resolve),
    events: Reads.feed(parts, resolve),
    tools: sessionTools(parts, resolve),
    llm: sessionLlm(machine, sessionId, resolve),
    operations: sessionOperations(parts, sessionId, resolve),
    snapshot: Effect.option(Effect.flatMap(resolve, (entry) => Reads.snapshot(parts, entry))),
    state: calls.runtimeState(sessionId),
    comms: sessionComms(machine, sessionId, resolve),
    acceptAndRun: (input, op) =>
      traced("acceptInputAndRun", Effect.flatMap(resolve, (entry) => acceptAndRun(parts, entry, input, op))),
    bindings: traced("prepareBindings", Effect.flatMap(resolve, (entry) => bind(parts, entry)))
  }
  return handle
}
