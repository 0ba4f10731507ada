/**
 * Ends each kind of fiber that runs code of a session's users.
 *
 * Callers: teardown, stop and destroy. Each step is bounded by `teardownTimeout`, and answers false when a fiber was left
 * behind.
 *
 * @since 0.1.0
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as HashMap from "effect/HashMap"
import type { InterruptReason } from "../../services/RuntimeLoop.js"
import type { Entry } from "./entry.js"
import { keep } from "./entry.js"
import type { Attachment } from "./entryState.js"
import type { AnyFiber, EndDeps } from "./joining.js"
import { ended, leftBehind } from "./joining.js"
import { completesWithin, endsWithin, interruptWithin } from "./spawn.js"

/** Interrupts the run in progress for this reason; the loop then ends by itself. False when it was left behind. */
export const endLoop = (deps: EndDeps, attachment: Attachment, reason: InterruptReason): Effect.Effect<boolean> =>
  Effect.gen(function*() {
    const { control } = attachment.phase.unsafeGet()
    if (control !== null) yield* control.interrupt(reason)
    const isOver = yield* endsWithin(attachment.loop, Duration.toMillis(deps.config.teardownTimeout))
    if (isOver) return true
    yield* leftBehind(deps)
    yield* interruptWithin(attachment.loop, 0)
    return false
  })

/** Ends the work of process-owned operations. The kernel decides how the operations themselves end. */
export const endOperations = (deps: EndDeps, entry: Entry): Effect.Effect<boolean> =>
  Effect.suspend(() => ended(deps, Array.from(HashMap.values(entry.rare.unsafeGet().operations), ({ fiber }) => fiber)))

/** Ends the calls of an executor's handles that are still in progress. */
export const endHooks = (deps: EndDeps, entry: Entry): Effect.Effect<boolean> =>
  Effect.suspend(() => ended(deps, Array.from(entry.rare.unsafeGet().hooks)))

/** Waits until a claimed slot is released. The claim's holder learns of the session's end by itself. */
export const endClaim = (deps: EndDeps, entry: Entry): Effect.Effect<boolean> => {
  const { slot } = entry.state.unsafeGet()
  return slot._tag !== "Claimed" ? Effect.succeed(true) : Effect.tap(
    completesWithin(Deferred.await(slot.done), Duration.toMillis(deps.config.teardownTimeout)),
    (isOver) => isOver ? Effect.void : leftBehind(deps)
  )
}

/** Registers a fiber that ends the session or a loop of it; a teardown waits for it. */
export const seesToEnd = (entry: Entry, fiber: AnyFiber): void => {
  keep(entry, "ends", fiber)
}

/** Waits for the fibers that end the session or a loop of it. Each of their steps is bounded, so the whole has no limit. */
export const endsSeenTo = (entry: Entry): Effect.Effect<void> =>
  Effect.suspend(() => {
    const ends = Array.from(entry.rare.unsafeGet().ends)
    return ends.length === 0 ? Effect.void : Effect.zipRight(
      Effect.forEach(ends, (fiber) => Fiber.await(fiber), { discard: true }),
      endsSeenTo(entry)
    )
  })
