import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import { SessionId } from "../../src/domain/Ids.js"
import { StoreBusy } from "../../src/domain/StoreErrors.js"
import { FaultyStore } from "../../src/testkit/index.js"
import { memory } from "../support/layers.js"

const id = SessionId.make("s")

/** A registered session whose commits can be held and refused. */
const registered = <A, E>(
  test: (machine: MeerkatMachine["Type"], faults: FaultyStore.FaultyStore) => Effect.Effect<A, E>
) =>
  Effect.flatMap(
    FaultyStore.make,
    (faults) =>
      Effect.flatMap(MeerkatMachine, (machine) => Effect.zipRight(machine.registerSession(id), test(machine, faults)))
        .pipe(
          Effect.provide(Layer.provide(MeerkatMachineLive.layer, Layer.provide(FaultyStore.layer(faults), memory)))
        )
  )

/** What an operation is registered with is no fact that anybody waits for: it is written a little later. */
const known = (machine: MeerkatMachine["Type"], displayName: string) =>
  machine.session(id).operations.external({ displayName })

const written = (faults: FaultyStore.FaultyStore) =>
  faults.commits().flatMap(({ operations }) => operations.map(({ spec }) => spec.id))

describe("what is written a little later", () => {
  it.effect("is written too when it comes while the writing is under way", () =>
    registered((machine, faults) =>
      Effect.gen(function*() {
        const held = faults.park("commit")
        yield* known(machine, "one")
        yield* TestClock.adjust("1 second")
        yield* held.reached
        const two = yield* Effect.fork(known(machine, "two"))
        yield* Effect.repeatN(Effect.yieldNow(), 20)
        yield* held.release
        const operation = yield* Fiber.join(two)
        yield* TestClock.adjust("1 second")
        assert.include(written(faults), operation)
      })
    ))

  it.effect("is tried again in a while when the store refuses it, and not all the time", () =>
    registered((machine, faults) =>
      Effect.gen(function*() {
        const before = faults.calls("commit")
        for (const nth of [1, 2, 3]) faults.failCommit(new StoreBusy({ operation: "commit", waitedMs: 1 }), { nth })
        const operation = yield* known(machine, "one")
        yield* TestClock.adjust("500 millis")
        assert.strictEqual(faults.calls("commit") - before, 1)
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(faults.calls("commit") - before, 4)
        assert.include(written(faults), operation)
      })
    ))
})
