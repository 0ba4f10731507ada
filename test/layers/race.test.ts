/** The race of two effects, and waits with a bound. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { joined } from "../../layers/internal/joining.js"
import { firstOf, within } from "../../layers/internal/race.js"
import { defaults } from "../../services/MeerkatMachineConfig.js"
import { endsWhenCutAt } from "../support/cutting.js"

describe("a race", () => {
  // Found by simulation, seeds 13004461 and 16001782: with `Effect.timeoutTo`, and with concurrent `Effect.forEach`,
  // an
  // interrupted call never returned.
  it("ends when it is interrupted at any step", () => {
    const waiting = Effect.flatMap(
      Effect.zip(Effect.fork(Effect.never), Effect.fork(Effect.never)),
      (fibers) => joined({ config: defaults, abandoned: { count: 0 } }, fibers)
    )
    for (const race of [firstOf(Effect.never, Effect.never), within("1 hour")(Effect.never), waiting]) {
      for (let cut = 1; cut < 60; cut++) {
        assert.deepStrictEqual(endsWhenCutAt(cut, race), Exit.succeed(true), `cut at ${cut}`)
      }
    }
  })

  it.effect("takes the first exit, success or failure, and interrupts the other side", () =>
    Effect.gen(function*() {
      const left = { interrupted: 0 }
      const hanging = Effect.onInterrupt(Effect.never, () => Effect.sync(() => left.interrupted++))
      assert.strictEqual(yield* firstOf(hanging, Effect.succeed("right")), "right")
      assert.strictEqual(yield* Effect.flip(firstOf(Effect.fail("wrong"), hanging)), "wrong")
      assert.strictEqual(left.interrupted, 2)
      assert.deepStrictEqual(yield* within("1 second")(Effect.succeed(1)), Option.some(1))
      assert.deepStrictEqual(yield* within(0)(hanging), Option.none())
      assert.strictEqual(left.interrupted, 3)
    }))
})
