/** @since 0.1.0 */
import * as Effect from "effect/Effect"
import type { MeerkatMachineService, SessionHandle } from "../../services/MeerkatMachine.js"
import type { SessionId } from "../../src/domain/Ids.js"
import { bind } from "./bindings.js"
import { acceptAndRun } from "./inlineRun.js"
import type { MachineParts, Resolve } from "./machineParts.js"
import { traced } from "./machineParts.js"
import * as Prompting from "./prompting.js"
import { sessionComms } from "./surfaces/comms.js"
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
  const guarded = <A, E>(effect: Effect.Effect<A, E>) => Effect.zipRight(resolve, effect)
  const handle: SessionHandle = {
    sessionId,
    prompt: Prompting.prompting(parts, resolve, false),
    steer: Prompting.prompting(parts, resolve, true),
    ask: (text, options = {}) => Prompting.ask(parts, sessionId, resolve, text, options),
    outcome: (inputId) => guarded(machine.outcome(sessionId, inputId)),
    retract: (inputId) => guarded(machine.retractInput(sessionId, inputId)),
    promote: (inputId) => guarded(machine.promoteInput(sessionId, inputId)),
    cancel: (reason) => guarded(machine.hardCancelCurrentRun(sessionId, reason)),
    yieldRun: (reason) => guarded(machine.cancelAfterBoundary(sessionId, reason)),
    stop: (reason) => guarded(machine.stopRuntimeExecutor(sessionId, reason)),
    retire: guarded(machine.retireRuntime(sessionId)),
    reset: guarded(machine.resetRuntime(sessionId)),
    recycle: guarded(machine.recycleRuntime(sessionId)),
    destroy: guarded(machine.destroyRuntime(sessionId)),
    history: Reads.history(parts, resolve),
    events: Reads.feed(parts, resolve),
    tools: sessionTools(resolve),
    llm: sessionLlm(machine, sessionId, resolve),
    operations: sessionOperations(parts, sessionId, resolve),
    snapshot: Effect.matchEffect(resolve, {
      onFailure: () => Effect.succeedNone,
      onSuccess: () => machine.meerkatMachineSpineSnapshot(sessionId)
    }),
    state: guarded(machine.runtimeState(sessionId)),
    comms: sessionComms(machine, sessionId, resolve),
    acceptAndRun: (input, op) =>
      traced("acceptInputAndRun", Effect.flatMap(resolve, (entry) => acceptAndRun(parts, entry, input, op))),
    bindings: traced("prepareBindings", Effect.flatMap(resolve, (entry) => bind(parts, entry)))
  }
  return handle
}
