/** @since 0.1.0 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import type { OperationOptions, TurnOperations } from "../../services/CoreExecutor.js"
import { CurrentSession } from "../../services/CoreExecutor.js"
import type { SubmitError } from "../../services/MachineAuthority.js"
import type { Command } from "../../src/domain/Command.js"
import type { OperationError, WatchClosed } from "../../src/domain/Errors.js"
import { OpInternal, OpOwnerRetired } from "../../src/domain/Errors.js"
import type { OperationId } from "../../src/domain/Ids.js"
import type { OperationOutcome, OperationRecord, OperationSpec } from "../../src/domain/Operation.js"
import { isRetryable } from "../../src/domain/StoreErrors.js"
import {
  beginWaitAll,
  cancelWaitAll,
  completeOperation,
  failOperation,
  getOperation,
  provisioningSucceeded,
  registerOperation
} from "../../src/kernel/operations.js"
import type { Entry } from "./entry.js"
import type { FreshIds } from "./freshIds.js"
import type { Spawner } from "./spawn.js"

export interface OperationDeps {
  readonly entry: Entry
  readonly spawner: Spawner
  readonly ids: FreshIds
}

const failure = (entry: Entry) => (error: SubmitError): OperationError => {
  switch (error._tag) {
    case "Rejected":
    case "Closed":
      return new OpOwnerRetired({ sessionId: entry.sessionId })
    case "ReloadRequired":
      return new OpInternal({ detail: `the session must be reloaded: ${error.reason}`, retryable: false })
    case "CommitFailed":
      return new OpInternal({
        detail: `the change could not be stored: ${error.error._tag}`,
        cause: error.error,
        retryable: isRetryable(error.error)
      })
  }
}

/** Submits a command of the operations slice; its refusals are values of its reply. */
const submit = <A>(
  entry: Entry,
  command: Command<Either.Either<A, OperationError>>,
  onSettled: (reply: A) => void = () => {}
): Effect.Effect<A, OperationError> =>
  entry.authority.submit(command, {
    onSettled: (reply) => {
      if (Either.isRight(reply)) onSettled(reply.right)
    }
  }).pipe(
    Effect.mapError(failure(entry)),
    Effect.flatten
  )

const register = (deps: OperationDeps, owner: OperationSpec["owner"], options: OperationOptions) =>
  Effect.gen(function*() {
    const id = yield* deps.ids.operation
    yield* submit(
      deps.entry,
      registerOperation({
        id,
        owner,
        kind: options.kind ?? "background_tool_op",
        displayName: options.displayName,
        sourceLabel: options.sourceLabel ?? options.displayName,
        expectPeerChannel: false
      })
    )
    yield* submit(deps.entry, provisioningSucceeded(id))
    return id
  })

/** The end of the work becomes the end of the operation; that of a teardown is written by the teardown. */
const finish = <E>(entry: Entry, id: OperationId, startedAt: number, exit: Exit.Exit<string, E>) =>
  Effect.flatMap(Clock.currentTimeMillis, (now): Effect.Effect<OperationRecord | void, OperationError> => {
    if (Exit.isSuccess(exit)) {
      const durationMs = Math.max(0, Math.round(now - startedAt))
      return submit(
        entry,
        completeOperation(id, { content: exit.value, isError: false, durationMs, tokensUsed: 0 })
      )
    }
    if (Cause.isInterruptedOnly(exit.cause) && entry.closing !== null) return Effect.void
    return submit(entry, failOperation(id, Cause.pretty(exit.cause)))
  })

const start = <E>(deps: OperationDeps, id: OperationId, work: Effect.Effect<string, E>) =>
  Effect.map(Clock.currentTimeMillis, (startedAt) => {
    const { entry } = deps
    const fiber = deps.spawner.spawn(
      entry.scope,
      work.pipe(
        Effect.provideService(CurrentSession, { sessionId: entry.sessionId, runId: null, role: "operation" }),
        Effect.exit,
        Effect.flatMap((exit) => Effect.uninterruptible(finish(entry, id, startedAt, exit))),
        Effect.catchAll((error) => Effect.logWarning(`the end of operation ${id} could not be stored`, error)),
        Effect.asVoid
      )
    )
    entry.operations.set(id, fiber)
    fiber.addObserver(() => {
      entry.operations.delete(id)
    })
  })

const closedWatch = (entry: Entry) => (_: WatchClosed): OperationError =>
  new OpOwnerRetired({ sessionId: entry.sessionId })

type Watch = readonly [OperationId, Effect.Effect<OperationOutcome, WatchClosed>]

/** What a member ended with, or will end with; read where nothing can come in between. */
const watch = (entry: Entry, id: OperationId): Watch => {
  const outcome = getOperation(entry.authority.unsafeState(), id)?.outcome
  return [id, outcome === undefined ? Deferred.await(entry.authority.awaitOperation(id)) : Effect.succeed(outcome)]
}

const waitAll = (deps: OperationDeps, ids: ReadonlyArray<OperationId>) =>
  Effect.gen(function*() {
    const { entry } = deps
    const requestId = yield* deps.ids.wait
    const cell: { watches: ReadonlyArray<Watch> } = { watches: [] }
    const reply = yield* submit(entry, beginWaitAll({ requestId, ids }), () => {
      cell.watches = ids.map((id) => watch(entry, id))
    })
    if (reply._tag === "Satisfied") return reply.outcomes
    return yield* Effect.forEach(
      cell.watches,
      ([id, outcome]) => Effect.map(outcome, (ended) => [id, ended] as const)
    ).pipe(
      Effect.mapError(closedWatch(entry)),
      Effect.onInterrupt(() => Effect.ignore(entry.authority.submit(cancelWaitAll(requestId))))
    )
  })

/** Background work of one session, as its turns start it. */
export const turnOperations = (deps: OperationDeps): TurnOperations => ({
  run: (work, options) =>
    Effect.flatMap(Effect.context(), (context) =>
      Effect.uninterruptible(Effect.tap(
        register(deps, "process", options),
        (id) => start(deps, id, Effect.provide(work, context))
      ))),
  external: (options) => register(deps, "external", options),
  get: (id) => Effect.sync(() => getOperation(deps.entry.authority.unsafeState(), id) ?? undefined),
  waitAll: (ids) => waitAll(deps, ids)
})
