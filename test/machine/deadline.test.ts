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

/** A machine whose store is held at will. */
const held = <A, E>(
  test: (machine: MeerkatMachine["Type"], faults: FaultyStore.FaultyStore) => Effect.Effect<A, E>
) =>
  Effect.flatMap(FaultyStore.make, (faults) =>
    Effect.flatMap(MeerkatMachine, (machine) => test(machine, faults)).pipe(
      Effect.provide(MeerkatMachineLive.layer),
      Effect.provide(FaultyStore.layer(faults)),
      Effect.provide(memory)
    ))

/** What a call whose second is over says of its input. */
const expired = <A, E extends { readonly _tag: string }>(call: Effect.Effect<A, E | DeadlineExceeded>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(Effect.flip(call))
    yield* TestClock.adjust("1 second")
    return yield* Fiber.join(fiber)
  })

const limit = { deadline: "1 second" } as const

describe("a deadline", () => {
  it.effect("that passes while the commit is under way leaves the admission unknown; the input is there", () =>
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

  it.effect("that passes in the queue takes the input back", () =>
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

  it.effect("of an answer names the input, which stays as it is", () =>
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

  it.effect("that does not pass changes nothing", () =>
    held((machine) =>
      Effect.gen(function*() {
        yield* machine.ensureSessionWithExecutor(id, yield* make(() => Effect.succeed(Turn.reply("hello"))))
        assert.strictEqual((yield* machine.session(id).ask("hello", limit)).text, "hello")
      })
    ))

  it.effect("is in the type of every call whose options may have one", () =>
    held((machine, faults) =>
      Effect.gen(function*() {
        const options: AskOptions = limit
        yield* machine.registerSession(id)
        const { prompt, steer } = machine.session(id)
        // @ts-expect-error it fails of its deadline too
        const prompted: Effect.Effect<Prompted, RuntimeDriverError> = prompt("x", options)
        // @ts-expect-error it fails of its deadline too
        const steered: Effect.Effect<Prompted, RuntimeDriverError> = steer("x", options)
        const without: Effect.Effect<Prompted, RuntimeDriverError> = prompt("x", { correlationId: "c" })
        yield* without
        const parked = faults.park("commit")
        for (const call of [prompted, steered]) assert.deepInclude(yield* expired(call), { _tag: "DeadlineExceeded" })
        yield* parked.release
      })
    ))
})
