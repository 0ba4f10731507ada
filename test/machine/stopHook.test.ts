/** Stop hooks that break, run twice, or call into their own session. */
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
  const ends = { dies: Effect.dieMessage("boom"), "interrupts itself": Effect.interrupt }
  for (const [how, stop] of Object.entries(ends)) {
    // Found by simulation, seed 74: the loop had ended, but the session stayed "attached" and ran no input.
    it.live(`fails the stop when it ${how}, after which another executor can be attached`, () =>
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
  it.effect("call the hook once, and the second caller is refused at once", () =>
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

describe("a stop hook that registers its own session", () => {
  it.effect("is refused with WouldDeadlock and does not delay the unregistration", () =>
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

/**
 * Calls into an external operation while the stop hook of its unregistering session runs. Returns the answers, and the
 * status of the operation when the next registration completes it.
 */
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

describe("an external operation of a session that is unregistering,", () => {
  const cases = {
    "after a closing commit with the operation in it": Effect.void,
    "without a closing commit, since nothing was left to write": TestClock.adjust("1 second")
  }
  for (const [how, written] of Object.entries(cases)) {
    it.effect(`${how}, refuses every change until the session is registered again`, () =>
      Effect.map(whileLeaving(written), ({ ended, told }) => {
        assert.deepStrictEqual(told, ["OpOwnerRetired", "OpOwnerRetired", "OpOwnerRetired"])
        assert.strictEqual(ended, "completed")
      }))
  }
})
