/** Callers that wait for the cancel of a service turn whose session loses its authority in the store. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import * as MeerkatMachineConfig from "../../services/MeerkatMachineConfig.js"
import { SessionId } from "../../src/domain/Ids.js"
import { StoreBusy } from "../../src/domain/StoreErrors.js"
import { FaultyStore } from "../../src/testkit/index.js"
import { memory } from "../support/layers.js"

const id = SessionId.make("s")

/**
 * Waits twice for the cancel of a turn: before the session must be opened again, and after `after` has run. Both waits
 * return none.
 */
const lost = (after: (machine: MeerkatMachine["Type"]) => Effect.Effect<void, unknown>) =>
  Effect.gen(function*() {
    const faults = yield* FaultyStore.make
    const told = yield* Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      const { turn } = yield* machine.prepareBindings(id)
      const runId = yield* turn.begin()
      const early = yield* Effect.fork(turn.cancelRequested(runId))
      yield* Effect.repeatN(Effect.yieldNow(), 20)
      faults.loseAck()
      for (let nth = 1; nth < 50; nth++) {
        faults.failRead("witness", new StoreBusy({ operation: "witness", waitedMs: 1 }), { nth })
      }
      const failing = yield* Effect.fork(Effect.flip(machine.session(id).prompt("hello")))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(failing))._tag, "Internal")
      yield* faults.heal
      yield* after(machine)
      return [yield* Fiber.join(early), yield* turn.cancelRequested(runId)]
    }).pipe(
      Effect.provide(Layer.provide(MeerkatMachineLive.layer, Layer.provide(FaultyStore.layer(faults), memory))),
      Effect.provide(MeerkatMachineConfig.layer({ resolveTimeout: Duration.millis(500) }))
    )
    assert.deepStrictEqual(told, [Option.none(), Option.none()])
  })

describe("a caller that waits for the cancel of a service turn receives none", () => {
  it.effect("when the session must be opened again", () => lost(() => Effect.void))

  it.effect("when the session has been opened again", () => lost((machine) => machine.registerSession(id)))
})
