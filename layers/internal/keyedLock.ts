/**
 * A lock per key. The LLM surface takes it per session id, so that changes of one session run in sequence.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"

/** Runs effects in sequence per key, in the order of arrival; different keys do not wait for each other. */
export interface KeyedLock<K> {
  /** Waits for its turn and runs the effect; the wait can be interrupted. An unused key costs nothing. */
  readonly run: (key: K) => <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** the number of keys in use */
  readonly size: () => number
}

/** Makes a lock. */
export const make = <K>(): KeyedLock<K> => {
  const locks = new Map<K, { readonly turn: Effect.Semaphore; users: number }>()
  const enter = (key: K) => {
    const lock = locks.get(key) ?? { turn: Effect.unsafeMakeSemaphore(1), users: 0 }
    lock.users++
    locks.set(key, lock)
    return lock
  }
  return {
    run: (key) => (effect) =>
      Effect.acquireUseRelease(
        Effect.sync(() => enter(key)),
        ({ turn }) => turn.withPermits(1)(effect),
        (lock) =>
          Effect.sync(() => {
            if (--lock.users === 0) locks.delete(key)
          })
      ),
    size: () => locks.size
  }
}
