/**
 * Pairs of commands at the same time. The test holds the first command at each of its calls of the store and of the
 * executor's hooks, and starts the second command in that window.
 *
 * In every order both commands end with a value or a typed error, and every waiter gets its outcome. A live loop leaves
 * no input queued, each hook is called once, and the session can be unregistered and registered again.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as CommsRuntimeMailbox from "../../layers/CommsRuntimeMailbox.js"
import type { CoreExecutor, Turn } from "../../services/CoreExecutor.js"
import type { CompletionOutcome } from "../../src/domain/Completion.js"
import type { LatchedExecutor } from "../../src/testkit/index.js"
import type { Lab } from "../conformance/driver.js"
import { A, failing, simulate } from "../conformance/driver.js"
import { prompt } from "../support/inputs.js"
import { sampled } from "../support/worlds.js"

/** The rates of preemption; `PAIRS=all` tests both. */
const modes = process.env["PAIRS"] === "all" ? [0, 0.1] : [0.1]

/** The point at which the first command is held. */
type Window =
  | "before the session is opened"
  | "after the session is opened"
  | "before the commit"
  | "after the commit"
  | "while the executor is built"
  | "in the stop hook"
  | "in the cleanup hook"
  | "in a run"

/** A gate that holds the first fiber which reaches it. */
interface Gate {
  readonly reached: Effect.Latch
  readonly open: Effect.Latch
  armed: boolean
}

const pass = (gate: Gate): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (!gate.armed) return Effect.void
    gate.armed = false
    return Effect.zipRight(gate.reached.open, gate.open.await)
  })

interface Scene {
  readonly lab: Lab
  readonly latched: LatchedExecutor.LatchedExecutor
  readonly gates: Readonly<Record<Window, Gate>>
  readonly waiters: Array<Fiber.RuntimeFiber<CompletionOutcome>>
  /** Ends the background operation of the first run. */
  readonly finishOperation: Effect.Effect<void>
  readonly turn: () => Turn | undefined
}

const gate = (): Gate => ({
  reached: Effect.unsafeMakeLatch(false),
  open: Effect.unsafeMakeLatch(false),
  armed: false
})

const waitFor = (scene: Scene, n: number) =>
  Effect.gen(function*() {
    const { completion } = yield* scene.lab.machine.acceptInputWithCompletion(A, prompt(n))
    if (Option.isSome(completion)) scene.waiters.push(yield* Effect.forkScoped(completion.value.wait))
  })

type Stage = "unknown" | "queued" | "attached" | "running"

const build = (scene: Scene): Effect.Effect<CoreExecutor> =>
  Effect.as(pass(scene.gates["while the executor is built"]), scene.latched.executor)

const enter = (lab: Lab, stage: Stage) =>
  Effect.gen(function*() {
    const gates: Scene["gates"] = {
      "before the session is opened": gate(),
      "after the session is opened": gate(),
      "before the commit": gate(),
      "after the commit": gate(),
      "while the executor is built": gate(),
      "in the stop hook": gate(),
      "in the cleanup hook": gate(),
      "in a run": gate()
    }
    const finished = yield* lab.latch
    let first: Turn | undefined
    const latched = yield* lab.executor({
      held: stage === "running",
      begin: (turn) =>
        Effect.gen(function*() {
          if (first === undefined && stage === "running") {
            first = turn
            yield* Effect.orDie(turn.operations.run(Effect.as(finished.await, "done"), { displayName: "beside" }))
          }
          yield* pass(gates["in a run"])
        }),
      stop: pass(gates["in the stop hook"]),
      cleanup: pass(gates["in the cleanup hook"]),
      hardCancel: () => Effect.void
    })
    const scene: Scene = {
      lab,
      latched,
      gates,
      waiters: [],
      finishOperation: Effect.asVoid(finished.open),
      turn: () => first
    }
    if (stage === "attached" || stage === "running") yield* lab.machine.ensureSessionWithExecutor(A, latched.executor)
    if (stage === "queued") yield* lab.machine.registerSession(A)
    if (stage === "queued" || stage === "running") yield* Effect.forEach([1, 2], (n) => waitFor(scene, n))
    if (stage === "running") yield* latched.started(1)
    yield* lab.settle
    return scene
  })

