/**
 * The simulation's calls of a session handle.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { SessionHandle } from "../../../../services/MeerkatMachine.js"
import { watched } from "../Defects.js"
import * as Inputs from "../Inputs.js"
import { count, told } from "../Journal.js"
import type { Call } from "./Call.js"
import { destroying, inputOf, prompted, runOf, stopping } from "./Call.js"
import { handleCommsCalls } from "./commsCalls.js"
import { handleLlmCalls } from "./llmCalls.js"
import { sessionOperationCalls } from "./operationCalls.js"
import * as Patience from "./Patience.js"
import { patient } from "./Patience.js"
import { acceptAndRun, bindings } from "./runCalls.js"
import { handleToolCalls } from "./toolCalls.js"

/** The members of a handle that contain methods of their own. */
type Areas = {
  readonly tools: typeof handleToolCalls
  readonly comms: typeof handleCommsCalls
  readonly operations: typeof sessionOperationCalls
  readonly llm: typeof handleLlmCalls
}

type Methods = Exclude<keyof SessionHandle, "sessionId" | keyof Areas>

/** Every method of a session's handle; see `machineCalls`. @since 0.1.0 @category traffic */
export const handleCalls: Record<Methods, Call> = {
  prompt: (crew, id) =>
    Effect.suspend(() => {
      const { dice } = crew.world
      const idempotencyKey = dice.hit(0.25) ? Inputs.key(dice) : undefined
      const supersessionKey = dice.hit(0.1) ? dice.pick(["u", "v"]) : undefined
      return Effect.flatMap(
        crew.machine.session(id).prompt(Inputs.text(dice), {
          hold: dice.hit(0.1),
          ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
          ...(supersessionKey === undefined ? {} : { supersessionKey }),
          ...(dice.hit(0.1) ? { metadata: { model: dice.pick(["a", "b"]) } } : {})
        }),
        prompted(crew, id, idempotencyKey, supersessionKey)
      )
    }),
  steer: (crew, id) =>
    Effect.suspend(() => {
      const expected = crew.world.dice.hit(0.3) ? { expectedRunId: runOf(crew, id) } : {}
      return Effect.flatMap(crew.machine.session(id).steer("now", expected), prompted(crew, id))
    }),
  ask: (crew, id) =>
    Effect.suspend(() => {
      const { dice } = crew.world
      const asked = { method: "session.ask", sessionId: id }
      if (dice.hit(0.3)) {
        const waits = Patience.untilIdle(crew, id)
        return patient(crew.world, { ...asked, waits }, crew.machine.session(id).ask("question"))
      }
      const deadline = dice.pick([1, 20, 500, 5000])
      return patient(
        crew.world,
        { ...asked, waits: Patience.atOnce },
        crew.machine.session(id).ask("question", { deadline })
      )
    }),
  acceptAndRun,
  bindings,
  outcome: (crew, id) =>
    Effect.suspend(() => {
      const input = inputOf(crew, id)
      return Effect.map(
        crew.machine.session(id).outcome(input),
        Option.map((outcome) => told(crew.world.journal, input, outcome))
      )
    }),
  retract: (crew, id) => Effect.suspend(() => crew.machine.session(id).retract(inputOf(crew, id))),
  promote: (crew, id) => Effect.suspend(() => crew.machine.session(id).promote(inputOf(crew, id))),
  cancel: ({ machine }, id) => machine.session(id).cancel("simulated"),
  yieldRun: ({ machine }, id) => machine.session(id).yieldRun("simulated"),
  stop: (crew, id) => stopping(crew, "session.stop", id, crew.machine.session(id).stop("simulated")),
  retire: ({ machine }, id) => machine.session(id).retire,
  reset: ({ machine }, id) => machine.session(id).reset,
  recycle: ({ machine }, id) => machine.session(id).recycle,
  destroy: (crew, id) => destroying(crew, "session.destroy", id, crew.machine.session(id).destroy),
  history: ({ machine }, id) => Stream.runCount(machine.session(id).history),
  events: ({ machine, scope, world }, id) =>
    Stream.runForEach(
      Stream.take(machine.session(id).events, 4),
      (item) => Effect.sync(() => count(world.journal, "feed", item._tag))
    ).pipe(watched(world.journal, `events of ${id}`), Effect.ignore, Effect.forkIn(scope)),
  snapshot: ({ machine }, id) => machine.session(id).snapshot,
  state: ({ machine }, id) => machine.session(id).state
}

/** The areas of a handle with their methods. @since 0.1.0 @category traffic */
export const handleAreas: Areas = {
  tools: handleToolCalls,
  comms: handleCommsCalls,
  operations: sessionOperationCalls,
  llm: handleLlmCalls
}
