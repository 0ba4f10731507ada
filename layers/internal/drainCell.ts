/** @since 0.1.0 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import type { MeerkatMachineOptions } from "../../services/MeerkatMachineConfig.js"
import type { DrainState } from "../../src/domain/DrainSlot.js"
import { initial } from "../../src/domain/DrainSlot.js"
import type { DrainEvent } from "../../src/kernel/drain.js"
import { step } from "../../src/kernel/drain.js"
import * as Metrics from "./metrics.js"
import { interruptWithin } from "./spawn.js"

/** One drain. Its identity is its fence: a task that is not its cell's any more feeds nothing and tells nothing. */
export interface DrainTask {
  fiber: Fiber.RuntimeFiber<void> | null
}

/** Slot, owner and task of one session; written synchronously, so that slot and task agree at every moment. */
export interface DrainCell {
  state: DrainState
  task: DrainTask | null
}

export interface EndDeps {
  readonly config: MeerkatMachineOptions
  /** fibers that did not end in time */
  readonly abandoned: { count: number }
}

export const make = (): DrainCell => ({ state: initial, task: null })

/** A transition that does not exist changes nothing and answers false. */
export const fire = (cell: DrainCell, event: DrainEvent): boolean => {
  const next = step(cell.state.slot, event)
  if (Either.isLeft(next)) return false
  cell.state = { ...cell.state, slot: next.right }
  return true
}

/** The slot is over first, then its task is the caller's to end: so an ended task never says so itself. */
export const release = (cell: DrainCell, event: DrainEvent): Fiber.RuntimeFiber<void> | null => {
  if (!fire(cell, event)) return null
  const { task } = cell
  cell.task = null
  return task?.fiber ?? null
}

/** Counts a fiber that was left behind. */
export const leftBehind = (deps: EndDeps): Effect.Effect<void> =>
  Effect.suspend(() => {
    deps.abandoned.count++
    return Metric.increment(Metrics.abandonedFibers)
  })

/**
 * Ends the task and joins it, at most `teardownTimeout`; false when it was left behind. `wait: false` only begins it. A
 * task that was released is interrupted, whatever becomes of the caller: nobody else knows it any more.
 */
export const end = (
  deps: EndDeps,
  cell: DrainCell,
  event: DrainEvent,
  options: { readonly wait: boolean } = { wait: true }
): Effect.Effect<boolean> =>
  Effect.suspend(() => {
    const fiber = release(cell, event)
    if (fiber === null) return Effect.succeed(true)
    if (!options.wait) return Effect.as(Fiber.interruptFork(fiber), true)
    return Effect.tap(
      interruptWithin(fiber, Duration.toMillis(deps.config.teardownTimeout)),
      (ended) => ended ? Effect.void : leftBehind(deps)
    )
  }).pipe(Effect.uninterruptible)
