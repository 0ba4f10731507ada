/** @since 0.1.0 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { MeerkatMachineOptions } from "../../services/MeerkatMachineConfig.js"

/**
 * How long to wait with the next try of what a store refuses for the moment, when it is tried without end: `commitRetryBase`,
 * doubled up to `retryCap`.
 *
 * @since 0.1.0
 * @category waiting
 */
export const beforeRetry = (config: MeerkatMachineOptions, tries: number): Duration.Duration =>
  Duration.min(Duration.times(config.commitRetryBase, 2 ** Math.min(tries, 16)), config.retryCap)

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
