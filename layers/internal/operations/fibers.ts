/**
 * The fibers of process-owned operations: how the end of the work becomes the end of the operation, and the other way
 * round.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Predicate from "effect/Predicate"
import { CurrentSession } from "../../../services/CoreExecutor.js"
import type { OperationAnswer } from "../../../services/SessionOperations.js"
import type { OperationId } from "../../../src/domain/Ids.js"
import { OperationResult } from "../../../src/domain/Operation.js"
import { cancelOperation, completeOperation, failOperation } from "../../../src/kernel/operations.js"
import * as ContentBytes from "../contentBytes.js"
import type { Entry, OperationFiber } from "../entry.js"
import { beforeRetry } from "../pauses.js"
import { messagesOf } from "../rendering.js"
import * as Stored from "../stored.js"
import type { OperationDeps } from "./submit.js"
import { submit } from "./submit.js"

type Cell = Pick<OperationFiber, "ended">

const check = Stored.check(OperationResult)

/** What is stored of an answer, or why nothing is: it need not be one, coming from somebody's `any`. */
export const resultOf = (
  { maxCommitBytes }: Pick<OperationDeps["config"], "maxCommitBytes">,
  answer: OperationAnswer,
  elapsedMs: number
): Either.Either<OperationResult, string> => {
  const said: unknown = answer
  const { content, durationMs, isError, tokensUsed } = typeof said === "string"
    ? { content: said }
    : Predicate.isRecord(said)
    ? said
    : {}
  const took = durationMs ?? elapsedMs
  const result = check({
    content,
    isError: isError ?? false,
    // the clock may have been set back meanwhile
    durationMs: typeof took === "number" ? Math.max(0, Math.round(took)) : took,
    tokensUsed: tokensUsed ?? 0
  })
  return Either.flatMap(result, (checked) => {
    const bytes = ContentBytes.ofText(checked.content)
    return bytes > maxCommitBytes ? Either.left(`it has ${bytes} bytes, the limit is ${maxCommitBytes}`) : result
  })
}

const endOf = (
  { config }: OperationDeps,
  id: OperationId,
  exit: Exit.Exit<OperationAnswer, unknown>,
  elapsedMs: number
) => {
  if (Exit.isSuccess(exit)) {
    return Either.match(resultOf(config, exit.value, elapsedMs), {
      onLeft: (detail) => failOperation(id, `its answer cannot be stored: ${detail}`),
      onRight: (result) => completeOperation(id, result)
    })
  }
  return Cause.isInterruptedOnly(exit.cause)
    ? cancelOperation(id, "its work was interrupted")
    : failOperation(id, messagesOf(exit.cause))
}

/** A pause before the next try; true if it was cut short by a teardown, which leaves time for one. */
const pause = ({ config }: OperationDeps, tries: number): Effect.Effect<boolean> =>
  Effect.map(
    Effect.exit(Effect.interruptible(Effect.sleep(beforeRetry(config, tries)))),
    Exit.isFailure
  )

/**
 * Stores the end of an operation. What the store refuses for the moment is tried until it is written or the session goes;
 * a result that it refuses for good becomes a failure. Another end that was first stays.
 */
const store = (deps: OperationDeps, id: OperationId, end: ReturnType<typeof endOf>): Effect.Effect<void> => {
  const attempt = (command: typeof end, tries: number, last: boolean): Effect.Effect<void> =>
    Effect.catchAll(Effect.asVoid(submit(deps.entry, command)), (error) => {
      if (error._tag !== "OpInternal") return Effect.void
      if (error.retryable && !last) {
        return Effect.flatMap(pause(deps, tries), (cut) => attempt(command, tries + 1, cut))
      }
      const refused = Effect.logWarning(`the end of operation ${id} could not be stored`, error)
      return error.retryable || command !== end
        ? refused
        : attempt(failOperation(id, `what it came to could not be stored: ${error.detail}`), 0, last)
    })
  return attempt(end, 0, false)
}

const body = <E>(deps: OperationDeps, id: OperationId, cell: Cell, work: Effect.Effect<OperationAnswer, E>) =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const startedAt = yield* Clock.currentTimeMillis
      const exit = yield* Effect.exit(restore(work))
      // an interruption of ours comes with an end that was stored, or is going to be, by whoever sent it
      if (cell.ended || (Exit.isInterrupted(exit) && deps.entry.closing !== null)) return
      cell.ended = true
      yield* store(deps, id, endOf(deps, id, exit, (yield* Clock.currentTimeMillis) - startedAt))
    })
  )

/** The work knows whose it is: it may wait for its own session's turns, which a run could not. */
export const asOperation = <A, E, R>(entry: Entry, work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.provideService(work, CurrentSession, { sessionId: entry.sessionId, runId: null, role: "operation" })

/** Starts the work of an operation that has just been registered. Synchronous: it is called where that is settled. */
export const start = <E>(
  deps: OperationDeps,
  id: OperationId,
  work: Effect.Effect<OperationAnswer, E>
): void => {
  const { entry, spawner } = deps
  const cell = { ended: false }
  const fiber = spawner.spawn(entry.scope, body(deps, id, cell, work))
  const current: OperationFiber = Object.assign(cell, { fiber })
  entry.operations.set(id, current)
  // an id that was forgotten may have come again meanwhile
  fiber.addObserver(() => {
    if (entry.operations.get(id) === current) entry.operations.delete(id)
  })
}

/** The operation has ended by somebody else's word: its work is interrupted, and not waited for. */
export const release = (entry: Entry, id: OperationId): void => {
  const current = entry.operations.get(id)
  if (current === undefined || current.ended) return
  current.ended = true
  current.fiber.unsafeInterruptAsFork(FiberId.none)
}
