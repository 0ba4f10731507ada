import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as HandoverLive from "../../layers/HandoverLive.js"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import * as RuntimeStoreMemory from "../../layers/RuntimeStoreMemory.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import { SessionId } from "../../src/domain/Ids.js"
import * as Sim from "../../src/testkit/Sim.js"

const id = SessionId.make("s")
const layer = MeerkatMachineLive.layer.pipe(
  Layer.provide(RuntimeStoreMemory.layerNoDeps()),
  Layer.provide(HandoverLive.layerYield)
)

/** Two come at the same time, the first ones of the session; each is to see what is published afterwards. */
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
  it("share what is published, whatever the order in which they came", () => {
    for (let seed = 0; seed < 25; seed++) {
      const result = Sim.run(two, { seed, preempt: 0.3 })
      assert.strictEqual(result.exit?._tag, "Success", `seed ${seed}: ${result.end}`)
    }
  })
})
