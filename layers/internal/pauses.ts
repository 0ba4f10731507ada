/** @since 0.1.0 */
import * as Effect from "effect/Effect"

/**
 * Waits for what no event tells: asks again after pauses that grow from 5 to 100 ms, so that what comes soon is seen
 * soon, and what takes long costs little.
 *
 * @since 0.1.0
 * @category waiting
 */
export const until = (condition: () => boolean): Effect.Effect<void> => after(condition, 5)

// --- internal ---

const longestMs = 100

const after = (condition: () => boolean, pauseMs: number): Effect.Effect<void> =>
  Effect.suspend(() =>
    condition()
      ? Effect.void
      : Effect.zipRight(Effect.sleep(pauseMs), after(condition, Math.min(2 * pauseMs, longestMs)))
  )
