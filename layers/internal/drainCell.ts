/** @since 0.1.0 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Fiber from "effect/Fiber"
import type { DrainState } from "../../src/domain/DrainSlot.js"
import { initial } from "../../src/domain/DrainSlot.js"
import type { DrainEvent } from "../../src/kernel/drain.js"
import { step } from "../../src/kernel/drain.js"
import type { AnyFiber, EndDeps } from "./joining.js"
import * as Joining from "./joining.js"

/** One drain. Its identity is its fence: a task that is not its cell's any more feeds nothing and tells nothing. */
export interface DrainTask {
  fiber: Fiber.RuntimeFiber<void> | null
}

/** Slot, owner and task of one session; written synchronously, so that slot and task agree at every moment. */
export interface DrainCell {
  state: DrainState
  task: DrainTask | null
  /** what was started for it and has not ended: drains, and what they asked of an inbox; those of a task that is over too */
  readonly fibers: Set<AnyFiber>
}

export const make = (): DrainCell => ({ state: initial, task: null, fibers: new Set() })

/** A transition that does not exist changes nothing and answers false. */
export const fire = (cell: DrainCell, event: DrainEvent): boolean => {
  const next = step(cell.state.slot, event)
  if (Either.isLeft(next)) return false
  cell.state = { ...cell.state, slot: next.right }
  return true
}

/** Has a fiber waited for by whoever ends the drain or takes its place. */
export const keep = <F extends AnyFiber>(cell: DrainCell, fiber: F): F => Joining.keep(cell.fibers, fiber)

/** Waits for fibers of some drains; what is left behind is counted once, and nobody waits for it again. */
export const joined = (
  deps: EndDeps,
  cells: ReadonlyArray<DrainCell>,
  some: ReadonlyArray<AnyFiber>
): Effect.Effect<boolean> => Joining.joined(deps, some, (fiber) => cells.some(({ fibers }) => fibers.delete(fiber)))

/** The slot moves on and has no task any more; false when it stays as it is. */
export const vacate = (cell: DrainCell, event: DrainEvent): boolean => {
  if (!fire(cell, event)) return false
  cell.task = null
  return true
}

/**
 * The slot moves on first, so that an ended task never says so itself; then whatever was started for it is interrupted.
 * Gives what there is to wait for: a task that is not its cell's any more starts nothing.
 */
export const release = (cell: DrainCell, event: DrainEvent): ReadonlyArray<AnyFiber> => {
  vacate(cell, event)
  const fibers = Array.from(cell.fibers)
  Joining.interruptAll(fibers)
  return fibers
}

/** Ends the task and joins it; false when something of it was left behind. `wait: false` only begins it. */
export const end = (
  deps: EndDeps,
  cell: DrainCell,
  event: DrainEvent,
  options: { readonly wait: boolean } = { wait: true }
): Effect.Effect<boolean> =>
  Effect.suspend(() => {
    const fibers = release(cell, event)
    return options.wait ? joined(deps, [cell], fibers) : Effect.succeed(true)
  }).pipe(Effect.uninterruptible)
