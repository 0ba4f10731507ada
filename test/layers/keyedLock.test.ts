/** The keyed lock. */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as KeyedLock from "../../layers/internal/keyedLock.js"

it.effect("calls under one key run one after another, calls under two keys run together, and an unused key takes no memory", () =>
  Effect.gen(function*() {
    const lock = KeyedLock.make<string>()
    const gate = yield* Effect.makeLatch(false)
    const entered: Array<string> = []
    const work = (key: string, name: string) =>
      Effect.fork(lock.run(key)(Effect.zipRight(Effect.sync(() => void entered.push(name)), gate.await)))
    const fibers = [yield* work("a", "first"), yield* work("a", "second"), yield* work("b", "other")]
    yield* Effect.repeatN(Effect.yieldNow(), 20)
    assert.deepStrictEqual(entered, ["first", "other"])
    assert.strictEqual(lock.size(), 2)
    yield* gate.open
    yield* Fiber.joinAll(fibers)
    assert.deepStrictEqual(entered, ["first", "other", "second"])
    assert.strictEqual(lock.size(), 0)
  }))
