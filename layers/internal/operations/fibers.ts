/**
 * The fibers of process-owned operations: the end of the work becomes the end of the operation, and an end of the operation
 * interrupts the work.
 *
 * Callers: the operations of an entry, destroy.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as HashMap from "effect/HashMap"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import { CurrentSession } from "../../../services/CoreExecutor.js"
import type { OperationAnswer } from "../../../services/SessionOperations.js"
import type { OperationId } from "../../../src/domain/Ids.js"
import { OperationResult } from "../../../src/domain/Operation.js"
import { cancelOperation, completeOperation, failOperation } from "../../../src/kernel/operations.js"
import { Cell } from "../cell.js"
import * as ContentBytes from "../contentBytes.js"
import type { Entry } from "../entry.js"
import * as Entries from "../entry.js"
import type { OperationFiber } from "../entryParts.js"
import { beforeRetry } from "../pauses.js"
import { messagesOf } from "../rendering.js"
import * as Stored from "../stored.js"
import { isClosing } from "../transitions.js"
import type { OperationDeps } from "./submit.js"
import { submit } from "./submit.js"

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

/** Marks an operation as ended. Answers false when it was marked before. */
const markEnded = (ended: Cell<boolean>): boolean => ended.unsafeModify((before) => [!before, true])

const body = <E>(deps: OperationDeps, id: OperationId, ended: Cell<boolean>, work: Effect.Effect<OperationAnswer, E>) =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const startedAt = yield* Clock.currentTimeMillis
      const exit = yield* Effect.exit(restore(work))
      // a teardown that interrupts the work stores the end of the operation itself
      if (Exit.isInterrupted(exit) && isClosing(deps.entry.state.unsafeGet())) return
      if (!markEnded(ended)) return
      yield* store(deps, id, endOf(deps, id, exit, (yield* Clock.currentTimeMillis) - startedAt))
    })
  )

/** Marks the work as an operation of its session: it may wait for the session's turns, which a run could not. */
export const asOperation = <A, E, R>(entry: Entry, work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.provideService(work, CurrentSession, { sessionId: entry.sessionId, runId: null, role: "operation" })

/** Starts the work of an operation that was just registered. Synchronous: it is called where the registration settles. */
export const start = <E>(
  deps: OperationDeps,
  id: OperationId,
  work: Effect.Effect<OperationAnswer, E>
): void => {
  const { entry, spawner } = deps
  const ended = new Cell(false)
  const current: OperationFiber = { ended, fiber: spawner.spawn(entry.scope, body(deps, id, ended, work)) }
  Entries.update(entry, ({ operations }) => ({ operations: HashMap.set(operations, id, current) }))
  current.fiber.addObserver(() => forget(entry, id, current))
}

/** Drops the fiber of an operation. An id that the session has forgotten may have come again meanwhile: that one stays. */
const forget = (entry: Entry, id: OperationId, ended: OperationFiber): void =>
  Entries.update(entry, ({ operations }) => {
    const current = Option.getOrNull(HashMap.get(operations, id))
    return current === ended ? { operations: HashMap.remove(operations, id) } : {}
  })

const interrupt = ({ ended, fiber }: OperationFiber): void => {
  if (markEnded(ended)) fiber.unsafeInterruptAsFork(FiberId.none)
}

/** The operation has ended in another way: interrupts its work and does not wait for it. */
export const release = (entry: Entry, id: OperationId): void =>
  Option.match(HashMap.get(entry.rare.unsafeGet().operations, id), { onNone: () => {}, onSome: interrupt })

/** All operations have ended with their session: interrupts the work of each. */
export const releaseAll = (entry: Entry): void => HashMap.forEach(entry.rare.unsafeGet().operations, interrupt)
