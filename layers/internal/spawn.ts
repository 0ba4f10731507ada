/** @since 0.1.0 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"

/**
 * Starts fibers in a scope of ours from the runtime that was there when the layer was built: nothing of a caller's
 * fiber (a transaction, a span, its interruption) reaches them. Counts what lives.
 */
export interface Spawner {
  readonly spawn: <A, E>(scope: Scope.Scope, effect: Effect.Effect<A, E>) => Fiber.RuntimeFiber<A, E>
  readonly live: () => number
}

export const make: Effect.Effect<Spawner> = Effect.map(Effect.runtime<never>(), (runtime) => {
  let live = 0
  return {
    live: () => live,
    spawn: (scope, effect) => {
      live++
      const fiber = Runtime.runFork(runtime, effect, { scope, immediate: false })
      fiber.addObserver(() => {
        live--
      })
      return fiber
    }
  }
})

/**
 * Interrupts a fiber and waits for it, at most `limitMs`; false when it is still running then. Never blocks longer:
 * what ignores interruption is left behind by its owner, fenced.
 */
export const interruptWithin = <A, E>(fiber: Fiber.Fiber<A, E>, limitMs: number): Effect.Effect<boolean> =>
  Effect.zipRight(
    Fiber.interruptFork(fiber),
    endsWithin(fiber, limitMs)
  )

/** Waits for a fiber, at most `limitMs`. */
export const endsWithin = <A, E>(fiber: Fiber.Fiber<A, E>, limitMs: number): Effect.Effect<boolean> =>
  Fiber.await(fiber).pipe(
    Effect.as(true),
    Effect.disconnect,
    Effect.timeoutTo({ duration: limitMs, onTimeout: () => false, onSuccess: (ended) => ended }),
    Effect.interruptible
  )
