/**
 * The end of fibers that run code of users: interrupted all at once, joined within one `teardownTimeout`. A fiber that does
 * not end in time is left behind, fenced, and counted.
 *
 * Callers: whatever ends a session, a loop, a drain or a change of the model.
 *
 * Fibers are awaited in sequence. The concurrent combinators of the library hang when their own fiber is interrupted as they
 * begin, and the limit for the whole makes a sequence equivalent.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Metric from "effect/Metric"
import type { MeerkatMachineOptions } from "../../services/MeerkatMachineConfig.js"
import type { Cell } from "./cell.js"
import * as Metrics from "./metrics.js"
import { completesWithin } from "./spawn.js"

export type AnyFiber = Fiber.RuntimeFiber<unknown, unknown>

export interface EndDeps {
  readonly config: MeerkatMachineOptions
  /** fibers that did not end in time */
  readonly abandoned: { count: number }
}

const without = (fibers: ReadonlySet<AnyFiber>, fiber: AnyFiber): ReadonlySet<AnyFiber> =>
  new Set(Array.from(fibers).filter((each) => each !== fiber))

/** Keeps a fiber in the set until it ends. Sets are copied: they hold a few fibers at most. */
export const keep = <F extends AnyFiber>(fibers: Cell<ReadonlySet<AnyFiber>>, fiber: F): F => {
  fibers.unsafeModify((before) => [undefined, new Set(before).add(fiber)])
  fiber.addObserver(() => fibers.unsafeModify((before) => [undefined, without(before, fiber)]))
  return fiber
}

export const interruptAll = (fibers: Iterable<AnyFiber>): void => {
  for (const fiber of fibers) fiber.unsafeInterruptAsFork(FiberId.none)
}

/** Counts a fiber that was left behind. */
export const leftBehind = (deps: EndDeps): Effect.Effect<void> =>
  Effect.suspend(() => {
    deps.abandoned.count++
    return Metric.increment(Metrics.abandonedFibers)
  })

/** Waits for fibers that were interrupted; false when one was left behind. `counts` says which of those to count. */
export const joined = (
  deps: EndDeps,
  fibers: ReadonlyArray<AnyFiber>,
  counts: (fiber: AnyFiber) => boolean = (fiber) => fiber.unsafePoll() === null
): Effect.Effect<boolean> =>
  fibers.length === 0 ? Effect.succeed(true) : Effect.tap(
    completesWithin(
      Effect.forEach(fibers, (fiber) => Fiber.await(fiber), { discard: true }),
      Duration.toMillis(deps.config.teardownTimeout)
    ),
    (ended) => ended ? Effect.void : Effect.forEach(fibers.filter(counts), () => leftBehind(deps), { discard: true })
  )

/** Interrupts fibers and joins them; false when one was left behind. */
export const ended = (deps: EndDeps, fibers: ReadonlyArray<AnyFiber>): Effect.Effect<boolean> =>
  Effect.suspend(() => {
    interruptAll(fibers)
    return joined(deps, fibers)
  })
