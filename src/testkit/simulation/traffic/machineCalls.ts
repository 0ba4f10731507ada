/**
 * The simulation's calls of the machine. Invariant: the types require an entry for every method.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { MeerkatMachineService } from "../../../../services/MeerkatMachine.js"
import type { SessionFilter } from "../../../../services/RuntimeStore.js"
import type { BindingsControl } from "../../../../services/SessionBindings.js"
import type { CommsControl } from "../../../../services/SessionComms.js"
import type { LlmControl } from "../../../../services/SessionLlm.js"
import type { OperationsControl } from "../../../../services/SessionOperations.js"
import type { RunsControl } from "../../../../services/SessionRuns.js"
import type { ToolsControl } from "../../../../services/SessionTools.js"
import type { SessionId } from "../../../domain/Ids.js"
import { SessionId as SessionIdSchema } from "../../../domain/Ids.js"
import type { Crew } from "../Crew.js"
import { answered, follow } from "../Crew.js"
import { watched } from "../Defects.js"
import * as Inputs from "../Inputs.js"
import { count, told, violate } from "../Journal.js"
import type { Call } from "./Call.js"
import { destroying, fieldsOf, inputOf, prompted, runOf, stopping, withInput } from "./Call.js"
import { commsCalls } from "./commsCalls.js"
import { llmCalls } from "./llmCalls.js"
import { operationCalls } from "./operationCalls.js"
import { bindingCalls, runCalls } from "./runCalls.js"
import { toolCalls } from "./toolCalls.js"

type Own = Omit<
  MeerkatMachineService,
  | keyof CommsControl
  | keyof ToolsControl
  | keyof OperationsControl
  | keyof LlmControl
  | keyof BindingsControl
  | keyof RunsControl
>

const registration: Pick<
  Record<keyof Own, Call>,
  | "registerSession"
  | "unregisterSession"
  | "unregisterSessionIfEpoch"
  | "registerSessionWithExecutor"
  | "ensureSessionWithExecutor"
  | "ensureSessionWithExecutorFactory"
  | "containsSession"
  | "sessionHasExecutor"
  | "setSessionSilentIntents"
  | "session"
  | "sessionScoped"
> = {
  registerSession: ({ machine }, id) => machine.registerSession(id),
  unregisterSession: ({ machine, world }, id) =>
    Effect.tap(
      // an unregistration that failed continues when it is called again
      Effect.retry(machine.unregisterSession(id), { while: ({ _tag }) => _tag === "Internal", times: 2 }),
      ({ forced }) => Effect.sync(() => count(world.journal, "unregister", forced ? "forced" : "joined"))
    ),
  unregisterSessionIfEpoch: ({ machine }, id) =>
    Effect.flatMap(
      machine.meerkatMachineSpineSnapshot(id),
      (snapshot) => Option.isNone(snapshot) ? Effect.void : machine.unregisterSessionIfEpoch(id, snapshot.value.epochId)
    ),
  registerSessionWithExecutor: ({ executor, machine }, id) =>
    Effect.scoped(Effect.flatMap(executor(id), (made) => machine.registerSessionWithExecutor(id, made))),
  ensureSessionWithExecutor: ({ executor, machine }, id) =>
    Effect.scoped(Effect.flatMap(executor(id), (made) => machine.ensureSessionWithExecutor(id, made))),
  ensureSessionWithExecutorFactory: ({ executor, machine, world: { dice } }, id) =>
    Effect.suspend(() => {
      const pause = Effect.sleep(dice.pick([0, 0, 20, 200]))
      const failing = Effect.zipRight(pause, Effect.fail({ _tag: "FactoryFailed" as const }))
      const made = Effect.zipLeft(executor(id), dice.hit(0.15) ? failing : pause)
      return machine.ensureSessionWithExecutorFactory(id, made)
    }),
  containsSession: ({ machine }, id) => machine.containsSession(id),
  sessionHasExecutor: ({ machine }, id) => machine.sessionHasExecutor(id),
  setSessionSilentIntents: ({ machine, world }, id) =>
    Effect.suspend(() => machine.setSessionSilentIntents(id, world.dice.pick([["x"], ["x", "y"], []]))),
  session: (crew, id) => Effect.flatMap(crew.machine.session(id).prompt("by handle"), prompted(crew, id)),
  sessionScoped: (crew, id) =>
    Effect.scoped(Effect.gen(function*() {
      const { dice } = crew.world
      const session = yield* crew.machine.sessionScoped(dice.hit(0.1) ? "" : id, crew.executor(id))
      yield* Effect.flatMap(session.prompt("scoped"), prompted(crew, id))
      yield* Effect.sleep(dice.below(100))
      yield* session.state
    }))
}

const accepting = (crew: Crew, id: SessionId, make?: typeof Inputs.any) =>
  Effect.map(
    withInput(crew, id, (input) => crew.machine.acceptInput(id, input), make),
    ([input, outcome]) => {
      answered(crew, id, outcome, fieldsOf(input))
      return input
    }
  )

const admission: Pick<
  Record<keyof Own, Call>,
  | "acceptInput"
  | "acceptInputWithCompletion"
  | "acceptInputWithoutWake"
  | "wakeRuntimeIfActiveInputs"
  | "retractInput"
  | "promoteInput"
> = {
  acceptInput: (crew, id) =>
    Effect.flatMap(
      accepting(crew, id),
      (input) =>
        Inputs.isProgress(input) && crew.world.dice.hit(0.7) ? accepting(crew, id, Inputs.progress) : Effect.void
    ),
  acceptInputWithCompletion: (crew, id) =>
    Effect.flatMap(
      withInput(crew, id, (input) => crew.machine.acceptInputWithCompletion(id, input)),
      ([input, { completion, outcome }]) => {
        answered(crew, id, outcome, fieldsOf(input))
        return Option.isSome(completion) ? follow(crew, completion.value) : Effect.void
      }
    ),
  acceptInputWithoutWake: (crew, id) =>
    Effect.map(
      withInput(crew, id, (input) => crew.machine.acceptInputWithoutWake(id, input)),
      ([input, outcome]) => answered(crew, id, outcome, fieldsOf(input))
    ),
  wakeRuntimeIfActiveInputs: ({ machine }, id) => machine.wakeRuntimeIfActiveInputs(id),
  retractInput: (crew, id) => Effect.suspend(() => crew.machine.retractInput(id, inputOf(crew, id))),
  promoteInput: (crew, id) => Effect.suspend(() => crew.machine.promoteInput(id, inputOf(crew, id)))
}

const lifecycle: Pick<
  Record<keyof Own, Call>,
  | "hardCancelCurrentRun"
  | "cancelAfterBoundary"
  | "stopRuntimeExecutor"
  | "retireRuntime"
  | "resetRuntime"
  | "recycleRuntime"
  | "recoverRuntime"
  | "destroyRuntime"
  | "publishEvent"
> = {
  hardCancelCurrentRun: ({ machine }, id) => machine.hardCancelCurrentRun(id, "simulated"),
  cancelAfterBoundary: ({ machine }, id) => machine.cancelAfterBoundary(id, "simulated"),
  stopRuntimeExecutor: (crew, id) =>
    stopping(crew, "machine.stopRuntimeExecutor", id, crew.machine.stopRuntimeExecutor(id, "simulated")),
  retireRuntime: ({ machine }, id) => machine.retireRuntime(id),
  resetRuntime: ({ machine }, id) => machine.resetRuntime(id),
  recycleRuntime: ({ machine }, id) => machine.recycleRuntime(id),
  recoverRuntime: ({ machine }, id) => machine.recoverRuntime(id),
  destroyRuntime: (crew, id) => destroying(crew, "machine.destroyRuntime", id, crew.machine.destroyRuntime(id)),
  publishEvent: ({ machine }, id) => machine.publishEvent(id, { kind: "simulated", payload: null })
}

const reads: Pick<
  Record<keyof Own, Call>,
  | "runtimeState"
  | "runtimeStateChanges"
  | "inputState"
  | "outcome"
  | "listActiveInputs"
  | "loadBoundaryReceipt"
  | "history"
  | "runtimeEvents"
  | "meerkatMachineSpineSnapshot"
  | "storedSessions"
  | "fiberCount"
> = {
  runtimeState: ({ machine }, id) => machine.runtimeState(id),
  runtimeStateChanges: ({ machine, scope, world }, id) =>
    Stream.runDrain(Stream.take(machine.runtimeStateChanges(id), 3)).pipe(
      watched(world.journal, `state changes of ${id}`),
      Effect.ignore,
      Effect.forkIn(scope)
    ),
  inputState: (crew, id) => Effect.suspend(() => crew.machine.inputState(id, inputOf(crew, id))),
  outcome: (crew, id) =>
    Effect.suspend(() => {
      const input = inputOf(crew, id)
      const { journal, ledger } = crew.world
      return Effect.map(crew.machine.outcome(id, input), (outcome) => {
        if (Option.isNone(outcome)) return
        told(journal, input, outcome.value)
        if (!ledger.ended.has(input) && crew.world.peek !== null) {
          if (journal.inputs.get(input)?.durability !== "ephemeral") {
            violate(journal, "3 terminal iff outcome", `${input} is said to have ended and has not`)
          }
        }
      })
    }),
  listActiveInputs: ({ machine }, id) => machine.listActiveInputs(id),
  loadBoundaryReceipt: (crew, id) => Effect.suspend(() => crew.machine.loadBoundaryReceipt(id, runOf(crew, id), 0)),
  history: ({ machine }, id) => Stream.runCount(machine.history(id)),
  runtimeEvents: ({ machine, scope, world }, id) => {
    let last = -1
    return machine.runtimeEvents(id).pipe(
      Stream.takeUntil(() => world.dice.hit(0.02)),
      Stream.runForEach((item) =>
        Effect.sync(() => {
          count(world.journal, "feed", item._tag === "Event" ? item.envelope.event._tag : item._tag)
          if (item._tag !== "Event") return
          const { sequence } = item.envelope
          if (sequence <= last) violate(world.journal, "events", `${id}: event ${sequence} came after ${last}`)
          last = sequence
        })
      ),
      watched(world.journal, `events of ${id}`),
      Effect.ignore,
      Effect.forkIn(scope)
    )
  },
  meerkatMachineSpineSnapshot: ({ machine }, id) => machine.meerkatMachineSpineSnapshot(id),
  storedSessions: ({ machine, world }) =>
    Effect.suspend(() =>
      Stream.runCount(
        machine.storedSessions(world.dice.pick<SessionFilter>([{}, { pendingOnly: true }, { prefix: "s1" }]))
      )
    ),
  fiberCount: ({ machine }) => machine.fiberCount
}

/**
 * Every method of the machine. The type requires each, so a new method without an entry does not compile.
 *
 * @since 0.1.0
 * @category traffic
 */
export const machineCalls: Record<keyof MeerkatMachineService, Call> = {
  ...registration,
  ...admission,
  ...lifecycle,
  ...reads,
  ...commsCalls,
  ...toolCalls,
  ...operationCalls,
  ...llmCalls,
  ...bindingCalls,
  ...runCalls
}

/** An id that belongs to no session. @since 0.1.0 @category constructors */
export const nobody = SessionIdSchema.make("unknown")
