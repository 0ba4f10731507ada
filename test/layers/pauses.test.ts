/** Polling of a condition for which no signal exists. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/TestClock"
import { until } from "../../layers/internal/pauses.js"

describe("a polling wait", () => {
  it.effect("checks often at first and rarely later", () =>
    Effect.gen(function*() {
      let asked = 0
      let isSo = false
      const waiting = yield* Effect.fork(until(() => {
        asked++
        return isSo
      }))
      yield* TestClock.adjust("75 millis")
      assert.strictEqual(asked, 5)
      yield* TestClock.adjust("5 seconds")
      assert.isAtMost(asked, 56)
      isSo = true
      yield* TestClock.adjust("100 millis")
      yield* Fiber.join(waiting)
    }))
})