/** Arms the window. The faulty store holds the calls of the store; the gates hold the calls of the executor. */
const arm = ({ gates, lab }: Scene, window: Window) => {
  switch (window) {
    case "before the session is opened":
      return lab.faults.park("openRuntime")
    case "after the session is opened":
      return lab.faults.park("openRuntime", { when: "after" })
    case "before the commit":
      return lab.faults.park("commit")
    case "after the commit":
      return lab.faults.park("commit", { when: "after" })
    default: {
      const held = gates[window]
      held.armed = true
      return { reached: held.reached.await, release: Effect.asVoid(held.open.open) }
    }
  }
}

type Act = (scene: Scene) => Effect.Effect<unknown, unknown>

const another = (scene: Scene): Effect.Effect<CoreExecutor> =>
  Effect.map(scene.lab.executor(), ({ executor }) => executor)

const acts: Readonly<Record<string, Act>> = {
  ensure: (scene) => scene.lab.machine.ensureSessionWithExecutorFactory(A, build(scene)),
  "another ensure": (scene) =>
    Effect.flatMap(another(scene), (executor) => scene.lab.machine.ensureSessionWithExecutor(A, executor)),
  accept: ({ lab }) => lab.machine.acceptInput(A, prompt(9)),
  register: ({ lab }) => lab.machine.registerSession(A),
  unregister: ({ lab }) => lab.machine.unregisterSession(A),
  stop: ({ lab }) => lab.machine.stopRuntimeExecutor(A, "enough"),
  "stop with the run let go": ({ lab, latched }) =>
    Effect.zipRight(latched.open, lab.machine.stopRuntimeExecutor(A, "enough")),
  destroy: ({ lab }) => lab.machine.destroyRuntime(A),
  retire: ({ lab }) => lab.machine.retireRuntime(A),
  recycle: ({ lab }) => lab.machine.recycleRuntime(A),
  reset: ({ lab }) => lab.machine.resetRuntime(A),
  cancel: ({ lab }) => lab.machine.hardCancelCurrentRun(A, "enough"),
  "the end of the run": ({ latched }) => latched.open,
  "the end of an operation": ({ finishOperation }) => finishOperation,
  "a drain": ({ lab }) =>
    Effect.flatMap(
      CommsRuntimeMailbox.make(),
      (commsRuntime) => lab.machine.updatePeerIngressContext(A, { keepAlive: true, commsRuntime })
    )
}

interface Pair {
  readonly first: string
  readonly from: ReadonlyArray<Stage>
  readonly held: ReadonlyArray<Window>
  readonly others: ReadonlyArray<string>
}

const commits = ["before the commit", "after the commit"] as const
const opening = ["before the session is opened", "after the session is opened"] as const

const pairs: ReadonlyArray<Pair> = [
  {
    first: "ensure",
    from: ["unknown", "queued"],
    held: [...opening, "while the executor is built", "in a run", ...commits],
    others: ["another ensure", "accept", "register", "unregister", "stop", "destroy"]
  },
  {
    first: "unregister",
    from: ["running", "attached", "queued"],
    held: ["in the stop hook", ...commits],
    others: ["the end of the run", "accept", "stop", "the end of an operation", "a drain", "another ensure", "destroy"]
  },
  {
    first: "stop with the run let go",
    from: ["running", "attached", "queued"],
    held: ["in the stop hook", "in the cleanup hook", "in a run", ...commits],
    others: ["destroy", "the end of the run", "cancel", "unregister", "accept", "retire"]
  },
  {
    first: "retire",
    from: ["running", "attached", "queued"],
    held: ["in a run", "in the stop hook", ...commits],
    others: ["the end of the run", "accept", "another ensure", "recycle", "reset", "stop", "unregister"]
  },
  {
    first: "destroy",
    from: ["running", "attached", "queued"],
    held: ["in the stop hook", "in the cleanup hook", ...commits],
    others: ["stop", "unregister", "register", "another ensure", "accept", "the end of an operation", "a drain"]
  }
]

const typed = (what: string, exit: Exit.Exit<unknown, unknown>): void => {
  if (Exit.isSuccess(exit)) return
  const failure = Cause.failureOption(exit.cause)
  assert.isTrue(
    Option.isSome(failure) && typeof failure.value === "object" && failure.value !== null && "_tag" in failure.value,
    `${what}: ${Cause.pretty(exit.cause)}`
  )
}

