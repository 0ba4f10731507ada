/**
 * A store that is only looked at: beside a process that writes, and without taking its lock.
 *
 * @since 0.1.0
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Database from "../../layers/internal/sqlite/database.js"
import { inspect } from "../../layers/internal/sqlite/inspect.js"
import * as Quarantine from "../../layers/internal/sqlite/quarantine.js"
import * as Reads from "../../layers/internal/sqlite/reads.js"
import type { StoredSession } from "../../services/RuntimeStore.js"
import type { SessionId } from "../domain/Ids.js"
import type { ReadError } from "../domain/StoreErrors.js"
import { CliFailure, exitCodes, ofOpenError, ofReadError } from "./failure.js"

/** Opens the file for reading, gives what can be asked to `use`, and closes it. @since 0.1.0 @category running */
export const look = <A>(
  db: string,
  use: (reads: Reads.Reads) => Effect.Effect<A, ReadError | CliFailure>
): Effect.Effect<A, CliFailure> =>
  Effect.scoped(Effect.flatMap(
    open(db),
    (reads) => Effect.mapError(use(reads), (error) => error._tag === "CliFailure" ? error : ofReadError(db)(error))
  )).pipe(
    Effect.provide(Layer.merge(NodeFileSystem.layer, NodePath.layer)),
    Effect.withTracerEnabled(false)
  )

/** One stored session; the program ends when there is none of this name. @since 0.1.0 @category reading */
export const sessionOf = (
  db: string,
  reads: Reads.Reads,
  sessionId: SessionId
): Effect.Effect<StoredSession, ReadError | CliFailure> =>
  reads.sessions({ prefix: sessionId }).pipe(
    Stream.filter((session) => session.sessionId === sessionId),
    Stream.runHead,
    Effect.flatMap(Option.match({
      onSome: Effect.succeed,
      onNone: () =>
        Effect.fail(
          new CliFailure({
            code: exitCodes.failed,
            message: `There is no session "${sessionId}" in ${db}. See: meerkat sessions --db ${db}`
          })
        )
    }))
  )

// --- internal ---

const open = (
  db: string
): Effect.Effect<Reads.Reads, CliFailure, Scope.Scope | FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = (yield* Path.Path).resolve(db)
    const exists = yield* Effect.orElseSucceed(fs.exists(path), () => false)
    const kind = exists ? yield* Effect.mapError(inspect(path), ofOpenError(db)) : "fresh"
    if (kind === "fresh") {
      return yield* new CliFailure({
        code: exitCodes.unusable,
        message: `There is no store at ${path}. Name one with --db, or in MEERKAT_DB.`
      })
    }
    const database = yield* Effect.mapError(Database.open(path, { readonly: true }), ofOpenError(db))
    return Reads.make(database, Quarantine.make())
  })
