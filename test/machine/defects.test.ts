/** Defects in user code: hooks that throw, values that cannot be serialised, stop hooks that die. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as TestClock from "effect/TestClock"
import * as TestServices from "effect/TestServices"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import * as Turn from "../../services/Turn.js"
import { SessionId } from "../../src/domain/Ids.js"
import type { Json } from "../../src/domain/Json.js"
import { LatchedExecutor } from "../../src/testkit/index.js"
import { prompt } from "../support/inputs.js"

const id = SessionId.make("s")

/** A value with a bigint. `JSON.stringify` and `Cause.pretty` both throw on it. */
const strange = { rows: 1n }

/** A value that has the type `Json` but cannot be serialised, because it contains itself. */
const circular = (): Json => {
  const self: { [key: string]: Json } = {}
  self["self"] = self
  return self
}

const boom = (): never => {
  throw new Error("boom")
}

const inTime = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  TestServices.provideLive(Effect.timeout(Effect.disconnect(effect), "5 seconds"))

/** Like `inTime`, but moves the test clock so that retries come due at once. */
const moves = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.raceFirst(inTime(effect), Effect.forever(TestClock.adjust("1 second")))

const test = (name: string, body: (machine: MeerkatMachine["Type"]) => Effect.Effect<void, unknown>) =>
  it.effect(name, () => Effect.flatMap(MeerkatMachine, body).pipe(Effect.provide(MeerkatMachineLive.layerEphemeral)))

const deathOf = (exit: Exit.Exit<unknown, unknown>): unknown =>
  Exit.isFailure(exit) ? Cause.squash(exit.cause) : "no death"

describe("an executor handle that throws when it is called", () => {
  test("does not keep a hard cancel from interrupting the run", (machine) =>
    Effect.gen(function*() {
      const held = yield* LatchedExecutor.make({ held: true })
      yield* machine.ensureSessionWithExecutor(id, { ...held.executor, hardCancel: boom })
      const { completion } = yield* machine.session(id).prompt("hello")
      yield* held.started(1)
      yield* machine.hardCancelCurrentRun(id, "why")
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* inTime(completion.wait))._tag, "Cancelled")
      assert.strictEqual(yield* machine.runtimeState(id), "attached")
    }))

  test("does not fail the input that asks the run to yield", (machine) =>
    Effect.gen(function*() {
      const held = yield* LatchedExecutor.make({ held: true })
      yield* machine.ensureSessionWithExecutor(id, { ...held.executor, cancelAfterBoundary: boom })
      yield* machine.session(id).prompt("hello")
      yield* held.started(1)
      const { completion } = yield* machine.session(id).steer("now")
      yield* held.open
      assert.strictEqual((yield* inTime(completion.wait))._tag, "Completed")
    }))

  test("fails the stop in the same way as a hook that fails", (machine) =>
    Effect.gen(function*() {
      const { executor } = yield* LatchedExecutor.make()
      yield* machine.ensureSessionWithExecutor(id, { ...executor, stop: boom })
      assert.strictEqual((yield* Effect.flip(machine.stopRuntimeExecutor(id, "why")))._tag, "Internal")
      assert.strictEqual(yield* machine.runtimeState(id), "idle")
    }))
})

