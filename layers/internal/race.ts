/**
 * Races that can be interrupted at any step. `Effect.race` and `timeout` make both fibers in one step and start them in
 * the next. A caller that is interrupted in between waits without end for fibers that never run. Here no step lies in
 * between, and only the wait can be interrupted.
 *
 * @since 0.1.0
 */
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"

/** Returns the first exit, success or failure; interrupts the other effect and waits for its end. */
export const firstOf = <A, E, R, B, F, S>(
  one: Effect.Effect<A, E, R>,
  other: Effect.Effect<B, F, S>
): Effect.Effect<A | B, E | F, R | S> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const first = Deferred.unsafeMake<A | B, E | F>(FiberId.none)
      const fibers = [
        yield* Effect.fork(Effect.intoDeferred(Effect.interruptible(one), first)),
        yield* Effect.fork(Effect.intoDeferred(Effect.interruptible(other), first))
      ]
      return yield* Effect.ensuring(restore(Deferred.await(first)), Fiber.interruptAll(fibers))
    })
  )

/** Returns the result of an effect, or none if it takes longer than the limit. */
export const within =
  (limit: Duration.DurationInput) => <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<Option.Option<A>, E, R> =>
    firstOf(Effect.asSome(effect), Effect.as(Effect.sleep(limit), Option.none()))
