/** @since 0.1.0 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { CoreExecutor } from "../../services/CoreExecutor.js"
import type { AttachOutcome, UnregisterReport } from "../../services/MeerkatMachine.js"
import type { MeerkatMachineOptions } from "../../services/MeerkatMachineConfig.js"
import type { RuntimeStore } from "../../services/RuntimeStore.js"
import type { SessionOperations } from "../../services/SessionOperations.js"
import type { Command } from "../../src/domain/Command.js"
import type { RuntimeDriverError } from "../../src/domain/Errors.js"
import type { SessionId } from "../../src/domain/Ids.js"
import type { Acquired, AcquireFor } from "./acquireFor.js"
import type { AttachDeps } from "./attach.js"
import type { Blobs } from "./blobs.js"
import { driverError } from "./driverError.js"
import type { Entry } from "./entry.js"
import type { FreshIds } from "./freshIds.js"
import type { Registry } from "./registry.js"
import type { Spawner } from "./spawn.js"

/** Gives the entry at each call: by id, or always the same incarnation. */
export type Resolve = Effect.Effect<Entry, RuntimeDriverError>

/** What every part of the machine's surface is made of. */
export interface MachineParts {
  readonly store: RuntimeStore["Type"]
  readonly config: MeerkatMachineOptions
  readonly ids: FreshIds
  readonly blobs: Blobs
  readonly spawner: Spawner
  /** for fibers that run foreign code and end by their own bounds: nobody waits for this scope to close */
  readonly foreign: Scope.Scope
  readonly registry: Registry
  readonly attachments: AttachDeps
  /** the operations of an entry, the same object each time */
  readonly operations: (entry: Entry) => SessionOperations
  /** the live entry, opened if need be */
  readonly acquire: Registry["acquire"]
  /** the same for something that is done with it; a call that fails at that takes back what it registered */
  readonly acquireFor: AcquireFor
  /** the same for an executor that is attached */
  readonly ensure: <E>(
    sessionId: SessionId,
    executor: Effect.Effect<CoreExecutor, E, Scope.Scope>,
    onDone?: Parameters<AcquireFor>[2]
  ) => Effect.Effect<Acquired<AttachOutcome>, RuntimeDriverError | E>
  readonly unregister: (entry: Entry) => Effect.Effect<UnregisterReport, RuntimeDriverError>
}

/** One span per public call. */
export const traced = <A, E, R>(name: string, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withSpan(effect, `MeerkatMachine.${name}`, { captureStackTrace: false })

/** Submits a command to a live entry; a refusal is the error of the session-addressed call. */
export const submit = <A>(entry: Entry, command: Command<A>): Effect.Effect<A, RuntimeDriverError> =>
  Effect.mapError(entry.authority.submit(command), driverError(entry.authority))

/** The same, addressed by id. */
export const submitTo = <A>(
  parts: MachineParts,
  sessionId: SessionId,
  command: Command<A>
): Effect.Effect<A, RuntimeDriverError> =>
  Effect.flatMap(parts.registry.lookup(sessionId), (entry) => submit(entry, command))
