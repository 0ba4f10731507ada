/**
 * A bounded map that drops its oldest entry. The SQLite batches cache heads in it.
 *
 * @since 0.1.0
 */

/** A map that keeps only the keys that were set last, up to a limit. */
export interface Recent<K, V> {
  readonly get: (key: K) => V | undefined
  readonly set: (key: K, value: V) => void
  readonly delete: (key: K) => void
  readonly clear: () => void
  readonly size: () => number
}

/** Makes an empty map of at most `limit` keys. */
export const make = <K, V>(limit: number): Recent<K, V> => {
  // in the order of their last `set`
  const values = new Map<K, V>()
  return {
    get: (key) => values.get(key),
    set: (key, value) => {
      values.delete(key)
      values.set(key, value)
      for (const oldest of values.keys()) {
        if (values.size <= limit) return
        values.delete(oldest)
      }
    },
    delete: (key) => void values.delete(key),
    clear: () => values.clear(),
    size: () => values.size
  }
}
