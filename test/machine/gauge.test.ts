/** The gauge of registered sessions, which all machines of the process share. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as HandoverLive from "../../layers/HandoverLive.js"
import { sessions } from "../../layers/internal/metrics.js"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import * as RuntimeStoreMemory from "../../layers/RuntimeStoreMemory.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import { SessionId } from "../../src/domain/Ids.js"
import { FaultyStore } from "../../src/testkit/index.js"

const [a, b] = [SessionId.make("a"), SessionId.make("b")]
const memory = Layer.provide(RuntimeStoreMemory.layer, HandoverLive.layer)
const gauge = Effect.map(Metric.value(sessions), ({ value }) => value)
/** Sessions that simulated machines of other files left behind in this process. */
let others = 0
const shown = Effect.map(gauge, (value) => value - others)

/** Runs the body in a machine of its own. Afterwards the gauge counts none of its sessions. */
const inMachine = <A, E>(body: (faults: FaultyStore.FaultyStore) => Effect.Effect<A, E, MeerkatMachine>) =>
  Effect.gen(function*() {
    others = yield* gauge
    const faults = yield* FaultyStore.make
    yield* body(faults).pipe(
      Effect.ensuring(faults.heal),
      Effect.provide(MeerkatMachineLive.layer),
      Effect.provide(FaultyStore.layer(faults)),
      Effect.provide(memory)
    )
    assert.strictEqual(yield* shown, 0)
  })

describe("the gauge of sessions", () => {
  it.effect("counts registered sessions only, when the opening of another session is interrupted", () =>
    inMachine((faults) =>
      Effect.gen(function*() {
        const machine = yield* MeerkatMachine
        const opening = faults.park("openRuntime")
        const leaving = yield* Effect.fork(machine.registerSession(b))
        yield* opening.reached
        yield* machine.registerSession(a)
        assert.strictEqual(yield* shown, 1)
        yield* Effect.zipRight(Effect.fork(Fiber.interrupt(leaving)), opening.release)
        yield* Fiber.await(leaving)
        assert.strictEqual(yield* shown, 1)
        yield* machine.registerSession(b)
        yield* machine.registerSession(b)
        assert.strictEqual(yield* shown, 2)
        yield* machine.unregisterSession(a)
        assert.strictEqual(yield* shown, 1)
      })
    ))

  it.effect("counts the sessions of every machine of the process", () =>
    inMachine(() =>
      Effect.gen(function*() {
        yield* Effect.flatMap(MeerkatMachine, ({ registerSession }) => registerSession(a))
        yield* inOther(Effect.flatMap(MeerkatMachine, ({ registerSession }) =>
          Effect.gen(function*() {
            yield* registerSession(b)
            assert.strictEqual(yield* shown, 2)
          })))
        assert.strictEqual(yield* shown, 1)
      })
    ))
})

const inOther = Effect.provide(MeerkatMachineLive.layerEphemeral)
