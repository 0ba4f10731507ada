/** @since 0.1.0 */
import * as Deferred from "effect/Deferred"
import type * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"

/**
 * Who waits for what, by id. Plumbing only: nothing may be inferred from a waiter's presence. Every access is
 * synchronous, so registration and settlement cannot tear.
 */
export interface Waiters<K, A, E> {
  readonly register: (key: K) => Deferred.Deferred<A, E>
  readonly settle: (key: K, exit: Exit.Exit<A, E>) => void
  readonly settleAll: (exit: Exit.Exit<A, E>) => void
  readonly count: (key?: K) => number
  readonly keys: () => ReadonlyArray<readonly [K, number]>
}

interface Cell<A, E> {
  readonly deferred: Deferred.Deferred<A, E>
  count: number
}

export const make = <K, A, E>(): Waiters<K, A, E> => {
  const cells = new Map<K, Cell<A, E>>()
  const total = () => {
    let sum = 0
    for (const cell of cells.values()) sum += cell.count
    return sum
  }
  const settle = (key: K, exit: Exit.Exit<A, E>) => {
    const cell = cells.get(key)
    if (cell === undefined) return
    cells.delete(key)
    Deferred.unsafeDone(cell.deferred, exit)
  }
  return {
    register: (key) => {
      const found = cells.get(key)
      if (found !== undefined) {
        found.count++
        return found.deferred
      }
      const deferred = Deferred.unsafeMake<A, E>(FiberId.none)
      cells.set(key, { deferred, count: 1 })
      return deferred
    },
    settle,
    settleAll: (exit) => {
      for (const key of Array.from(cells.keys())) settle(key, exit)
    },
    count: (key) => key === undefined ? total() : cells.get(key)?.count ?? 0,
    keys: () => Array.from(cells, ([key, cell]) => [key, cell.count] as const)
  }
}
