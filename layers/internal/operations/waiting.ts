/** @since 0.1.0 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type { OperationError, WatchClosed } from "../../../src/domain/Errors.js"
import { OpNotFound, OpOwnerRetired } from "../../../src/domain/Errors.js"
import type { OperationId } from "../../../src/domain/Ids.js"
import type { OperationEnd, OperationOutcome } from "../../../src/domain/Operation.js"
import { beginWaitAll, cancelWaitAll, getOperation } from "../../../src/kernel/operations.js"
import type { Entry } from "../entry.js"
import type { OperationDeps } from "./submit.js"
import { submit } from "./submit.js"

/**
 * What an operation ended with, or will end with. The state is read and the watcher put in place in one step, so that no
 * end comes in between.
 */
const outcomeOf = (entry: Entry, id: OperationId): Effect.Effect<OperationOutcome, WatchClosed> => {
  const { authority } = entry
  const outcome = getOperation(authority.unsafeState(), id)?.outcome
  if (outcome !== undefined) return Effect.succeed(outcome)
  const ended = authority.watches.watch(id)
  return Effect.onInterrupt(Deferred.await(ended), () => Effect.sync(() => authority.watches.release(id)))
}

/** How an operation ends. */
export const watch = (
  { entry }: OperationDeps,
  id: OperationId
): Effect.Effect<OperationOutcome, OperationError | WatchClosed> =>
  Effect.suspend((): Effect.Effect<OperationOutcome, OperationError | WatchClosed> =>
    getOperation(entry.authority.unsafeState(), id) === null
      ? Effect.fail(new OpNotFound({ id }))
      : outcomeOf(entry, id)
  )

/**
 * Waits for all of them by the session's barrier. The members are watched from the moment in which it is set, when all of
 * them are known; what happens to their records later is of no concern. Whatever interrupts the wait, also before the
 * reply has come, takes the barrier away: its removal comes after it in the queue.
 */
export const waitAll = (
  deps: OperationDeps,
  ids: ReadonlyArray<OperationId>
): Effect.Effect<ReadonlyArray<OperationEnd>, OperationError> =>
  Effect.flatMap(deps.ids.wait, (requestId) => {
    const { entry } = deps
    const cell: { members: ReadonlyArray<readonly [OperationId, Effect.Effect<OperationOutcome, WatchClosed>]> } = {
      members: []
    }
    const begun = submit(entry, beginWaitAll({ requestId, ids }), (reply) => {
      if (reply._tag === "Waiting") cell.members = ids.map((id) => [id, outcomeOf(entry, id)] as const)
    })
    return Effect.flatMap(begun, (reply) =>
      reply._tag === "Satisfied"
        ? Effect.succeed(reply.outcomes)
        : Effect.forEach(
          cell.members,
          ([id, outcome]) => Effect.map(outcome, (ended): OperationEnd => [id, ended]),
          { concurrency: "unbounded" }
        )).pipe(
        Effect.catchTag("WatchClosed", () => Effect.fail(new OpOwnerRetired({ sessionId: entry.sessionId }))),
        Effect.onInterrupt(() => Effect.ignore(entry.authority.submit(cancelWaitAll(requestId))))
      )
  })
