import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import { SessionId } from "../../src/domain/Ids.js"
import { LatchedExecutor } from "../../src/testkit/index.js"

const id = SessionId.make("s")

describe("a stop hook that breaks", () => {
  const ends = { "dies": Effect.dieMessage("boom"), "interrupts itself": Effect.interrupt }
  for (const [how, stop] of Object.entries(ends)) {
    // found by simulation, seed 74: the loop had ended, the session said "attached", and nothing ran any more
    it.live(`and ${how} fails the stop; the session goes on with another executor`, () =>
      Effect.gen(function*() {
        const machine = yield* MeerkatMachine
        const broken = yield* LatchedExecutor.make({ stop })
        const sound = yield* LatchedExecutor.make()
        yield* machine.ensureSessionWithExecutor(id, broken.executor)
        const error = yield* Effect.flip(machine.stopRuntimeExecutor(id, "test"))
        assert.strictEqual(error._tag, "Internal")
        assert.strictEqual(yield* machine.runtimeState(id), "idle")
        assert.strictEqual(yield* machine.ensureSessionWithExecutor(id, sound.executor), "attached")
        const answer = yield* machine.session(id).ask("hello", { deadline: "5 seconds" })
        assert.strictEqual(answer.text, "answer 1")
      }).pipe(Effect.provide(MeerkatMachineLive.layerEphemeral)))
  }
})

describe("two stops at once", () => {
  it.effect("are one: the hook is called once, and the second caller is told at once", () =>
    Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      const held = yield* Effect.makeLatch(false)
      let called = 0
      const stop = Effect.zipRight(Effect.sync(() => void called++), held.await)
      const { executor } = yield* LatchedExecutor.make({ stop })
      yield* machine.ensureSessionWithExecutor(id, executor)
      const first = yield* Effect.fork(machine.stopRuntimeExecutor(id, "one"))
      const second = yield* Effect.fork(Effect.flip(machine.stopRuntimeExecutor(id, "two")))
      const { message } = yield* Fiber.join(second)
      assert.include(message, "is being ended already")
      yield* held.open
      yield* Fiber.join(first)
      assert.strictEqual(called, 1)
      assert.strictEqual(yield* machine.runtimeState(id), "stopped")
    }).pipe(Effect.provide(MeerkatMachineLive.layerEphemeral)))
})

describe("a stop hook that asks for its session again", () => {
  it.effect("is refused, and does not hold up the unregistration", () =>
    Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      const told: Array<string> = []
      const stop = machine.registerSession(id).pipe(
        Effect.catchTag("ValidationFailed", ({ detail }) => Effect.sync(() => void told.push(detail._tag))),
        Effect.orDie
      )
      const { executor } = yield* LatchedExecutor.make({ stop })
      yield* machine.ensureSessionWithExecutor(id, executor)
      assert.isFalse((yield* machine.unregisterSession(id)).forced)
      assert.deepStrictEqual(told, ["WouldDeadlock"])
      yield* machine.registerSession(id)
    }).pipe(Effect.provide(MeerkatMachineLive.layerEphemeral)))
})

const nameOf = ({ _tag }: { readonly _tag: string }) => _tag

/** What an external operation is told by its session while the stop hook of its unregistration runs, and what it is afterwards. */
const whileLeaving = (written: Effect.Effect<void>) =>
  Effect.gen(function*() {
    const machine = yield* MeerkatMachine
    const reached = yield* Effect.makeLatch(false)
    const held = yield* Effect.makeLatch(false)
    const { executor } = yield* LatchedExecutor.make({ stop: Effect.zipRight(reached.open, held.await) })
    yield* machine.ensureSessionWithExecutor(id, executor)
    const { operations } = machine.session(id)
    const operation = yield* operations.external({ displayName: "review" })
    yield* written
    const leaving = yield* Effect.fork(machine.unregisterSession(id))
    yield* reached.await
    const calls = [
      operations.progress(operation),
      operations.requestRetire(operation),
      operations.complete(operation, "done")
    ]
    const told = yield* Effect.forEach(calls, (call) =>
      Effect.match(call, { onFailure: nameOf, onSuccess: () => "taken" }))
    yield* held.open
    yield* Fiber.join(leaving)
    yield* machine.registerSession(id)
    return { told, ended: (yield* machine.session(id).operations.complete(operation, "done")).status }
  }).pipe(Effect.provide(MeerkatMachineLive.layerEphemeral))

describe("an operation whose session is leaving, and has written its last commit,", () => {
  const cases = { "with the operation in it": Effect.void, "or had nothing to write": TestClock.adjust("1 second") }
  for (const [how, written] of Object.entries(cases)) {
    it.effect(`${how}, is changed by nobody; whoever has it next finds it as it was`, () =>
      Effect.map(whileLeaving(written), ({ ended, told }) => {
        assert.deepStrictEqual(told, ["OpOwnerRetired", "OpOwnerRetired", "OpOwnerRetired"])
        assert.strictEqual(ended, "completed")
      }))
  }
})
