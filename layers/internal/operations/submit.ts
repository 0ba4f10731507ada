/**
 * Submits commands of operations; their errors are operation errors.
 *
 * Callers: the operations of an entry and their fibers.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { SubmitError } from "../../../services/MachineAuthority.js"
import type { MeerkatMachineOptions } from "../../../services/MeerkatMachineConfig.js"
import type { Command } from "../../../src/domain/Command.js"
import type { OperationError } from "../../../src/domain/Errors.js"
import { OpInternal, OpOwnerRetired } from "../../../src/domain/Errors.js"
import { isRetryable } from "../../../src/domain/StoreErrors.js"
import type { Entry } from "../entry.js"
import type { FreshIds } from "../freshIds.js"
import { mayBegin } from "../mayBegin.js"
import { textOf } from "../rendering.js"
import type { Spawner } from "../spawn.js"

/** What the operations of a session are made of. */
export interface OperationDeps {
  readonly entry: Entry
  readonly spawner: Spawner
  readonly ids: FreshIds
  readonly config: MeerkatMachineOptions
}

const failure = (entry: Entry) => (error: SubmitError): OperationError => {
  switch (error._tag) {
    case "Rejected":
    case "Closed":
      return new OpOwnerRetired({ sessionId: entry.sessionId })
    case "ReloadRequired":
      return new OpInternal({ detail: `the session must be registered again: ${error.reason}`, retryable: false })
    case "CommitFailed":
      return new OpInternal({
        detail: `the change could not be stored: ${error.error._tag}: ${textOf(error.error)}`,
        cause: error.error,
        retryable: isRetryable(error.error)
      })
  }
}

/** Decided where the command is folded, not where it is queued: a later change would come after the closing commit. */
const whileOpen = <A>(entry: Entry, command: Command<A>): Command<A> => ({
  name: command.name,
  decide: (state, env) =>
    Either.isLeft(mayBegin(entry, "operation"))
      ? Either.left({ _tag: "TerminalPhase", command: command.name })
      : command.decide(state, env)
})

/** Submits a command that only a closed session refuses; `onSettled` runs synchronously when it is done, whoever still waits. */
export const send = <A>(
  entry: Entry,
  command: Command<A>,
  onSettled: (reply: A) => void = () => {}
): Effect.Effect<A, OperationError> =>
  Effect.mapError(entry.authority.submit(whileOpen(entry, command), { onSettled }), failure(entry))

/** The same for a command whose refusals are values of its reply. */
export const submit = <A>(
  entry: Entry,
  command: Command<Either.Either<A, OperationError>>,
  onSettled: (reply: A) => void = () => {}
): Effect.Effect<A, OperationError> =>
  Effect.flatten(send(entry, command, (reply) => {
    if (Either.isRight(reply)) onSettled(reply.right)
  }))
