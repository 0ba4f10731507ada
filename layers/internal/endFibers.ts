/**
 * What of a session runs code of its users, and how each kind of it is ended.
 *
 * @since 0.1.0
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { InterruptReason } from "../../services/RuntimeLoop.js"
import type { Attachment, Entry } from "./entry.js"
import type { AnyFiber, EndDeps } from "./joining.js"
import { ended, keep, leftBehind } from "./joining.js"
import { completesWithin, endsWithin, interruptWithin } from "./spawn.js"

/** Interrupts the run in progress for this reason; the loop then ends by itself. False when it was left behind. */
export const endLoop = (deps: EndDeps, attachment: Attachment, reason: InterruptReason): Effect.Effect<boolean> =>
  Effect.gen(function*() {
    if (attachment.control !== null) yield* attachment.control.interrupt(reason)
    const isOver = yield* endsWithin(attachment.loop, Duration.toMillis(deps.config.teardownTimeout))
    if (isOver) return true
    yield* leftBehind(deps)
    yield* interruptWithin(attachment.loop, 0)
    return false
  })

/** Ends the work of process-owned operations; how the operations themselves end is the kernel's. */
export const endOperations = (deps: EndDeps, entry: Entry): Effect.Effect<boolean> =>
  Effect.suspend(() => ended(deps, Array.from(entry.operations.values(), ({ fiber }) => fiber)))

/** Ends the calls of handles that nobody waits for any more. */
export const endHooks = (deps: EndDeps, entry: Entry): Effect.Effect<boolean> =>
  Effect.suspend(() => ended(deps, Array.from(entry.hooks ?? [])))

/** Waits for the executor that is being made, or given back: who makes it learns of the session's end by itself. */
export const endClaim = (deps: EndDeps, { claim }: Entry): Effect.Effect<boolean> =>
  claim === null ? Effect.succeed(true) : Effect.tap(
    completesWithin(Deferred.await(claim), Duration.toMillis(deps.config.teardownTimeout)),
    (isOver) => isOver ? Effect.void : leftBehind(deps)
  )

/** Makes it known that this fiber sees to an end, and must not be cut off in the middle of it. */
export const seesToEnd = (entry: Entry, fiber: AnyFiber): void => {
  keep(entry.ends ??= new Set(), fiber)
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
