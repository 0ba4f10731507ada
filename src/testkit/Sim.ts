/**
 * Runs an effect in a simulated world that one seed decides: which fiber runs next, where a fiber is preempted, the
 * time and the random numbers. The run is synchronous and repeats exactly.
 *
 * - Time is virtual. It stands still while a fiber can run, and jumps to the next timer when no fiber can. So hours of
 *   pauses cost nothing. During the run `Date.now` and `Math.random` belong to the world.
 * - Build everything inside: pass the whole program with its layers. `runSync` and `runPromise` within it, timers of
 *   the platform and promises escape the world. Waiting for one of them looks like a deadlock.
 * - A preemption can happen between any two operations of a fiber, even where the default scheduler would not preempt.
 *   `preempt: 0` suspends fibers only where they suspend by themselves, in random order. A sweep should use both.
 * - What is left at the end never runs again, and neither do its finalizers. `Effect.never` holds a timer of the
 *   platform. A program that crashes worlds in which a fiber waits for it must end by `process.exit`.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import { Sim } from "effect-meerkat/testkit"
 *
 * const result = Sim.run(Effect.sleep("1 hour"), { seed: 1 })
 * // result.end === "exit", result.elapsed === 3_600_000
 * ```
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Scheduler from "effect/Scheduler"

/** Options of `run`. @since 0.1.0 @category models */
export interface SimOptions {
  readonly seed: number
  /** probability of a preemption before each operation of a fiber; 0.1 if absent */
  readonly preempt?: number
  /** probability that a step fires the next timer while fibers can run; 0 if absent */
  readonly haste?: number
  /** the world crashes after this many steps: no finalizer runs, no buffer is flushed */
  readonly crashAt?: number
  /** asked before every step; true crashes the world as `crashAt` does */
  readonly dies?: () => boolean
  /** the run ends with `stepLimit` after this many steps; 1,000,000 if absent */
  readonly maxSteps?: number
  /** epoch milliseconds at the start */
  readonly start?: number
  /** called after every step; a returned sentence ends the run with `violation` */
  readonly check?: () => string | null
}

/**
 * How a run ended: `exit` with the effect; `deadlock` if nothing can ever run again; `crash` at `crashAt` or `dies`; `violation`
 * if `check` objected; `stepLimit` at `maxSteps`.
 *
 * @since 0.1.0
 * @category models
 */
export type SimEnd = "exit" | "deadlock" | "crash" | "violation" | "stepLimit"

/** The result of a run. @since 0.1.0 @category models */
export interface SimResult<out A, out E> {
  readonly end: SimEnd
  /** null unless `end` is `exit` */
  readonly exit: Exit.Exit<A, E> | null
  readonly deadlock: boolean
  /** the sentence that `check` returned */
  readonly violation: string | null
  readonly seed: number
  readonly steps: number
  /** a hash of every choice: equal hashes mean equal runs */
  readonly trace: number
  /** epoch milliseconds at the end */
  readonly now: number
  /** virtual milliseconds that passed */
  readonly elapsed: number
  /** what could still run: tasks of other fibers, and timers with a sleeping fiber */
  readonly left: { readonly tasks: number; readonly timers: number }
}

/** Runs an effect in the world of a seed. @since 0.1.0 @category running */
export const run = <A, E>(self: Effect.Effect<A, E>, options: SimOptions): SimResult<A, E> => {
  const world = makeWorld(options)
  return inWorld(world, () => {
    const fiber = Effect.runFork(
      self.pipe(Effect.withClock(clockOf(world)), Effect.withRandom(Random.make(options.seed))),
      { scheduler: schedulerOf(world), immediate: false }
    )
    const [end, violation] = drive(world, fiber, options)
    return {
      end,
      exit: end === "exit" ? fiber.unsafePoll() : null,
      deadlock: end === "deadlock",
      violation,
      seed: options.seed,
      steps: world.steps,
      trace: world.trace,
      now: world.now,
      elapsed: world.now - world.start,
      left: { tasks: world.tasks.length, timers: world.timers.size }
    }
  })
}

/** Options of `sweep`. @since 0.1.0 @category models */
export interface SweepOptions<A, E> extends Omit<SimOptions, "seed"> {
  /** the first seed; 0 if absent */
  readonly from?: number
  readonly seeds: number
  /** decides which results are failures; if absent, every end other than success */
  readonly fails?: (result: SimResult<A, E>) => boolean
}

/**
 * Runs seeds in order and returns the result of the first that fails, or null. Later seeds are not run. The first seed
 * always runs: a sweep that ran nothing must not look like a sweep that found nothing.
 *
 * @since 0.1.0
 * @category running
 */
export const sweep = <A, E>(
  effectOf: (seed: number) => Effect.Effect<A, E>,
  { fails = isFailure, from = 0, seeds, ...options }: SweepOptions<A, E>
): SimResult<A, E> | null => {
  let seed = from
  do {
    const result = run(effectOf(seed), { ...options, seed })
    if (fails(result)) return result
    seed++
  } while (seed < from + seeds)
  return null
}

/** True unless the effect of the run succeeded. @since 0.1.0 @category guards */
export const isFailure = <A, E>(result: SimResult<A, E>): boolean => result.exit?._tag !== "Success"

