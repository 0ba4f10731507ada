/** CMP: what a waiter of an input is told, when, and how often. */
import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type { TurnOutput } from "../../services/CoreExecutor.js"
import * as Turns from "../../services/Turn.js"
import type { CompletionOutcome } from "../../src/domain/Completion.js"
import type { RuntimeDriverError } from "../../src/domain/Errors.js"
import { ApplyFailed } from "../../src/domain/Errors.js"
import { continuation, inputId, operation, peer, progress, prompt } from "../support/inputs.js"
import type { World } from "../support/rows.js"
import {
  accepted,
  anHour,
  attach,
  inTime,
  memoryRow,
  pass,
  phaseOf,
  row,
  scripted,
  settled,
  sid,
  until,
  untilPhase
} from "../support/rows.js"

/** Returns the outcome of a prompt whose turn ends with `output`. */
const told = (world: World, output: TurnOutput) =>
  Effect.gen(function*() {
    yield* attach(world, scripted({ apply: () => Effect.succeed(output) }))
    const completion = yield* accepted(world, prompt(1))
    const outcome = yield* completion.wait
    assert.strictEqual(yield* phaseOf(world, inputId(1)), "consumed")
    assert.deepStrictEqual(Option.getOrNull(yield* world.machine.outcome(sid, inputId(1))), outcome)
    return outcome
  })

const terminated = (reason: string): CompletionOutcome => ({ _tag: "RuntimeTerminated", reason })

