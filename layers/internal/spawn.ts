/**
 * Starts and ends the machine's fibers. All background fibers of the machine come from here. Invariant: a fiber ends
 * with its scope, and a caller's fiber references never reach it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import * as Scope from "effect/Scope"
import { within } from "./race.js"

/**
 * Starts fibers in a scope of the machine, with the runtime of the time the layer was built. So they inherit nothing of
 * a caller's fiber: no transaction, no span, no interruption. It counts the live fibers.
 */
export interface Spawner {
  readonly spawn: <A, E>(scope: Scope.Scope, effect: Effect.Effect<A, E>) => Fiber.RuntimeFiber<A, E>
  readonly live: () => number
}

/** The fibers of one scope. One finalizer serves them all, so a fiber costs only an element of a set. */
interface Household {
  readonly fibers: Set<Fiber.RuntimeFiber<unknown, unknown>>
  closed: boolean
}

const endAll = (household: Household): Effect.Effect<void> =>
  Effect.fiberIdWith((own) => {
    household.closed = true
    // a fiber that closes its own scope does not wait for itself
    const others = Array.from(household.fibers).filter((fiber) => !Equal.equals(fiber.id(), own))
    return Fiber.interruptAll(others)
  })

/** Makes a spawner from the current runtime. */
export const make: Effect.Effect<Spawner> = Effect.map(Effect.runtime<never>(), (runtime) => {
  let live = 0
  const households = new WeakMap<Scope.Scope, Household>()
  const householdOf = (scope: Scope.Scope): Household => {
    const known = households.get(scope)
    if (known !== undefined) return known
    const household: Household = { fibers: new Set(), closed: false }
    households.set(scope, household)
    // a closed scope runs the finalizer at once
    Runtime.runSync(runtime, Scope.addFinalizer(scope, endAll(household)))
    return household
  }
  return {
    live: () => live,
    spawn: (scope, effect) => {
      const household = householdOf(scope)
      live++
      const fiber = Runtime.runFork(runtime, effect, { immediate: false })
      household.fibers.add(fiber)
      fiber.addObserver(() => {
        live--
        household.fibers.delete(fiber)
      })
      if (household.closed) fiber.unsafeInterruptAsFork(FiberId.none)
      return fiber
    }
  }
})

/**
 * Interrupts a fiber and waits for it, at most `limitMs`; returns false if it still runs then. A fiber that ignores its
 * interruption is abandoned by its owner; the fence refuses its writes.
 */
export const interruptWithin = <A, E>(fiber: Fiber.Fiber<A, E>, limitMs: number): Effect.Effect<boolean> =>
  Effect.zipRight(
    Fiber.interruptFork(fiber),
    endsWithin(fiber, limitMs)
  )

/** Waits for a fiber, at most `limitMs`; returns whether it ended. */
export const endsWithin = <A, E>(fiber: Fiber.Fiber<A, E>, limitMs: number): Effect.Effect<boolean> =>
  completesWithin(Fiber.await(fiber), limitMs)

/** Returns whether an effect completes within `limitMs`; it never waits longer, whatever the effect does. */
export const completesWithin = <A>(effect: Effect.Effect<A>, limitMs: number): Effect.Effect<boolean> =>
  effect.pipe(
    Effect.disconnect,
    within(limitMs),
    Effect.map(Option.isSome),
    Effect.interruptible
  )
