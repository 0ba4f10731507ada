/** Subscribers of a session's events: the first two, a slow one, and some at the end of the session. */
import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as HandoverLive from "../../layers/HandoverLive.js"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import * as RuntimeStoreMemory from "../../layers/RuntimeStoreMemory.js"
import type { SessionFeed } from "../../services/MeerkatMachine.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import * as MeerkatMachineConfig from "../../services/MeerkatMachineConfig.js"
import { SessionId } from "../../src/domain/Ids.js"
import { LatchedExecutor } from "../../src/testkit/index.js"
import * as Sim from "../../src/testkit/Sim.js"

const id = SessionId.make("s")
const layer = MeerkatMachineLive.layer.pipe(
  Layer.provide(RuntimeStoreMemory.layerNoDeps()),
  Layer.provide(HandoverLive.layerYield)
)

/** Starts the first two subscribers of a session at the same time. Each sees the event published afterwards. */
const two = Effect.gen(function*() {
  const machine = yield* MeerkatMachine
  yield* machine.registerSession(id)
  const seen = yield* Effect.makeLatch(false)
  let snapshots = 0
  const subscriber = machine.runtimeEvents(id).pipe(
    Stream.tap((feed) => feed._tag === "Snapshot" && ++snapshots === 2 ? seen.open : Effect.void),
    Stream.filter((feed) => feed._tag === "Event"),
    Stream.take(1),
    Stream.runCollect
  )
  const fibers = yield* Effect.all([Effect.fork(subscriber), Effect.fork(subscriber)])
  yield* seen.await
  yield* machine.publishEvent(id, { kind: "hello", payload: null })
  return yield* Effect.forEach(fibers, (fiber) => Effect.map(Fiber.join(fiber), Chunk.size))
}).pipe(Effect.provide(layer))

describe("the first subscribers of a session", () => {
  it("both receive what is published, in whichever order they subscribe", () => {
    for (let seed = 0; seed < 25; seed++) {
      const result = Sim.run(two, { seed, preempt: 0.3 })
      assert.strictEqual(result.exit?._tag, "Success", `seed ${seed}: ${result.end}`)
    }
  })
})

/** An item of the event stream in short form. */
const said = (fed: SessionFeed): string => {
  if (fed._tag === "Snapshot") return "snapshot"
  if (fed._tag === "Lagged") return `lagged ${fed.missed}`
  const { event } = fed.envelope
  return event._tag === "Custom" ? String(event.payload) : event._tag
}

describe("a subscriber that does not read", () => {
  it.effect("is told how many events it missed, also when no more follow; others receive all events", () =>
    Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      yield* machine.registerSession(id)
      const fast = yield* Queue.unbounded<string>()
      yield* Effect.forkScoped(
        Stream.runForEach(machine.runtimeEvents(id), (fed) => Queue.offer(fast, said(fed)))
      )
      const read = yield* Stream.toPull(machine.runtimeEvents(id))
      const slow = (n: number) =>
        Effect.map(Effect.replicateEffect(read, n), (chunks) => chunks.flatMap((chunk) => Array.from(chunk, said)))
      const publish = (payload: number) =>
        Effect.zipRight(machine.publishEvent(id, { kind: "count", payload }), Queue.take(fast))
      assert.deepStrictEqual(yield* slow(1), ["snapshot"])
      assert.strictEqual(yield* Queue.take(fast), "snapshot")
      const counted = yield* Effect.forEach(Array.from({ length: 20 }, (_, n) => n), publish)
      assert.deepStrictEqual(counted, Array.from({ length: 20 }, (_, n) => String(n)))
      assert.deepStrictEqual(yield* slow(2), ["lagged 20", "snapshot"])
      yield* Effect.forEach([20, 21, 22, 23], publish)
      assert.deepStrictEqual(yield* slow(4), ["20", "21", "22", "23"])
    }).pipe(Effect.scoped, Effect.provide(layer), Effect.provide(MeerkatMachineConfig.layer({ eventBuffer: 4 }))))
})

/** Subscribes at some moment of an unregistration. The stream ends, or fails because the session is gone. */
const late = (moment: number) =>
  Effect.gen(function*() {
    const machine = yield* MeerkatMachine
    yield* machine.registerSession(id)
    const ending = yield* Effect.fork(machine.unregisterSession(id))
    yield* Effect.repeatN(Effect.yieldNow(), moment)
    yield* Effect.exit(Stream.runDrain(machine.runtimeEvents(id)))
    yield* Fiber.join(ending)
  }).pipe(Effect.provide(layer))

describe("the event stream of a session ends", () => {
  it("when the subscriber arrives while the session is unregistered", () => {
    for (let seed = 0; seed < 40; seed++) {
      const result = Sim.run(late(seed % 20), { seed, preempt: 0.1 })
      assert.strictEqual(result.exit?._tag, "Success", `seed ${seed}: ${result.end}`)
    }
  })

  it.effect("when the session is unregistered and a run ignores its interruption", () =>
    Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      const { executor, open, started } = yield* LatchedExecutor.make({ held: true, stubborn: true })
      yield* machine.ensureSessionWithExecutor(id, executor)
      yield* machine.session(id).prompt("hello")
      yield* started(1)
      const begun = yield* Effect.makeLatch(false)
      const follower = yield* Effect.fork(
        Stream.runForEach(machine.runtimeEvents(id), () => begun.open)
      )
      yield* begun.await
      const ending = yield* Effect.fork(machine.unregisterSession(id))
      yield* TestClock.adjust("5 seconds")
      assert.isTrue((yield* Fiber.join(ending)).forced)
      yield* Fiber.join(follower)
      yield* open
    }).pipe(
      Effect.provide(layer),
      Effect.provide(MeerkatMachineConfig.layer({ teardownTimeout: Duration.seconds(1) }))
    ))
})