/**
 * Makes a generator of numbers in [0, 1); equal seeds give equal numbers (mulberry32).
 *
 * @since 0.1.0
 * @category constructors
 */
export const prng = (seed: number): () => number => {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

// --- internal ---

interface Timer {
  readonly at: number
  readonly wake: () => void
}

interface World {
  readonly choose: () => number
  readonly preempt: number
  readonly start: number
  readonly tasks: Array<() => void>
  readonly timers: Set<Timer>
  now: number
  steps: number
  trace: number
}

/** 2025-06-15T15:06:40Z, so that a time of 0 is recognised as an error. */
const defaultStart = 1_750_000_000_000

const makeWorld = ({ preempt = 0.1, seed, start = defaultStart }: SimOptions): World => ({
  choose: prng(seed),
  preempt,
  start,
  tasks: [],
  timers: new Set(),
  now: start,
  steps: 0,
  trace: 0
})

/**
 * The fiber itself executes a preemption, which takes this many operations. Before each of them it asks the scheduler
 * again. Without this grace it would be preempted during its preemption, without end.
 */
const operationsOfYield = 10

const schedulerOf = (world: World): Scheduler.Scheduler => {
  const grace = new WeakMap<object, number>()
  return {
    scheduleTask: (task) => {
      world.tasks.push(task)
    },
    shouldYield: (fiber) => {
      // the default: a fiber that never pauses yields after a number of operations
      if (world.preempt <= 0) return Scheduler.defaultShouldYield(fiber)
      const left = grace.get(fiber) ?? 0
      if (left > 0) {
        grace.set(fiber, left - 1)
        return false
      }
      if (world.choose() >= world.preempt) return false
      grace.set(fiber, operationsOfYield)
      return 0
    }
  }
}

const clockOf = (world: World): Clock.Clock => {
  const millis = () => Math.floor(world.now)
  const nanos = () => BigInt(millis()) * 1_000_000n + BigInt(Math.floor((world.now - millis()) * 1_000_000))
  return {
    [Clock.ClockTypeId]: Clock.ClockTypeId,
    unsafeCurrentTimeMillis: millis,
    unsafeCurrentTimeNanos: nanos,
    currentTimeMillis: Effect.sync(millis),
    currentTimeNanos: Effect.sync(nanos),
    sleep: (duration) =>
      Effect.async<void>((resume) => {
        const timer: Timer = { at: world.now + Duration.toMillis(duration), wake: () => resume(Effect.void) }
        // an infinite timer never fires: a world with only such timers is at its end
        if (Number.isFinite(timer.at)) world.timers.add(timer)
        return Effect.sync(() => {
          world.timers.delete(timer)
        })
      })
  }
}

const drive = <A, E>(
  world: World,
  fiber: Fiber.RuntimeFiber<A, E>,
  { check, crashAt = Infinity, dies, haste = 0, maxSteps = 1_000_000 }: SimOptions
): readonly [SimEnd, violation: string | null] => {
  while (fiber.unsafePoll() === null) {
    if (world.steps >= crashAt || dies?.() === true) return ["crash", null]
    if (world.steps >= maxSteps) return ["stepLimit", null]
    const hasty = haste > 0 && world.timers.size > 0 && world.choose() < haste
    if (hasty || !runOne(world)) {
      if (!jump(world)) return ["deadlock", null]
      continue
    }
    const violation = check?.() ?? null
    if (violation !== null) return ["violation", violation]
  }
  return ["exit", null]
}

/** Runs one step: a random task of those that can run. */
const runOne = (world: World): boolean => {
  const { tasks } = world
  const chosen = Math.floor(world.choose() * tasks.length)
  const task = tasks[chosen]
  const last = tasks.pop()
  if (task === undefined || last === undefined) return false
  record(world, tasks.length, chosen)
  if (chosen < tasks.length) tasks[chosen] = last
  world.steps++
  task()
  return true
}

/** Advances the time to the next timer and fires all due timers; the choice of tasks decides their order. */
const jump = (world: World): boolean => {
  let next = Infinity
  for (const { at } of world.timers) next = Math.min(next, at)
  if (next === Infinity) return false
  world.now = Math.max(world.now, next)
  record(world, world.now - world.start, world.timers.size)
  for (const timer of Array.from(world.timers)) {
    if (timer.at > world.now) continue
    world.timers.delete(timer)
    timer.wake()
  }
  return true
}

const record = (world: World, a: number, b: number): void => {
  world.trace = (Math.imul(Math.imul(world.trace ^ a, 0x01000193) ^ b, 0x01000193) + 1) | 0
}

/** Replaces the platform's time and random numbers by those of the world; nothing else can run meanwhile. */
const inWorld = <A>(world: World, body: () => A): A => {
  const { now } = Date
  const { random } = Math
  const chance = prng(~world.choose())
  Reflect.set(Date, "now", () => Math.floor(world.now))
  Reflect.set(Math, "random", chance)
  try {
    return body()
  } finally {
    Reflect.set(Date, "now", now)
    Reflect.set(Math, "random", random)
  }
}
