/** Sessions that end, or fail to open, while the factory of their executor still runs. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import { make } from "../../services/CoreExecutor.js"
import type { MeerkatMachineService } from "../../services/MeerkatMachine.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import * as Turn from "../../services/Turn.js"
import { SessionId } from "../../src/domain/Ids.js"
import { StoreClosed } from "../../src/domain/StoreErrors.js"
import { FaultyStore } from "../../src/testkit/index.js"
import { memory } from "../support/layers.js"

const id = SessionId.make("s")

/** Lets every runnable fiber run, then passes one minute. No caller waits longer than that for a factory. */
const aMinute = Effect.zipRight(Effect.repeatN(Effect.yieldNow(), 100), TestClock.adjust("1 minute"))

interface Ends {
  readonly [how: string]: {
    readonly end: (machine: MeerkatMachineService) => Effect.Effect<unknown, unknown>
    readonly told: object
  }
}

describe("a session that ends while the factory of its executor runs", () => {
  const ends: Ends = {
    unregistered: { end: (machine) => machine.unregisterSession(id), told: { _tag: "NotReady", state: "destroyed" } },
    destroyed: { end: (machine) => machine.destroyRuntime(id), told: { _tag: "Destroyed" } },
    stopped: {
      end: (machine) => machine.stopRuntimeExecutor(id, "enough"),
      told: { _tag: "NotReady", state: "stopped" }
    }
  }
  for (const [how, { end, told }] of Object.entries(ends)) {
    it.effect(`interrupts the factory and tells both callers when it is ${how}`, () =>
      Effect.gen(function*() {
        const machine = yield* MeerkatMachine
        const begun = yield* Effect.makeLatch(false)
        const log: Array<string> = []
        const making = Effect.zipRight(begun.open, Effect.never).pipe(
          Effect.onInterrupt(() => Effect.sync(() => log.push("interrupted")))
        )
        yield* machine.registerSession(id)
        const winner = yield* Effect.fork(machine.ensureSessionWithExecutorFactory(id, making))
        yield* begun.await
        const other = yield* make(() => Effect.succeed(Turn.reply("other")))
        const loser = yield* Effect.fork(machine.ensureSessionWithExecutor(id, other))
        yield* Effect.repeatN(Effect.yieldNow(), 20)
        yield* end(machine)
        for (const waiting of [winner, loser]) assert.deepInclude(yield* Effect.flip(Fiber.join(waiting)), told)
        assert.deepStrictEqual(log, ["interrupted"])
      }).pipe(Effect.provide(MeerkatMachineLive.layerEphemeral)))
  }

  it.effect("reports a forced teardown when the factory ignores its interruption", () =>
    Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      const begun = yield* Effect.makeLatch(false)
      const go = yield* Effect.makeLatch(false)
      const executor = yield* make(() => Effect.succeed(Turn.reply("late")))
      yield* machine.registerSession(id)
      const slow = Effect.uninterruptible(Effect.as(Effect.zipRight(begun.open, go.await), executor))
      const winner = yield* Effect.fork(machine.ensureSessionWithExecutorFactory(id, slow))
      yield* begun.await
      const leaving = yield* Effect.fork(machine.unregisterSession(id))
      yield* aMinute
      assert.isTrue((yield* Fiber.join(leaving)).forced)
      yield* go.open
      assert.deepInclude(yield* Effect.flip(Fiber.join(winner)), { _tag: "NotReady", state: "destroyed" })
    }).pipe(Effect.provide(MeerkatMachineLive.layerEphemeral)))
})

describe("a fiber that an executor factory forks", () => {
  it.effect("lives as long as the caller that asked for the executor", () =>
    Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      const beside = yield* Effect.makeLatch(false)
      const log: Array<string> = []
      const factory = Effect.gen(function*() {
        yield* Effect.fork(Effect.zipRight(beside.await, Effect.sync(() => log.push("worked"))))
        return yield* make(() => Effect.succeed(Turn.reply("answer")))
      })
      yield* machine.ensureSessionWithExecutorFactory(id, factory)
      yield* beside.open
      yield* Effect.repeatN(Effect.yieldNow(), 20)
      assert.deepStrictEqual(log, ["worked"])
    }).pipe(Effect.provide(MeerkatMachineLive.layerEphemeral)))
})

describe("a call that registers a session and fails", () => {
  it.effect("unregisters the session, even when the store refuses the commit of what the factory began", () =>
    Effect.gen(function*() {
      const faults = yield* FaultyStore.make
      yield* Effect.gen(function*() {
        const machine = yield* MeerkatMachine
        const making = Effect.zipRight(
          machine.session(id).operations.run(Effect.never, { displayName: "work" }),
          Effect.suspend(() => {
            faults.failCommit(new StoreClosed())
            return Effect.fail("no executor")
          })
        )
        yield* Effect.flip(machine.ensureSessionWithExecutorFactory(id, making))
        assert.isFalse(yield* machine.containsSession(id))
        yield* machine.registerSession(id)
      }).pipe(Effect.provide(Layer.provide(MeerkatMachineLive.layer, Layer.provide(FaultyStore.layer(faults), memory))))
    }))
})