/** Asserts the state of the session after both commands have ended. */
const settled = ({ lab, latched, waiters }: Scene, accepted: boolean) =>
  Effect.gen(function*() {
    const { machine } = lab
    yield* lab.advance("1 hour")
    const contained = yield* machine.containsSession(A)
    const active = contained ? yield* machine.listActiveInputs(A) : []
    if (yield* machine.sessionHasExecutor(A)) assert.deepStrictEqual(active, [], "stranded beside a live loop")
    const pending = waiters.filter((waiter) => waiter.unsafePoll() === null).length
    assert.isAtMost(pending, active.length, "a waiter of an ended input still waits")
    const { apply, cleanup, stop } = latched.counts()
    assert.isAtMost(stop, 1, "stop hook")
    assert.isAtMost(cleanup, 1, "cleanup hook")
    // unregister and register again: the loop runs the queued inputs
    assert.include(["success", "NotReady{destroyed}"], yield* failing(machine.unregisterSession(A)))
    assert.strictEqual(yield* Effect.sync(() => waiters.filter((waiter) => waiter.unsafePoll() === null).length), 0)
    if (apply > 0) assert.strictEqual(latched.counts().stop, 1, "the stop hook of an executor that ran")
    const fresh = yield* lab.executor()
    const again = yield* failing(machine.ensureSessionWithExecutor(A, fresh.executor))
    assert.include(["success", "Destroyed", "NotReady{retired}"], again)
    yield* lab.advance("1 hour")
    if (again === "success") assert.deepStrictEqual(yield* machine.listActiveInputs(A), [])
    if (accepted && again === "success") assert.isTrue(Option.isSome(yield* machine.inputState(A, prompt(9).header.id)))
  })

/** Plays one pair in one window; returns false if the first command does not reach that window. */
const play = (first: string, stage: Stage, window: Window, other: string, preempt: number): boolean => {
  let there = false
  const result = simulate(
    {
      given: (lab) => enter(lab, stage),
      when: (_, scene) =>
        Effect.gen(function*() {
          const one = acts[first]
          const two = acts[other]
          if (one === undefined || two === undefined) return yield* Effect.dieMessage("no such act")
          const held = arm(scene, window)
          const beginning = yield* Effect.forkScoped(Effect.exit(one(scene)))
          const came = yield* Effect.timeoutOption(held.reached, "1 second")
          there = Option.isSome(came)
          const beside = yield* Effect.forkScoped(Effect.exit(two(scene)))
          yield* scene.lab.settle
          yield* scene.lab.faults.heal
          yield* held.release
          yield* scene.lab.settle
          yield* scene.latched.open
          const ends = yield* Effect.timeoutOption(Fiber.join(Fiber.zip(beginning, beside)), "2 minutes")
          if (Option.isNone(ends)) {
            const hangs = [beginning, beside].map((fiber) => fiber.unsafePoll() === null)
            return yield* Effect.dieMessage(`hangs: first ${String(hangs[0])}, other ${String(hangs[1])}`)
          }
          typed(first, ends.value[0])
          typed(other, ends.value[1])
          return other === "accept" && Exit.isSuccess(ends.value[1])
        }),
      then: (_, accepted, scene) => settled(scene, accepted)
    },
    { seed: 1, preempt, maxSteps: 200_000 }
  )
  const where = `from ${stage}, held ${window}, preempt ${preempt}`
  if (result.exit === null) assert.fail(`${where}: ${result.end}`)
  else if (Exit.isFailure(result.exit)) assert.fail(`${where}: ${Cause.pretty(result.exit.cause)}`)
  return there
}

describe("pairs", () => {
  for (const { first, from, held, others } of pairs) {
    for (const other of sampled(others, 3)) {
      it.live(`${first} × ${other}`, () =>
        Effect.gen(function*() {
          let found = 0
          for (const stage of from) {
            for (const window of held) {
              for (const preempt of modes) {
                if (play(first, stage, window, other, preempt)) found++
                // a world runs synchronously: yield to the event loop between two worlds
                yield* Effect.sleep(0)
              }
            }
          }
          assert.isAbove(found, 3, "windows that the first command reached")
        }), 120_000)
    }
  }
})
