import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import * as CommsRuntimeMailbox from "../../layers/CommsRuntimeMailbox.js"
import * as HandoverLive from "../../layers/HandoverLive.js"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import * as RuntimeStoreMemory from "../../layers/RuntimeStoreMemory.js"
import { make } from "../../services/CoreExecutor.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import * as Turn from "../../services/Turn.js"
import { SessionId } from "../../src/domain/Ids.js"
import { StoreBusy } from "../../src/domain/StoreErrors.js"
import { FaultyStore } from "../../src/testkit/index.js"

const id = SessionId.make("s")
const memory = RuntimeStoreMemory.layer.pipe(Layer.provide(HandoverLive.layer))

const withFaults = <A, E>(
  body: (faults: FaultyStore.FaultyStore) => Effect.Effect<A, E, MeerkatMachine>
) =>
  Effect.flatMap(FaultyStore.make, (faults) =>
    body(faults).pipe(
      Effect.provide(MeerkatMachineLive.layer),
      Effect.provide(FaultyStore.layer(faults)),
      Effect.provide(memory)
    ))

/** Lets everybody go on that can without time passing. */
const settled = Effect.repeatN(Effect.yieldNow(), 100)

const busy = new StoreBusy({ operation: "commit", waitedMs: 1 })

describe("a session that ends itself, which nobody hears of, ends though the store refuses for the moment:", () => {
  it.effect("a dismissed one stops", () =>
    withFaults((faults) =>
      Effect.gen(function*() {
        const machine = yield* MeerkatMachine
        yield* machine.ensureSessionWithExecutor(id, yield* make(() => Effect.succeed(Turn.reply("answer"))))
        const inbox = yield* CommsRuntimeMailbox.make()
        yield* machine.session(id).comms.attach(inbox)
        yield* settled
        faults.failCommit(busy)
        yield* inbox.dismiss
        yield* settled
        yield* TestClock.adjust("1 second")
        yield* settled
        assert.strictEqual(yield* machine.runtimeState(id), "stopped")
      })
    ))

  it.effect("one whose run destroys it is destroyed", () =>
    withFaults((faults) =>
      Effect.gen(function*() {
        const machine = yield* MeerkatMachine
        const executor = yield* make(() =>
          Effect.suspend(() => {
            faults.failCommit(busy)
            return Effect.zipRight(Effect.orDie(machine.destroyRuntime(id)), Effect.never)
          })
        )
        yield* machine.ensureSessionWithExecutor(id, executor)
        yield* machine.session(id).prompt("end it")
        yield* settled
        yield* TestClock.adjust("1 second")
        yield* settled
        assert.strictEqual(yield* machine.runtimeState(id), "destroyed")
      })
    ))
})
