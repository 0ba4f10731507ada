/**
 * The waiters of inputs and operations. The authority owns them. Invariant: registration and settlement are
 * synchronous, so neither can be half done.
 *
 * @since 0.1.0
 */
import * as Deferred from "effect/Deferred"
import type * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"

/**
 * Waiters by key. They only deliver outcomes: no rule depends on the presence of a waiter.
 */
export interface Waiters<K, A, E> {
  readonly register: (key: K) => Deferred.Deferred<A, E>
  /** removes a waiter that left before the end */
  readonly release: (key: K) => void
  readonly count: (key: K) => number
  readonly settle: (key: K, exit: Exit.Exit<A, E>) => void
  readonly settleAll: (exit: Exit.Exit<A, E>) => void
  /** ends all current and future waiters; the first exit is kept */
  readonly close: (exit: Exit.Exit<A, E>) => void
  readonly isClosed: () => boolean
  readonly keys: () => ReadonlyArray<readonly [K, number]>
}

interface Cell<A, E> {
  readonly deferred: Deferred.Deferred<A, E>
  count: number
}

/** A class, because a session has two of them: instances share methods, closures would not. */
class Cells<K, A, E> implements Waiters<K, A, E> {
  /** made for the first waiter: most sessions have no waiter most of the time */
  private cells: Map<K, Cell<A, E>> | null = null
  private closed: Exit.Exit<A, E> | null = null

  register(key: K): Deferred.Deferred<A, E> {
    if (this.closed !== null) {
      const over = Deferred.unsafeMake<A, E>(FiberId.none)
      Deferred.unsafeDone(over, this.closed)
      return over
    }
    const cells = this.cells ??= new Map()
    const found = cells.get(key)
    if (found !== undefined) {
      found.count++
      return found.deferred
    }
    const deferred = Deferred.unsafeMake<A, E>(FiberId.none)
    cells.set(key, { deferred, count: 1 })
    return deferred
  }
  release(key: K): void {
    const cell = this.cells?.get(key)
    if (cell !== undefined && --cell.count === 0) this.cells?.delete(key)
  }
  count(key: K): number {
    return this.cells?.get(key)?.count ?? 0
  }
  settle(key: K, exit: Exit.Exit<A, E>): void {
    const cell = this.cells?.get(key)
    if (cell === undefined) return
    this.cells?.delete(key)
    Deferred.unsafeDone(cell.deferred, exit)
  }
  settleAll(exit: Exit.Exit<A, E>): void {
    for (const [key] of this.keys()) this.settle(key, exit)
  }
  close(exit: Exit.Exit<A, E>): void {
    this.closed ??= exit
    this.settleAll(this.closed)
  }
  isClosed(): boolean {
    return this.closed !== null
  }
  keys(): ReadonlyArray<readonly [K, number]> {
    return Array.from(this.cells ?? [], ([key, cell]) => [key, cell.count] as const)
  }
}

/** Makes an empty set of waiters. */
export const make = <K, A, E>(): Waiters<K, A, E> => new Cells<K, A, E>()
