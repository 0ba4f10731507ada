/** @since 0.1.0 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { OperationError, WatchClosed } from "../../../src/domain/Errors.js"
import { OpNotFound, OpOwnerRetired } from "../../../src/domain/Errors.js"
import type { OperationId } from "../../../src/domain/Ids.js"
import type { OperationEnd, OperationOutcome } from "../../../src/domain/Operation.js"
import { beginWaitAll, cancelWaitAll, getOperation } from "../../../src/kernel/operations.js"
import type { Entry } from "../entry.js"
import type { OperationDeps } from "./submit.js"
import { submit } from "./submit.js"

/** What an operation ended with, or a watch of its end. */
type Watched = Either.Either<OperationOutcome, Deferred.Deferred<OperationOutcome, WatchClosed>>

/** Read, and watched if need be, in one step: no end comes in between. */
const watched = ({ authority }: Entry, id: OperationId): Watched => {
  const outcome = getOperation(authority.unsafeState(), id)?.outcome
  return outcome === undefined ? Either.left(authority.watches.watch(id)) : Either.right(outcome)
}

const outcomeOf = (one: Watched): Effect.Effect<OperationOutcome, WatchClosed> =>
  Either.isLeft(one) ? Deferred.await(one.left) : Effect.succeed(one.right)

/** Whoever leaves before the end is no watcher any more. */
const leave = ({ authority }: Entry, id: OperationId, one: Watched): Effect.Effect<void> =>
  Either.isRight(one) ? Effect.void : Effect.map(Deferred.isDone(one.left), (ended) => {
    if (!ended) authority.watches.release(id)
  })

/** How an operation ends. */
export const watch = (
  { entry }: OperationDeps,
  id: OperationId
): Effect.Effect<OperationOutcome, OperationError | WatchClosed> =>
  Effect.suspend((): Effect.Effect<OperationOutcome, OperationError | WatchClosed> => {
    if (getOperation(entry.authority.unsafeState(), id) === null) return Effect.fail(new OpNotFound({ id }))
    const one = watched(entry, id)
    return Effect.onInterrupt(outcomeOf(one), () => leave(entry, id, one))
  })

type Members = ReadonlyArray<readonly [OperationId, Watched]>

/**
 * The members of a barrier that was set: what those that had ended came to, and watches of the others. Not asked of their
 * records, which may be gone at the end of the round already; the ends of the others are told after this.
 */
const membersOf = (
  { authority }: Entry,
  ids: ReadonlyArray<OperationId>,
  outcomes: ReadonlyArray<OperationEnd>
): Members => {
  const ended = new Map(outcomes)
  return ids.map((id) => [id, Either.fromNullable(ended.get(id), () => authority.watches.watch(id))] as const)
}

/**
 * Waits for all of them by the session's barrier. The members are watched from the moment in which it is set, when all of
 * them are known; what happens to their records later is of no concern. Whatever interrupts the wait, also before the
 * reply has come, takes the barrier away: its removal comes after it in the queue, and only then it is known who is
 * watched.
 */
export const waitAll = (
  deps: OperationDeps,
  ids: ReadonlyArray<OperationId>
): Effect.Effect<ReadonlyArray<OperationEnd>, OperationError> =>
  Effect.flatMap(deps.ids.wait, (requestId) => {
    const { entry } = deps
    const cell: { members: Members } = { members: [] }
    const begun = submit(entry, beginWaitAll({ requestId, ids }), (reply) => {
      if (reply._tag === "Waiting") cell.members = membersOf(entry, ids, reply.outcomes)
    })
    const ends = Effect.suspend(() =>
      Effect.forEach(cell.members, ([id, one]) => Effect.map(outcomeOf(one), (ended): OperationEnd => [id, ended]))
    )
    const givenUp = Effect.zipRight(
      Effect.ignore(entry.authority.submit(cancelWaitAll(requestId))),
      Effect.suspend(() => Effect.forEach(cell.members, ([id, one]) => leave(entry, id, one), { discard: true }))
    )
    return Effect.flatMap(begun, (reply) => reply._tag === "Satisfied" ? Effect.succeed(reply.outcomes) : ends).pipe(
      Effect.catchTag("WatchClosed", () => Effect.fail(new OpOwnerRetired({ sessionId: entry.sessionId }))),
      Effect.onInterrupt(() => givenUp)
    )
  })