describe("completions", () => {
  row("CMP-01 every waiter of a batch member receives the result of the batch", (world) =>
    Effect.gen(function*() {
      const result = { text: "done", data: { n: 1 }, usage: { inputTokens: 3 } }
      yield* world.machine.registerSession(sid)
      const waiters = yield* Effect.forEach([1, 2, 3, 3], (n) => accepted(world, continuation(n)))
      const output: TurnOutput = { session: { _tag: "None" }, terminal: { _tag: "RunResult", result } }
      const runs = scripted({ apply: () => Effect.succeed(output) })
      yield* attach(world, runs)
      const outcomes = yield* Effect.forEach(waiters, ({ wait }) => wait)
      assert.deepStrictEqual(outcomes, waiters.map(() => ({ _tag: "Completed", result })))
      assert.strictEqual(runs.turns.length, 1)
    }))

  row("CMP-02 a turn without a result ends as CompletedWithoutResult", (world) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* told(world, Turns.consume), { _tag: "CompletedWithoutResult" })
    }))

  row("CMP-02 a turn without a pending boundary ends as CompletedWithoutResult", (world) =>
    Effect.gen(function*() {
      const outcome = yield* told(world, { session: { _tag: "None" }, terminal: { _tag: "NoPendingBoundary" } })
      assert.deepStrictEqual(outcome, { _tag: "CompletedWithoutResult" })
    }))

  row("CMP-03 a turn that ends at a tool of the host ends as CallbackPending", (world) =>
    Effect.gen(function*() {
      const outcome = yield* told(world, Turns.callback("ask", { question: "why?" }))
      assert.deepStrictEqual(outcome, { _tag: "CallbackPending", toolName: "ask", args: { question: "why?" } })
    }))

  // `prompt` returns the stored outcome instead (ING-12, D19).
  row("CMP-05 an input that has ended gets no completion handle", (world) =>
    Effect.gen(function*() {
      yield* attach(world, scripted())
      const ignored = yield* world.machine.acceptInputWithCompletion(sid, operation(1))
      assert.isTrue(Option.isNone(ignored.completion))
      yield* (yield* accepted(world, prompt(2))).wait
      const again = yield* world.machine.acceptInputWithCompletion(sid, prompt(2))
      assert.deepStrictEqual(again.outcome, {
        _tag: "Deduplicated",
        inputId: inputId(2),
        existingId: inputId(2)
      })
      assert.isTrue(Option.isNone(again.completion))
    }))

  row("CMP-06 interrupting a waiter leaves the run and the other waiters alone", (world) =>
    Effect.gen(function*() {
      const runs = scripted({ park: true })
      yield* attach(world, runs)
      const completion = yield* accepted(world, prompt(1))
      const waiting = yield* Effect.forEach([1, 2, 3], () => Effect.fork(completion.wait))
      yield* runs.started(1)
      yield* settled
      const [first, ...others] = waiting
      if (first !== undefined) yield* Fiber.interrupt(first)
      yield* settled
      assert.strictEqual(yield* world.machine.runtimeState(sid), "running")
      yield* runs.open(1)
      const outcomes = yield* Effect.forEach(others, (fiber) => Fiber.join(fiber))
      assert.deepStrictEqual(outcomes.map(({ _tag }) => _tag), ["Completed", "Completed"])
      assert.strictEqual(runs.turns.length, 1)
    }))

  const ends: ReadonlyArray<
    readonly [string, string, (world: World) => Effect.Effect<unknown, RuntimeDriverError>]
  > = [
    ["reset", "runtime reset", ({ machine }) => machine.resetRuntime(sid)],
    ["stop", "runtime stopped", ({ machine }) => machine.stopRuntimeExecutor(sid, "enough")],
    ["destroy", "runtime destroyed", ({ machine }) => machine.destroyRuntime(sid)],
    ["unregister", "runtime session unregistered", ({ machine }) => machine.unregisterSession(sid)],
    ["retire without a loop", "retired without runtime loop", ({ machine }) => machine.retireRuntime(sid)]
  ]
  for (const [name, reason, end] of ends) {
    row(`CMP-07 a waiter receives the reason of the end on ${name}`, (world) =>
      Effect.gen(function*() {
        yield* world.machine.registerSession(sid)
        const waiters = yield* Effect.forEach([prompt(1), continuation(2)], (input) => accepted(world, input))
        yield* end(world)
        const outcomes = yield* Effect.forEach(waiters, ({ wait }) => wait)
        assert.deepStrictEqual(outcomes, [terminated(reason), terminated(reason)])
      }))
  }

  row("CMP-08 recycle and recover keep waiters waiting", (world) =>
    Effect.gen(function*() {
      yield* world.machine.registerSession(sid)
      const completion = yield* accepted(world, prompt(1))
      const waiting = yield* Effect.fork(completion.wait)
      assert.deepStrictEqual(yield* world.machine.recycleRuntime(sid), { inputsTransferred: 1 })
      const report = yield* world.machine.recoverRuntime(sid)
      assert.strictEqual(report.inputsRecovered, 1)
      yield* settled
      assert.isTrue(Option.isNone(yield* Fiber.poll(waiting)))
      assert.deepStrictEqual((yield* world.snapshot).waiters, [{ inputId: inputId(1), count: 1 }])
      yield* attach(world, scripted())
      assert.strictEqual((yield* Fiber.join(waiting))._tag, "Completed")
    }))

  // A waiter of an ended input cannot exist: the commit that ends the input also answers its waiters.
  row("CMP-09 every waiter is answered when its input ends", (world) =>
    Effect.gen(function*() {
      const runs = scripted({ park: true })
      yield* attach(world, runs)
      const waiters = yield* Effect.forEach([prompt(1), prompt(2)], (input) => accepted(world, input))
      yield* runs.started(1)
      yield* world.machine.retractInput(sid, inputId(2))
      assert.deepStrictEqual((yield* world.snapshot).waiters, [{ inputId: inputId(1), count: 1 }])
      yield* runs.openAll
      const outcomes = yield* Effect.forEach(waiters, ({ wait }) => wait)
      assert.deepStrictEqual((yield* world.snapshot).waiters, [])
      yield* world.machine.recycleRuntime(sid)
      yield* world.machine.recoverRuntime(sid)
      assert.deepStrictEqual(yield* Effect.forEach(waiters, ({ wait }) => wait), outcomes)
      assert.deepStrictEqual(outcomes.map(({ _tag }) => _tag), ["Completed", "Cancelled"])
    }))

  row("CMP-10 a waiter is told only after the commit is durable", (world) =>
    Effect.gen(function*() {
      yield* attach(world, scripted())
      const latch = yield* Effect.makeLatch(false)
      let parked = false
      world.tap.onCommit = ({ receipt }) => {
        if (receipt === undefined) return pass
        parked = true
        return { _tag: "Park", latch }
      }
      const completion = yield* accepted(world, prompt(1))
      const waiting = yield* Effect.fork(completion.wait)
      yield* until("the boundary commit", Effect.sync(() => parked))
      yield* settled
      assert.isTrue(Option.isNone(yield* Fiber.poll(waiting)))
      assert.strictEqual(yield* phaseOf(world, inputId(1)), "staged")
      assert.strictEqual(yield* world.machine.runtimeState(sid), "running")
      yield* latch.open
      assert.strictEqual((yield* Fiber.join(waiting))._tag, "Completed")
    }))

  memoryRow("CMP-11 every waiter is told once, and what is stored, after any calls", (world) =>
    Effect.gen(function*() {
      let seed = 11
      const draw = (below: number) => {
        seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
        return Math.floor(seed / 65_536) % below
      }
      let calm = false
      const runs = scripted({
        apply: (turn, n) =>
          n % 5 === 0 && !calm
            ? Effect.fail(new ApplyFailed({ cause: n % 2 === 0 ? "RuntimeTurn" : "HookDenied", detail: "no" }))
            : Effect.succeed(Turns.reply(turn.runId))
      })
      yield* attach(world, runs)
      const waiting = new Map<number, Fiber.Fiber<CompletionOutcome>>()
      const asked: Array<readonly [number, CompletionOutcome]> = []
      for (let n = 1; n <= 200; n++) {
        const any = inputId(1 + draw(n))
        switch (draw(12)) {
          case 0:
            yield* Effect.ignore(world.machine.retractInput(sid, any))
            break
          case 1:
            yield* Effect.ignore(world.machine.promoteInput(sid, any))
            break
          case 2:
            yield* Effect.ignore(world.machine.resetRuntime(sid))
            break
          case 3:
            yield* Effect.ignore(world.machine.hardCancelCurrentRun(sid, "x"))
            break
          case 4:
            yield* world.machine.unregisterSession(sid)
            yield* attach(world, runs)
            break
          case 5:
            yield* anHour
            break
          default: {
            const input = draw(3) === 0
              ? continuation(n)
              : draw(3) === 0
              ? peer(n, progress, undefined, { supersessionKey: "k" })
              : prompt(n)
            const completion = yield* accepted(world, input)
            waiting.set(
              n,
              yield* Effect.fork(Effect.tap(completion.wait, (outcome) => Effect.sync(() => asked.push([n, outcome]))))
            )
          }
        }
      }
      calm = true
      for (let hour = 0; hour < 12; hour++) yield* anHour
      yield* world.machine.acceptInput(sid, prompt(201))
      yield* untilPhase(world, inputId(201), "consumed")
      yield* settled
      assert.isAbove(waiting.size, 80)
      for (const [n, fiber] of waiting) {
        const state = Option.getOrThrow(yield* world.machine.inputState(sid, inputId(n)))
        const answer = yield* Fiber.poll(fiber)
        assert.isTrue(Option.isSome(answer), `input ${n} is ${state.phase} and its waiter was told nothing`)
        const times = asked.filter(([asker]) => asker === n)
        assert.strictEqual(times.length, 1)
        const outcome = times[0]?.[1]
        const stored = Option.getOrThrow(yield* world.machine.outcome(sid, inputId(n)))
        const left = outcome?._tag === "RuntimeTerminated" && outcome.reason === "runtime session unregistered"
        if (!left) assert.deepStrictEqual(outcome, stored)
      }
    }))

  row("CMP-12 an input reported as abandoned never runs again", (world) =>
    Effect.gen(function*() {
      const runs = scripted({
        apply: (turn, n) =>
          n <= 3
            ? Effect.fail(new ApplyFailed({ cause: "Unknown", detail: "no" }))
            : Effect.succeed(Turns.reply(turn.runId))
      })
      yield* world.machine.registerSession(sid)
      const coalesced = yield* accepted(world, peer(1, progress, undefined, { supersessionKey: "k" }))
      yield* world.machine.acceptInput(sid, peer(2, progress, undefined, { supersessionKey: "k" }))
      assert.strictEqual((yield* coalesced.wait)._tag, "Abandoned")
      const exhausted = yield* accepted(world, prompt(3))
      yield* attach(world, runs)
      assert.strictEqual((yield* inTime(exhausted.wait))._tag, "Abandoned")
      const before = runs.turns.length
      yield* world.restart
      yield* attach(world, runs)
      yield* (yield* accepted(world, prompt(4))).wait
      yield* anHour
      const later = runs.batches().slice(before).flat()
      assert.notInclude(later, inputId(3))
      assert.notInclude(runs.batches().flat(), inputId(1))
      assert.include(later, inputId(4))
    }))
})
