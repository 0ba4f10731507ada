/** @since 0.1.0 */
import * as Deferred from "effect/Deferred"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import type { OperationWatches } from "../../../services/MachineAuthority.js"
import { WatchClosed } from "../../../src/domain/Errors.js"
import type { OperationId } from "../../../src/domain/Ids.js"
import type { OperationOutcome } from "../../../src/domain/Operation.js"
import * as Waiters from "../waiters.js"

type Watch = Deferred.Deferred<OperationOutcome, WatchClosed>

/** The watches of one session, as its authority holds them. A class, since every session has one. */
export class Watches implements OperationWatches {
  private readonly waiters = Waiters.make<OperationId, OperationOutcome, WatchClosed>()
  private closed: WatchClosed | null = null

  watch(id: OperationId): Watch {
    if (this.closed === null) return this.waiters.register(id)
    const over = Deferred.unsafeMake<OperationOutcome, WatchClosed>(FiberId.none)
    Deferred.unsafeDone(over, Exit.fail(this.closed))
    return over
  }
  release(id: OperationId): void {
    this.waiters.release(id)
  }
  count(id: OperationId): number {
    return this.waiters.count(id)
  }
  isClosed(): boolean {
    return this.closed !== null
  }
  settle(id: OperationId, exit: Exit.Exit<OperationOutcome, WatchClosed>): void {
    this.waiters.settle(id, exit)
  }
  /** Ends whoever waits, now and later; the first reason is kept. */
  close(reason: string): void {
    this.closed ??= new WatchClosed({ reason })
    this.waiters.settleAll(Exit.fail(this.closed))
  }
}

export const make = (): Watches => new Watches()
