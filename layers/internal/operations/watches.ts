/**
 * The watches of a session's operations. The authority owns them.
 *
 * @since 0.1.0
 */
import type * as Deferred from "effect/Deferred"
import * as Exit from "effect/Exit"
import type { OperationWatches } from "../../../services/MachineAuthority.js"
import { WatchClosed } from "../../../src/domain/Errors.js"
import type { OperationId } from "../../../src/domain/Ids.js"
import type { OperationOutcome } from "../../../src/domain/Operation.js"
import * as Waiters from "../waiters.js"

/** The watches of one session. It is a class because every session has one, and methods are shared. */
export class Watches implements OperationWatches {
  private readonly waiters = Waiters.make<OperationId, OperationOutcome, WatchClosed>()

  watch(id: OperationId): Deferred.Deferred<OperationOutcome, WatchClosed> {
    return this.waiters.register(id)
  }
  release(id: OperationId): void {
    this.waiters.release(id)
  }
  count(id: OperationId): number {
    return this.waiters.count(id)
  }
  isClosed(): boolean {
    return this.waiters.isClosed()
  }
  settle(id: OperationId, exit: Exit.Exit<OperationOutcome, WatchClosed>): void {
    this.waiters.settle(id, exit)
  }
  /** Ends all current and future watches; the first reason is kept. */
  close(reason: string): void {
    this.waiters.close(Exit.fail(new WatchClosed({ reason })))
  }
}

/** Makes the watches of one session. */
export const make = (): Watches => new Watches()
