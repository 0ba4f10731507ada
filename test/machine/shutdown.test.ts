import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import * as RuntimeStoreMemory from "../../layers/RuntimeStoreMemory.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import { SessionId } from "../../src/domain/Ids.js"
import { StoreIo } from "../../src/domain/StoreErrors.js"
import { FaultyStore } from "../../src/testkit/index.js"

describe("closing the machine", () => {
  // found by simulation, seed 23
  it.live("a closing commit that fails keeps no waiter waiting", () =>
    Effect.gen(function*() {
      const faults = yield* FaultyStore.make
      const waiter = yield* Effect.gen(function*() {
        const machine = yield* MeerkatMachine
        const id = SessionId.make("s")
        yield* machine.registerSession(id)
        const { completion } = yield* machine.session(id).prompt("hello")
        // background work is terminated by the closing commit, which is written for it
        yield* machine.session(id).operations.run(Effect.as(Effect.sleep("1 hour"), ""), { displayName: "work" })
        for (const nth of [1, 2, 3]) {
          faults.failCommit(new StoreIo({ operation: "commit", code: "TEST", detail: "no" }), { nth })
        }
        return yield* Effect.forkDaemon(completion.wait)
      }).pipe(
        Effect.provide(Layer.provide(
          MeerkatMachineLive.layer,
          Layer.provide(FaultyStore.layer(faults), RuntimeStoreMemory.layer)
        ))
      )
      const outcome = yield* Effect.timeoutOption(Fiber.join(waiter), "5 seconds")
      assert.strictEqual(outcome._tag === "Some" ? outcome.value._tag : "never told", "RuntimeTerminated")
    }))
})