describe("a value that cannot be serialised", () => {
  const outputs = {
    "the output of the first run": Effect.sync(() => Turn.reply("a", { data: circular() })),
    "the defect of the first run": Effect.die(strange)
  }
  for (const [what, first] of Object.entries(outputs)) {
    test(`fails the run and leaves the loop alive when it is ${what}`, (machine) =>
      Effect.gen(function*() {
        const { executor } = yield* LatchedExecutor.make()
        const runs = { count: 0 }
        yield* machine.ensureSessionWithExecutor(id, {
          ...executor,
          apply: () => runs.count++ === 0 ? first : Effect.succeed(Turn.reply("sound"))
        })
        const { completion } = yield* machine.session(id).prompt("hello")
        const next = yield* machine.session(id).prompt("again")
        yield* moves(completion.wait)
        assert.strictEqual((yield* moves(next.completion.wait))._tag, "Completed")
        assert.isTrue(yield* machine.sessionHasExecutor(id))
      }))

    test(`releases the run slot of an inline run when it is ${what}`, (machine) =>
      Effect.gen(function*() {
        yield* machine.registerSession(id)
        const op = () => Effect.map(first, (output) => [1, output] as const)
        const exit = yield* Effect.exit(inTime(machine.acceptInputAndRun(id, prompt(1), op)))
        assert.isTrue(Exit.isFailure(exit))
        assert.strictEqual(yield* machine.runtimeState(id), "idle")
      }))
  }

  test("fails the caller and releases the run slot when it is the output of a service turn", (machine) =>
    Effect.gen(function*() {
      const { turn } = yield* machine.prepareBindings(id)
      const output = () => Turn.reply("a", { data: circular() })
      const told = yield* Effect.flip(inTime(turn.run(Effect.succeed(1), { output })))
      assert.strictEqual(told._tag, "Internal")
      assert.strictEqual(yield* machine.runtimeState(id), "idle")
    }))

  test("reaches the caller and releases the run slot when it is the error of a service turn", (machine) =>
    Effect.gen(function*() {
      const { turn } = yield* machine.prepareBindings(id)
      assert.deepStrictEqual(yield* Effect.flip(inTime(turn.run(Effect.fail(strange)))), strange)
      assert.strictEqual(yield* machine.runtimeState(id), "idle")
    }))

  test("ends the operation as failed when it is the error of its work", (machine) =>
    Effect.gen(function*() {
      yield* machine.registerSession(id)
      const { operations } = machine.session(id)
      const operation = yield* operations.run(Effect.fail(strange), { displayName: "x" })
      assert.strictEqual((yield* inTime(operations.watch(operation)))._tag, "Failed")
    }))

  const ends = {
    "a stop, which fails and leaves the session to another executor": (machine: MeerkatMachine["Type"]) =>
      Effect.gen(function*() {
        assert.strictEqual((yield* Effect.flip(inTime(machine.stopRuntimeExecutor(id, "test"))))._tag, "Internal")
        const sound = yield* LatchedExecutor.make()
        assert.strictEqual(yield* machine.ensureSessionWithExecutor(id, sound.executor), "attached")
        assert.strictEqual((yield* inTime(machine.session(id).ask("hello"))).text, "answer 1")
      }),
    "an unregistration, which still completes": (machine: MeerkatMachine["Type"]) =>
      Effect.gen(function*() {
        yield* inTime(machine.unregisterSession(id))
        assert.isFalse(yield* machine.containsSession(id))
      }),
    "a destroy, which still cleans up": (machine: MeerkatMachine["Type"]) =>
      Effect.gen(function*() {
        yield* inTime(machine.destroyRuntime(id))
        assert.strictEqual(yield* machine.runtimeState(id), "destroyed")
      })
  }
  for (const [what, end] of Object.entries(ends)) {
    test(`does not block the end when it is the defect of a stop hook in ${what}`, (machine) =>
      Effect.gen(function*() {
        const broken = yield* LatchedExecutor.make({ stop: Effect.die(strange) })
        yield* machine.ensureSessionWithExecutor(id, broken.executor)
        yield* end(machine)
      }))
  }
})

describe("a defect in a caller's function", () => {
  test("reaches the caller when it occurs in an inline run", (machine) =>
    Effect.gen(function*() {
      yield* machine.registerSession(id)
      const exit = yield* Effect.exit(
        inTime(machine.acceptInputAndRun(id, prompt(1), (): Effect.Effect<never> => boom()))
      )
      assert.deepInclude(deathOf(exit), { message: "boom" })
      assert.strictEqual(yield* machine.runtimeState(id), "idle")
    }))

  test("reaches the caller and releases the run slot when it occurs in the output function of a turn", (machine) =>
    Effect.gen(function*() {
      const { turn } = yield* machine.prepareBindings(id)
      const exit = yield* Effect.exit(inTime(turn.run(Effect.succeed(1), { output: boom })))
      assert.deepInclude(deathOf(exit), { message: "boom" })
      assert.strictEqual(yield* machine.runtimeState(id), "idle")
    }))
})
