/** @since 0.1.0 */
import * as Effect from "effect/Effect"
import type { TurnOutput } from "../../../../services/CoreExecutor.js"
import type { BindingsControl, ServiceTurn, SessionRuntimeBindings } from "../../../../services/SessionBindings.js"
import type { InlineTurn, RunsControl } from "../../../../services/SessionRuns.js"
import * as Turn from "../../../../services/Turn.js"
import type { RuntimeDriverError } from "../../../domain/Errors.js"
import { ControlFailed, ExecutorFault } from "../../../domain/Errors.js"
import { InputId, type SessionId } from "../../../domain/Ids.js"
import type { Input } from "../../../domain/Input.js"
import { header } from "../../../domain/Input.js"
import type { Crew } from "../Crew.js"
import { count, sent } from "../Journal.js"
import * as Observe from "../Observe.js"
import type { World } from "../World.js"
import type { Call } from "./Call.js"
import { patient, untilFree } from "./Patience.js"

const output = ({ dice }: World): TurnOutput => dice.pick([Turn.reply("inline"), Turn.consume])

/** What somebody does with the run slot: it is done, slow, fails, dies, or takes for ever. */
const work = (world: World): Effect.Effect<string, ExecutorFault> =>
  Effect.suspend(() =>
    world.dice.weighted<() => Effect.Effect<string, ExecutorFault>>([
      [() => Effect.succeed("done"), 4],
      [() => Effect.as(Effect.sleep(world.dice.below(200)), "done"), 4],
      [() => Effect.fail(new ExecutorFault({ detail: "simulated" })), 1],
      [() => Effect.dieMessage("simulated"), 0.3],
      [() => Effect.as(Effect.sleep("10 minutes"), "late"), 0.5]
    ])()
  )

const inline = (world: World) => (turn: InlineTurn) =>
  Observe.observed(world, turn, Effect.map(work(world), (text) => [text, output(world)] as const))

/** A prompt, noted before it is handed in: whether it was taken is not said in every case. */
const prompt = ({ world: { dice, journal } }: Crew, sessionId: SessionId): Input => {
  const inputId = InputId.make(dice.uuid())
  sent(journal, { inputId, sessionId, durability: "durable", key: null, supersessionKey: null })
  return { _tag: "Prompt", header: header(inputId, 0), text: "inline" }
}

/** @since 0.1.0 @category traffic */
export const runCalls: Record<keyof RunsControl, Call> = {
  acceptInputAndRun: (crew, id) =>
    Effect.suspend(() =>
      patient(
        crew.world,
        { method: "machine.acceptInputAndRun", sessionId: id, waits: untilFree(crew, id) },
        crew.machine.acceptInputAndRun(id, prompt(crew, id), inline(crew.world))
      )
    ),
  installPreparedSessionInterruptHandle: ({ machine, world }, id) =>
    machine.installPreparedSessionInterruptHandle(id, () => {
      count(world.journal, "hook", "preparedInterrupt")
      return world.dice.hit(0.2) ? new ControlFailed({ detail: "simulated" }) : Effect.void
    })
}

/** The same of a handle. @since 0.1.0 @category traffic */
export const acceptAndRun: Call = (crew, id) =>
  Effect.suspend(() =>
    patient(
      crew.world,
      { method: "session.acceptAndRun", sessionId: id, waits: untilFree(crew, id) },
      crew.machine.session(id).acceptAndRun(prompt(crew, id), inline(crew.world))
    )
  )

type TurnCall = (crew: Crew, turn: ServiceTurn, id: SessionId) => Effect.Effect<unknown, { readonly _tag: string }>

/** Every way to use a service turn. */
const turnCalls: Record<keyof ServiceTurn, TurnCall> = {
  begin: (crew, turn) =>
    Effect.flatMap(turn.begin(), (runId) =>
      Effect.zipRight(
        crew.world.dice.hit(0.2) ? turn.begin(runId) : Effect.sleep(crew.world.dice.below(100)),
        crew.world.dice.pick([
          turn.complete(output(crew.world), runId),
          turn.fail("simulated", runId),
          turn.cancel("simulated", runId),
          // its owner never comes back
          Effect.void
        ])
      )),
  complete: (_, turn) => turn.complete(),
  fail: (_, turn) => turn.fail("simulated"),
  cancel: (_, turn) => turn.cancel("simulated"),
  snapshot: (_, turn) => turn.snapshot,
  cancelRequested: (_, turn) =>
    Effect.flatMap(turn.begin(), (runId) => Effect.timeoutOption(turn.cancelRequested(runId), "1 second")),
  run: (crew, turn, id) =>
    patient(
      crew.world,
      { method: "serviceTurn.run", sessionId: id, waits: untilFree(crew, id) },
      turn.run(work(crew.world), { output: () => output(crew.world) })
    )
}

const [firstTurnCall, ...otherTurnCalls] = Object.entries(turnCalls)

const use = (crew: Crew, id: SessionId, { turn }: SessionRuntimeBindings) =>
  Effect.suspend(() => {
    if (firstTurnCall === undefined) return Effect.void
    const [name, call] = crew.world.dice.pick([firstTurnCall, ...otherTurnCalls])
    count(crew.world.journal, "serviceTurn", name)
    return call(crew, turn, id)
  })

/** @since 0.1.0 @category traffic */
export const bindingCalls: Record<keyof BindingsControl, Call> = {
  prepareBindings: (crew, id) =>
    Effect.flatMap(crew.machine.prepareBindings(id), (bindings) => use(crew, id, bindings)),
  prepareLocalSessionBindings: ({ machine }, id) => machine.prepareLocalSessionBindings(id),
  verifyBindings: ({ machine, world }, id) =>
    Effect.flatMap(
      world.dice.hit(0.7) ? machine.prepareLocalSessionBindings(id) : Effect.succeed({}),
      (value): Effect.Effect<unknown, RuntimeDriverError> => machine.verifyBindings(value)
    ),
  commitServiceTurnTerminalReceipt: ({ machine }, id) => machine.commitServiceTurnTerminalReceipt(id)
}

/** The same of a handle. @since 0.1.0 @category traffic */
export const bindings: Call = (crew, id) =>
  Effect.flatMap(crew.machine.session(id).bindings, (bound) => use(crew, id, bound))
