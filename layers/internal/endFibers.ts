/**
 * The fibers of a session that run what users gave it, and their end: interrupted, joined within `teardownTimeout`. What
 * does not end in time is left behind, fenced, and counted.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { InterruptReason } from "../../services/RuntimeLoop.js"
import type { EndDeps } from "./drainCell.js"
import { leftBehind } from "./drainCell.js"
import type { Attachment, Entry } from "./entry.js"
import { endsWithin, interruptWithin } from "./spawn.js"

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

/** Ends the work of process-owned operations; how the operations themselves end is the kernel's. */
export const endOperations = (deps: EndDeps, entry: Entry): Effect.Effect<boolean> =>
  Effect.map(
    Effect.forEach(
      Array.from(entry.operations.values()),
      ({ fiber }) =>
        Effect.tap(
          interruptWithin(fiber, Duration.toMillis(deps.config.teardownTimeout)),
          (ended) => ended ? Effect.void : leftBehind(deps)
        ),
      { concurrency: "unbounded" }
    ),
    (ended) => ended.every((one) => one)
  )
