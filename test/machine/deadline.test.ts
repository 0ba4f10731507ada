/** Deadlines of calls: what the caller learns about the admission of its input when one passes. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import * as HandoverLive from "../../layers/HandoverLive.js"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import * as RuntimeStoreMemory from "../../layers/RuntimeStoreMemory.js"
import { make } from "../../services/CoreExecutor.js"
import type { AskOptions, DeadlineExceeded, Prompted } from "../../services/MeerkatMachine.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import * as Turn from "../../services/Turn.js"
import type { RuntimeDriverError } from "../../src/domain/Errors.js"
import { SessionId } from "../../src/domain/Ids.js"
import { FaultyStore } from "../../src/testkit/index.js"

const id = SessionId.make("d")
const memory = RuntimeStoreMemory.layer.pipe(Layer.provide(HandoverLive.layer))

/** Runs the test on a machine whose store the test can hold at a commit. */
const held = <A, E>(
  test: (machine: MeerkatMachine["Type"], faults: FaultyStore.FaultyStore) => Effect.Effect<A, E>
) =>
  Effect.flatMap(FaultyStore.make, (faults) =>
    Effect.flatMap(MeerkatMachine, (machine) => test(machine, faults)).pipe(
      Effect.provide(MeerkatMachineLive.layer),
      Effect.provide(FaultyStore.layer(faults)),
      Effect.provide(memory)
    ))

/** Runs a call, lets its deadline of one second pass, and returns the error of the call. */
const expired = <A, E extends { readonly _tag: string }>(call: Effect.Effect<A, E | DeadlineExceeded>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(Effect.flip(call))
    yield* TestClock.adjust("1 second")
    return yield* Fiber.join(fiber)
  })

const limit = { deadline: "1 second" } as const

describe("a deadline", () => {
  it.effect("reports an unknown admission when it passes during the commit; the input is admitted", () =>
    held((machine, faults) =>
      Effect.gen(function*() {
        yield* machine.registerSession(id)
        const parked = faults.park("commit")
        const error = yield* expired(machine.session(id).prompt("hello", { ...limit, idempotencyKey: "k" }))
        assert.strictEqual(error._tag === "DeadlineExceeded" ? error.admission : error._tag, "unknown")
        yield* parked.release
        const { outcome } = yield* machine.session(id).prompt("hello", { idempotencyKey: "k" })
        assert.strictEqual(outcome._tag, "Deduplicated")
      })
    ))

  it.effect("takes the input back when it passes while the input waits for its commit", () =>
    held((machine, faults) =>
      Effect.gen(function*() {
        yield* machine.registerSession(id)
        const parked = faults.park("commit")
        const first = yield* Effect.fork(machine.session(id).prompt("first"))
        yield* parked.reached
        const error = yield* expired(machine.session(id).steer("second", limit))
        assert.strictEqual(error._tag === "DeadlineExceeded" ? error.admission : error._tag, "notAdmitted")
        yield* parked.release
        yield* Fiber.join(first)
        assert.strictEqual((yield* machine.listActiveInputs(id)).length, 1)
      })
    ))

  it.effect("names the input and leaves it admitted when it passes while ask waits for the answer", () =>
    held((machine) =>
      Effect.gen(function*() {
        const go = yield* Effect.makeLatch(false)
        yield* machine.ensureSessionWithExecutor(id, yield* make(() => Effect.as(go.await, Turn.reply("late"))))
        const error = yield* expired(machine.session(id).ask("hello", limit))
        const [open] = yield* machine.listActiveInputs(id)
        assert.deepStrictEqual(
          error._tag === "DeadlineExceeded" ? [error.admission, error.inputId] : [],
          ["admitted", open]
        )
        yield* go.open
      })
    ))

  it.effect("changes nothing when it does not pass", () =>
    held((machine) =>
      Effect.gen(function*() {
        yield* machine.ensureSessionWithExecutor(id, yield* make(() => Effect.succeed(Turn.reply("hello"))))
        assert.strictEqual((yield* machine.session(id).ask("hello", limit)).text, "hello")
      })
    ))

  it.effect("adds DeadlineExceeded to the error type of every call whose options may have one", () =>
    held((machine, faults) =>
      Effect.gen(function*() {
        const options: AskOptions = limit
        yield* machine.registerSession(id)
        const { prompt, steer } = machine.session(id)
        // @ts-expect-error the call can also fail with DeadlineExceeded
        const prompted: Effect.Effect<Prompted, RuntimeDriverError> = prompt("x", options)
        // @ts-expect-error the call can also fail with DeadlineExceeded
        const steered: Effect.Effect<Prompted, RuntimeDriverError> = steer("x", options)
        const without: Effect.Effect<Prompted, RuntimeDriverError> = prompt("x", { correlationId: "c" })
        yield* without
        const parked = faults.park("commit")
        for (const call of [prompted, steered]) assert.deepInclude(yield* expired(call), { _tag: "DeadlineExceeded" })
        yield* parked.release
      })
    ))
})
