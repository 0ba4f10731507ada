/**
 * What every part of the machine's surface is made of, and how a public call reaches a session.
 *
 * A public call is one function of an entry. The by-id API gives it `registry.lookup`, a handle gives it the handle's own
 * `Resolve`; nothing looks an entry up a second time.
 *
 * Callers: the machine layer makes the parts; surfaces, handles and runs of callers use them.
 *
 * @since 0.1.0
 */
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
import type { NameOf } from "./drainCell.js"
import { driverError } from "./driverError.js"
import type { Entry } from "./entry.js"
import type { FreshIds } from "./freshIds.js"
import type { Models } from "./modelCell.js"
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
  /** for fibers that run code of users and end by their own bounds: closing this scope waits for nothing */
  readonly foreign: Scope.Scope
  readonly registry: Registry
  readonly attachments: AttachDeps
  /** the operations of an entry, the same object each time */
  readonly operations: (entry: Entry) => SessionOperations
  /** the live entry, opened if need be */
  readonly acquire: Registry["acquire"]
  /** the same for one operation; a registration of this call is undone when the operation fails */
  readonly acquireFor: AcquireFor
  /** the same, and attaches an executor */
  readonly ensure: <E>(
    sessionId: SessionId,
    executor: Effect.Effect<CoreExecutor, E, Scope.Scope>,
    onDone?: Parameters<AcquireFor>[2]
  ) => Effect.Effect<Acquired<AttachOutcome>, RuntimeDriverError | E>
  /** names of the runtimes that drain inboxes */
  readonly runtimeNames: NameOf
  readonly models: Models
  readonly unregister: (entry: Entry) => Effect.Effect<UnregisterReport, RuntimeDriverError>
}

/** One span per public call. */
export const traced = <A, E, R>(name: string, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withSpan(effect, `MeerkatMachine.${name}`, { captureStackTrace: false })

/** One public call: the span of its name, the entry, and what the call does with it. */
export const call = <A, E, R>(
  name: string,
  resolve: Resolve,
  use: (entry: Entry) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | RuntimeDriverError, R> => traced(name, Effect.flatMap(resolve, use))

/** Submits a command to a live entry; a refusal becomes the error of the public call. */
export const submit = <A>(entry: Entry, command: Command<A>): Effect.Effect<A, RuntimeDriverError> =>
  Effect.mapError(entry.authority.submit(command), driverError(entry.authority))
