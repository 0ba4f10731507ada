/** @since 0.1.0 */

/** The values of the keys that were set last; what is older than the limit permits is forgotten. */
export interface Recent<K, V> {
  readonly get: (key: K) => V | undefined
  readonly set: (key: K, value: V) => void
  readonly delete: (key: K) => void
  readonly clear: () => void
  readonly size: () => number
}

export const make = <K, V>(limit: number): Recent<K, V> => {
  // in the order in which they were set
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
