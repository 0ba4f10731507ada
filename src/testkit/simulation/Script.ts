/**
 * Executors that do everything an executor may do, as the dice decide. Each life attaches them to its sessions.
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Stream from "effect/Stream"
import type { CoreExecutor, SessionUpdate, Turn, TurnOutput } from "../../../services/CoreExecutor.js"
import { callback, consume, replace, reply } from "../../../services/Turn.js"
import type { ExecutorError, OperationError } from "../../domain/Errors.js"
import {
  ApplyFailed,
  ApplyFailureCause,
  ControlFailed,
  ExecutorFault,
  ExecutorStopped,
  TerminalFailure,
  TurnCancelled
} from "../../domain/Errors.js"
import type { Json } from "../../domain/Json.js"
import * as Message from "../../domain/Message.js"
import type { Crew } from "./Crew.js"
import { starting } from "./Crew.js"
import { strange } from "./Defects.js"
import { isPoison } from "./Inputs.js"
import { count, note } from "./Journal.js"
import type { World } from "./World.js"

/**
 * Makes an executor that follows the dice; in a calm phase it answers whatever can be answered.
 *
 * @since 0.1.0
 * @category constructors
 */
export const executor = (crew: () => Crew | null, world: World, calm: () => boolean): CoreExecutor => ({
  apply: (turn) =>
    Effect.suspend((): Effect.Effect<TurnOutput, ExecutorError> => {
      if (turn.inputs.some(isPoison)) return new ApplyFailed({ cause: "RuntimeTurn", detail: "it is poison" })
      return calm() ? Effect.succeed(reply("calm")) : act(crew, world, turn)
    }),
  ...handles(world, calm)
})

// --- internal ---

type Act = (crew: () => Crew | null, world: World, turn: Turn) => Effect.Effect<TurnOutput, ExecutorError>

const act: Act = (crew, world, turn) =>
  Effect.suspend(() => {
    const [name, chosen] = world.dice.weighted(acts)
    count(world.journal, "act", name)
    note(world.journal, `${turn.sessionId} ${turn.runId} does ${name}`)
    return chosen(crew, world, turn)
  })

const pause = ({ dice }: World, limit = 120): Effect.Effect<void> => Effect.sleep(dice.below(limit))

const text = (role: "user" | "assistant") => Message.ofText(role, "said")

const result = { text: "done" }

const updates: NonEmptyReadonlyArray<SessionUpdate> = [
  { _tag: "Reply", messages: [text("assistant")] },
  { _tag: "Append", messages: [text("user"), text("assistant")] },
  { _tag: "Append", messages: [] },
  { _tag: "Replace", messages: [text("assistant")] },
  { _tag: "Opaque", bytes: Uint8Array.of(1, 2, 3), messageCount: 2 },
  { _tag: "None" }
]

/** A value with the JSON type that JSON cannot render. */
const circular = (): Json => {
  const self: { [key: string]: Json } = {}
  self["self"] = self
  return self
}

/** A user function that throws instead of returning an effect. */
const broken = (): never => Either.getOrThrowWith(Either.left("simulated"), (reason) => new Error(reason))

const output = ({ dice }: World): TurnOutput => {
  const session = dice.pick(updates)
  return dice.pick([
    reply("answer", { data: { n: 1 }, usage: { inputTokens: 1 } }),
    consume,
    callback("tool", { n: 1 }),
    replace([text("assistant")], result),
    { session, terminal: { _tag: "RunResult", result } },
    { session, terminal: { _tag: "NoPendingBoundary" } },
    { session, terminal: null }
  ])
}

const retryable = ({ dice }: World) => dice.hit(0.2) ? { retryable: dice.hit(0.5) } : {}

const failure = (world: World): ExecutorError => {
  const { dice } = world
  const detail = "simulated"
  const [first, ...others] = ApplyFailureCause.literals
  const error = dice.pick<() => ExecutorError>([
    () => new ApplyFailed({ cause: dice.pick([first, ...others]), detail, ...retryable(world) }),
    () =>
      new TerminalFailure({
        outcome: dice.pick([
          "failed",
          "budget_exhausted",
          "time_budget_exceeded",
          "structured_output_validation_failed"
        ]),
        causeKind: dice.pick(["hook_denied", "llm_failure", "tool_failure", "turn_limit_reached", "fatal_failure"]),
        detail,
        ...retryable(world)
      }),
    () => new ControlFailed({ detail, ...retryable(world) }),
    () => new ExecutorStopped({ detail }),
    () => new TurnCancelled({ detail }),
    () => new ExecutorFault({ detail, ...retryable(world) })
  ])()
  count(world.journal, "executorError", error._tag)
  return error
}

const failed = (world: World): Effect.Effect<never, ExecutorError> =>
  Effect.flatMap(Effect.sync(() => failure(world)), (error) => Effect.fail(error))

/** Makes background work; the dice decide its end when it ends. @since 0.1.0 @category constructors */
export const background = (world: World): Effect.Effect<string, unknown> =>
  Effect.zipRight(
    pause(world, 400),
    Effect.suspend((): Effect.Effect<string, unknown> => {
      switch (world.dice.below(5)) {
        case 0:
          return Effect.fail(world.dice.pick<unknown>(["simulated", strange]))
        case 1:
          return Effect.die(world.dice.pick<unknown>([new Error("simulated"), strange]))
        case 2:
          return Effect.as(Effect.sleep("10 minutes"), "late")
        default:
          return Effect.succeed("found it")
      }
    })
  )

