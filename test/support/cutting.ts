/** Interrupts an effect at a chosen step, to find steps at which an interruption hangs. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { Sim } from "../../src/testkit/index.js"

/** Interrupts the effect at step `cut`. Succeeds with true once the effect has ended. */
export const endsWhenCutAt = (cut: number, effect: Effect.Effect<unknown>) => {
  let steps = 0
  let target: Fiber.RuntimeFiber<unknown> | null = null
  const world = Effect.gen(function*() {
    target = yield* Effect.fork(effect)
    // For an effect that comes to rest before that step.
    yield* Effect.fork(Effect.delay(Fiber.interrupt(target), "1 minute"))
    yield* Fiber.await(target)
    return true
  }).pipe(Effect.timeout("10 minutes"))
  const check = () => {
    if (target !== null && target.unsafePoll() === null && ++steps === cut) target.unsafeInterruptAsFork(target.id())
    return null
  }
  return Sim.run(world, { seed: cut, preempt: 1, check }).exit
}
