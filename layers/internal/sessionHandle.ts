/** @since 0.1.0 */
import * as Effect from "effect/Effect"
import { CurrentSession } from "../../services/CoreExecutor.js"
import type { AskOptions, MeerkatMachineService, SessionHandle } from "../../services/MeerkatMachine.js"
import { DeadlineExceeded } from "../../services/MeerkatMachine.js"
import type { RunResult, TurnFailed } from "../../src/domain/Completion.js"
import { toEffect } from "../../src/domain/Completion.js"
import type { RuntimeDriverError } from "../../src/domain/Errors.js"
import type { InputId, SessionId } from "../../src/domain/Ids.js"
import * as Admission from "./admission.js"
import { invalid } from "./driverError.js"
import type { MachineParts, Resolve } from "./machineParts.js"
import { sessionComms } from "./surfaces/comms.js"
import { sessionLlm } from "./surfaces/llm.js"
import { sessionOperations } from "./surfaces/operations.js"
import { sessionTools } from "./surfaces/tools.js"

type Ask = Effect.Effect<RunResult, RuntimeDriverError | TurnFailed | DeadlineExceeded>

/** An answer can only be waited for from outside the run that would have to give it. */
const notFromInside = (sessionId: SessionId): Effect.Effect<void, RuntimeDriverError> =>
  Effect.flatMap(
    CurrentSession,
    (current) =>
      current !== null && current.sessionId === sessionId && current.role === "run"
        ? Effect.fail(
          invalid({ _tag: "WouldDeadlock", detail: "ask was called from inside a run of the same session" })
        )
        : Effect.void
  )

const ask = (session: SessionHandle, text: string, options: AskOptions): Ask =>
  Effect.suspend(() => {
    const known: { admission: DeadlineExceeded["admission"]; inputId?: InputId } = { admission: "unknown" }
    const answer = Effect.flatMap(session.prompt(text, options), ({ completion }) => {
      known.admission = "admitted"
      known.inputId = completion.inputId
      return Effect.flatMap(completion.wait, toEffect)
    })
    const checked = Effect.zipRight(notFromInside(session.sessionId), answer)
    return options.deadline === undefined ? checked : Effect.timeoutFail(checked, {
      duration: options.deadline,
      onTimeout: () => new DeadlineExceeded(known)
    })
  })

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
  const prompt = (
    text: string,
    options: AskOptions & { readonly expectedRunId?: Admission.AcceptOptions["expectedRunId"] },
    steer: boolean
  ) =>
    Effect.gen(function*() {
      const entry = yield* resolve
      const input = yield* Admission.promptInput(parts, text, options, steer)
      const admitted = yield* Admission.admit(parts, entry, input, {
        wake: options.hold !== true,
        completion: true,
        fresh: true,
        ...(options.expectedRunId === undefined ? {} : { expectedRunId: options.expectedRunId })
      })
      return yield* Admission.withCompletion(parts, entry, admitted)
    }).pipe(Effect.withSpan("MeerkatMachine.prompt", { captureStackTrace: false }))
  const guarded = <A, E>(effect: Effect.Effect<A, E>) => Effect.zipRight(resolve, effect)
  const handle: SessionHandle = {
    sessionId,
    prompt: (text, options = {}) => prompt(text, options, false),
    steer: (text, options = {}) => prompt(text, options, true),
    ask: (text, options = {}) => ask(handle, text, options),
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
    history: machine.history(sessionId),
    events: machine.runtimeEvents(sessionId),
    tools: sessionTools(resolve),
    llm: sessionLlm(machine, sessionId, resolve),
    operations: sessionOperations(parts, sessionId, resolve),
    snapshot: Effect.matchEffect(resolve, {
      onFailure: () => Effect.succeedNone,
      onSuccess: () => machine.meerkatMachineSpineSnapshot(sessionId)
    }),
    state: guarded(machine.runtimeState(sessionId)),
    comms: sessionComms(machine, sessionId, resolve)
  }
  return handle
}