const tellOperation = (world: World, error: OperationError): Effect.Effect<ExecutorFault> =>
  Effect.sync(() => {
    count(world.journal, "operationError", error._tag)
    return new ExecutorFault({ detail: error._tag, retryable: true })
  })

const operate: Act = (_, world, turn) =>
  Effect.gen(function*() {
    const { dice } = world
    const kind = dice.pick(["background_tool_op", "mob_member_child"] as const)
    const { operations, sessionId } = turn
    const work = operations.run(background(world), { displayName: "work", kind })
    const own = yield* starting(world, sessionId, "process", work)
    const webhook = operations.external({ displayName: "webhook", kind: "background_tool_op" })
    yield* starting(world, sessionId, "external", webhook)
    yield* operations.get(own)
    if (dice.hit(0.3)) yield* Effect.timeoutOption(operations.waitAll([own]), "2 seconds")
    return output(world)
  }).pipe(Effect.catchAll((error) => Effect.flatMap(tellOperation(world, error), Effect.fail)))

/** Calls from inside a run that would wait for this run: they only begin, or they are refused. */
const fromInside: Act = (crew, world, turn) =>
  Effect.gen(function*() {
    const { dice, journal } = world
    const here = crew()
    if (here === null) return output(world)
    const session = here.machine.session(turn.sessionId)
    const told = yield* Effect.either(
      dice.pick<Effect.Effect<unknown, { readonly _tag: string }>>([
        session.ask("me"),
        Effect.flatMap(session.prompt("me"), ({ completion }) => completion.wait),
        session.stop("from inside"),
        here.machine.unregisterSession(turn.sessionId),
        session.yieldRun("from inside"),
        session.cancel("from inside"),
        session.snapshot,
        here.machine.session(dice.pick([turn.sessionId, ...here.sessions])).prompt("from a neighbour")
      ])
    )
    count(journal, "inside", told._tag === "Left" ? told.left._tag : "ok")
    yield* pause(world)
    return output(world)
  })

const acts: NonEmptyReadonlyArray<readonly [readonly [name: string, act: Act], weight: number]> = [
  [["reply at once", (_, world) => Effect.sync(() => output(world))], 8],
  [["reply later", (_, world) => Effect.zipRight(pause(world), Effect.sync(() => output(world)))], 8],
  [["fail", (_, world) => Effect.zipRight(pause(world, 20), failed(world))], 5],
  [["die", (_, world) => Effect.zipRight(pause(world, 20), Effect.dieMessage("simulated"))], 1],
  [["die of something strange", () => Effect.die(strange)], 0.3],
  [["answer with circular data", () => Effect.sync(() => reply("answer", { data: circular() }))], 0.3],
  [["throw", broken], 0.3],
  [["hang", () => Effect.as(Effect.sleep("30 minutes"), consume)], 1],
  [["interrupt itself", () => Effect.interrupt], 0.3],
  [["ignore interruption", (_, world, turn) =>
    Effect.suspend(() => {
      const run = world.journal.runs.get(turn.runId)
      if (run !== undefined) run.stubborn = true
      return Effect.uninterruptible(Effect.as(Effect.sleep(world.dice.pick([500, 40_000])), output(world)))
    })], 0.5],
  [["yield at a boundary", (_, world, turn) =>
    Effect.zipRight(
      Effect.race(turn.boundaryRequested, Effect.sleep(300)),
      Effect.sync(() => output(world))
    )], 3],
  [["finish early", (_, world, turn) =>
    Effect.zipRight(
      turn.finish(output(world)),
      Effect.suspend((): Effect.Effect<TurnOutput, ExecutorError> =>
        world.dice.pick<() => Effect.Effect<TurnOutput, ExecutorError>>([
          () => Effect.as(pause(world), consume),
          () => failed(world),
          () => Effect.dieMessage("simulated"),
          () => Effect.as(Effect.sleep("5 minutes"), consume)
        ])()
      )
    )], 2],
  [[
    "read the history",
    (_, world, turn) => Effect.zipRight(Stream.runCount(turn.history), Effect.sync(() => output(world)))
  ], 1],
  [["operate", operate], 3],
  [["call from inside", fromInside], 1]
]

type Hook = Effect.Effect<void, ControlFailed>

const hook = (world: World, name: string, calm: () => boolean): Hook =>
  Effect.suspend((): Hook => {
    const { dice, journal } = world
    count(journal, "hook", name)
    note(journal, `hook ${name}`)
    if (calm()) return Effect.void
    return dice.weighted<Hook>([
      [Effect.void, 6],
      [pause(world), 3],
      [Effect.fail(new ControlFailed({ detail: "simulated" })), 1],
      [Effect.dieMessage("simulated"), 0.3],
      [Effect.die(strange), 0.1],
      [Effect.sleep("1 minute"), 0.2]
    ])
  })

/** Makes a handle that may throw before it returns its effect. */
const handle = (world: World, name: string, calm: () => boolean) => (_: unknown): Hook =>
  !calm() && world.dice.hit(0.05) ? broken() : hook(world, name, calm)

const handles = (world: World, calm: () => boolean): Omit<CoreExecutor, "apply"> => ({
  stop: handle(world, "stop", calm),
  cleanupAfterStop: hook(world, "cleanupAfterStop", calm),
  ...(world.dice.hit(0.7) ? { cancelAfterBoundary: handle(world, "cancelAfterBoundary", calm) } : {}),
  ...(world.dice.hit(0.5) ? { hardCancel: handle(world, "hardCancel", calm) } : {})
})
