/** The simulation reports defects that no fault script has planted. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Defects from "../../src/testkit/simulation/Defects.js"
import * as Journal from "../../src/testkit/simulation/Journal.js"

const violations = (call: Effect.Effect<unknown, unknown>) =>
  Effect.gen(function*() {
    const journal = Journal.make({ trace: false })
    yield* Effect.exit(Defects.watched(journal, "call")(call))
    return journal.violations.map((told) => told.split(":")[0])
  })

describe("a simulated call", () => {
  it.effect("is reported when it dies of a defect that no script planted", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* violations(Effect.die(new TypeError("x is undefined"))), ["defect"])
      assert.deepStrictEqual(yield* violations(Effect.die({ rows: 1n })), ["defect"])
    }))

  it.effect("is not reported when it fails, is interrupted, or dies as scripted", () =>
    Effect.gen(function*() {
      const scripted = [
        Effect.fail("no"),
        Effect.dieMessage("simulated"),
        Effect.die(Defects.strange),
        Effect.interrupt
      ]
      for (const call of scripted) assert.deepStrictEqual(yield* violations(call), [])
    }))
})
