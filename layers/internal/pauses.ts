/**
 * The pauses between attempts. The drain task, operation fibers and process groups use them.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { MeerkatMachineOptions } from "../../services/MeerkatMachineConfig.js"

/**
 * Returns the pause before the next attempt of an unlimited retry: `commitRetryBase`, doubled up to `retryCap`.
 *
 * @since 0.1.0
 * @category waiting
 */
export const beforeRetry = (config: MeerkatMachineOptions, tries: number): Duration.Duration =>
  Duration.min(Duration.times(config.commitRetryBase, 2 ** Math.min(tries, 16)), config.retryCap)

/**
 * Waits for a condition that no event announces. It checks again after pauses that grow from 5 to 100 ms: a quick
 * change is noticed soon, and a long wait costs little.
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
