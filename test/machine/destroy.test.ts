/** Destroying a session: its background work, a store that refuses the commit, and other ends beside it. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestServices from "effect/TestServices"
import * as HandoverLive from "../../layers/HandoverLive.js"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import * as RuntimeStoreMemory from "../../layers/RuntimeStoreMemory.js"
import type { CommsRuntime } from "../../services/CommsRuntime.js"
import { make } from "../../services/CoreExecutor.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import * as Turn from "../../services/Turn.js"
import { ExecutorFault } from "../../src/domain/Errors.js"
import { SessionId } from "../../src/domain/Ids.js"
import { StoreFull } from "../../src/domain/StoreErrors.js"
import { FaultyStore, LatchedExecutor } from "../../src/testkit/index.js"
import { peer } from "../support/inputs.js"

const id = SessionId.make("d")
const memory = RuntimeStoreMemory.layer.pipe(Layer.provide(HandoverLive.layer))

describe("destroying a session", () => {
  it.effect("ends running background work when the session has no loop", () =>
    Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      const ended = yield* Effect.makeLatch(false)
      const executor = yield* make((turn) =>
        turn.operations.run(Effect.onInterrupt(Effect.never, () => ended.open), { displayName: "work" }).pipe(
          Effect.mapError((error) => new ExecutorFault({ detail: error._tag, retryable: false })),
          Effect.as(Turn.reply("started"))
        )
      )
      yield* machine.ensureSessionWithExecutor(id, executor)
      yield* machine.session(id).ask("go")
      yield* machine.stopRuntimeExecutor(id, "the loop is not needed")
      yield* machine.destroyRuntime(id)
      yield* ended.await
      assert.strictEqual(yield* machine.runtimeState(id), "destroyed")
    }).pipe(Effect.provide(MeerkatMachineLive.layer), Effect.provide(memory)))

  // Found by simulation, seed 3000312: the loop ended, but the session stayed "attached" without one.
  it.effect("keeps the loop running when the store refuses the destroy", () =>
    Effect.flatMap(FaultyStore.make, (faults) =>
      Effect.gen(function*() {
        const machine = yield* MeerkatMachine
        const executor = yield* make(() => Effect.succeed(Turn.reply("answer")))
        yield* machine.ensureSessionWithExecutor(id, executor)
        const accepting = faults.park("commit")
        const asked = yield* Effect.fork(machine.session(id).ask("hello"))
        yield* accepting.reached
        faults.failCommit(new StoreFull({ operation: "commit", detail: "no room" }))
        const destroyed = yield* Effect.fork(Effect.either(machine.destroyRuntime(id)))
        yield* Effect.repeatN(Effect.yieldNow(), 20)
        yield* accepting.release
        assert.strictEqual((yield* destroyed)._tag, "Left")
        assert.strictEqual((yield* Effect.timeout(asked, "1 second").pipe(TestServices.provideLive)).text, "answer")
      }).pipe(
        Effect.provide(MeerkatMachineLive.layer),
        Effect.provide(FaultyStore.layer(faults)),
        Effect.provide(memory)
      )))

  it.effect("lets a stop that has begun finish when the store refuses the destroy", () =>
    Effect.flatMap(FaultyStore.make, (faults) =>
      Effect.gen(function*() {
        const machine = yield* MeerkatMachine
        const stopping = yield* Effect.makeLatch(false)
        const go = yield* Effect.makeLatch(false)
        const runs = { count: 0 }
        const executor = yield* make(
          () => Effect.sync(() => Turn.reply(`run ${++runs.count}`)),
          { stop: () => Effect.zipRight(stopping.open, go.await) }
        )
        yield* machine.ensureSessionWithExecutor(id, executor)
        const stop = yield* Effect.fork(machine.stopRuntimeExecutor(id, "enough"))
        yield* stopping.await
        faults.failCommit(new StoreFull({ operation: "commit", detail: "no room" }))
        const refused = yield* Effect.either(machine.destroyRuntime(id))
        assert.strictEqual(refused._tag, "Left")
        const again = yield* Effect.either(machine.stopRuntimeExecutor(id, "twice"))
        assert.strictEqual(again._tag === "Left" ? again.left._tag : "", "ValidationFailed")
        yield* go.open
        assert.isTrue((yield* stop).joined)
        assert.strictEqual(yield* machine.runtimeState(id), "stopped")
      }).pipe(
        Effect.provide(MeerkatMachineLive.layer),
        Effect.provide(FaultyStore.layer(faults)),
        Effect.provide(memory)
      )))

  it.effect("calls every hook and answers its caller when an unregistration begins beside it", () =>
    Effect.flatMap(FaultyStore.make, (faults) =>
      Effect.gen(function*() {
        const machine = yield* MeerkatMachine
        const { counts, executor } = yield* LatchedExecutor.make({ held: true })
        yield* machine.ensureSessionWithExecutor(id, executor)
        const admitting = faults.park("terminalInput")
        const inbox: CommsRuntime = { next: Effect.succeedSome(peer(1)), confirm: () => Effect.void }
        yield* machine.session(id).comms.attach(inbox)
        yield* admitting.reached
        const destroying = yield* Effect.fork(machine.destroyRuntime(id))
        yield* Effect.repeat(Effect.zipRight(Effect.yieldNow(), machine.runtimeState(id)), {
          until: (state) => state === "destroyed"
        })
        const leaving = yield* Effect.fork(machine.unregisterSession(id))
        yield* Effect.repeatN(Effect.yieldNow(), 100)
        assert.isNull(leaving.unsafePoll())
        yield* admitting.release
        assert.isTrue((yield* Fiber.join(destroying)).joined)
        assert.isFalse((yield* Fiber.join(leaving)).forced)
        assert.deepInclude(counts(), { stop: 1, cleanup: 1 })
      }).pipe(
        Effect.provide(MeerkatMachineLive.layer),
        Effect.provide(FaultyStore.layer(faults)),
        Effect.provide(memory)
      )))
})
