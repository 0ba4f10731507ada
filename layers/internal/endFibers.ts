/**
 * The fibers of a session that run what users gave it, and their end: interrupted, joined within `teardownTimeout`. What
 * does not end in time is left behind, fenced, and counted.
 *
 * @since 0.1.0
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { InterruptReason } from "../../services/RuntimeLoop.js"
import type { EndDeps } from "./drainCell.js"
import { leftBehind } from "./drainCell.js"
import type { Attachment, Entry } from "./entry.js"
import { completesWithin, endsWithin, interruptWithin } from "./spawn.js"

/** Interrupts the run in progress for this reason; the loop then ends by itself. False when it was left behind. */
export const endLoop = (deps: EndDeps, attachment: Attachment, reason: InterruptReason): Effect.Effect<boolean> =>
  Effect.gen(function*() {
    if (attachment.control !== null) yield* attachment.control.interrupt(reason)
    const ended = yield* endsWithin(attachment.loop, Duration.toMillis(deps.config.teardownTimeout))
    if (ended) return true
    yield* leftBehind(deps)
    yield* interruptWithin(attachment.loop, 0)
    return false
  })

/** Interrupts fibers and joins them, side by side; false when one was left behind. */
const endAll = (
  deps: EndDeps,
  fibers: ReadonlyArray<Fiber.RuntimeFiber<unknown, unknown>>
): Effect.Effect<boolean> =>
  Effect.map(
    Effect.forEach(
      fibers,
      (fiber) =>
        Effect.tap(
          interruptWithin(fiber, Duration.toMillis(deps.config.teardownTimeout)),
          (ended) => ended ? Effect.void : leftBehind(deps)
        ),
      { concurrency: "unbounded" }
    ),
    (ended) => ended.every((one) => one)
  )

/** Ends the work of process-owned operations; how the operations themselves end is the kernel's. */
export const endOperations = (deps: EndDeps, entry: Entry): Effect.Effect<boolean> =>
  Effect.suspend(() => endAll(deps, Array.from(entry.operations.values(), ({ fiber }) => fiber)))

/** Ends the calls of handles that nobody waits for any more. */
export const endHooks = (deps: EndDeps, entry: Entry): Effect.Effect<boolean> =>
  Effect.suspend(() => endAll(deps, Array.from(entry.hooks ?? [])))

/** Waits for the executor that is being made, or given back: who makes it learns of the session's end by itself. */
export const endClaim = (deps: EndDeps, { claim }: Entry): Effect.Effect<boolean> =>
  claim === null ? Effect.succeed(true) : Effect.tap(
    completesWithin(Deferred.await(claim), Duration.toMillis(deps.config.teardownTimeout)),
    (ended) => ended ? Effect.void : leftBehind(deps)
  )

/** Makes it known that this fiber sees to an end, and must not be cut off in the middle of it. */
export const seesToEnd = (entry: Entry, fiber: Fiber.RuntimeFiber<unknown, unknown>): void => {
  const ends = entry.ends ??= new Set()
  ends.add(fiber)
  fiber.addObserver(() => void ends.delete(fiber))
}

/** Waits for those who see to an end. Each step of theirs is bounded, so there is no limit for the whole. */
export const endsSeenTo = (entry: Entry): Effect.Effect<void> =>
  Effect.suspend(() => {
    const ends = Array.from(entry.ends ?? [])
    return ends.length === 0 ? Effect.void : Effect.zipRight(
      Effect.forEach(ends, (fiber) => Fiber.await(fiber), { discard: true }),
      endsSeenTo(entry)
    )
  })
