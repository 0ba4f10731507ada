/**
 * Waiting for operations: watches and the wait-all barrier. The operations registry calls it. Invariant: a wait that
 * ends or is interrupted leaves neither watcher nor barrier.
 *
 * @since 0.1.0
 */
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

/** The outcome of an operation, or a watch of its end. */
type Watched = Either.Either<OperationOutcome, Deferred.Deferred<OperationOutcome, WatchClosed>>

/** Reads the outcome or registers a watch in one step, so no end can come in between. */
const watched = ({ authority }: Entry, id: OperationId): Watched => {
  const outcome = getOperation(authority.unsafeState(), id)?.outcome
  return outcome === undefined ? Either.left(authority.watches.watch(id)) : Either.right(outcome)
}

const outcomeOf = (one: Watched): Effect.Effect<OperationOutcome, WatchClosed> =>
  Either.isLeft(one) ? Deferred.await(one.left) : Effect.succeed(one.right)

/** Releases the watch of a caller that leaves before the end. */
const leave = ({ authority }: Entry, id: OperationId, one: Watched): Effect.Effect<void> =>
  Either.isRight(one) ? Effect.void : Effect.map(Deferred.isDone(one.left), (ended) => {
    if (!ended) authority.watches.release(id)
  })

/** Waits for the outcome of an operation; interruption releases the watch. */
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
 * Returns the members of a new barrier: the outcomes of ended members and watches of the others. It does not read their
 * records, because retention may have dropped them at the end of the round. Later ends are published after this.
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
 * Waits for all operations by the session's barrier. The members are watched from the moment the barrier is set, when
 * all of them are known. So later changes of their records do not matter. Any interruption, even before the reply,
 * removes the barrier: the removal follows it in the queue, and by then the watches are known.
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
