/**
 * Reads a store without its lock, beside a process that writes. The reading commands load this module on demand.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as RuntimeStoreReaderSqlite from "../../layers/RuntimeStoreReaderSqlite.js"
import type { StoredSession } from "../../services/RuntimeStore.js"
import { RuntimeStoreReader } from "../../services/RuntimeStoreReader.js"
import { runtimeIdOf, type SessionId } from "../domain/Ids.js"
import type { OpenError, ReadError } from "../domain/StoreErrors.js"
import { type CliFailure, noSession, noStore, ofOpenError, ofReadError } from "./failure.js"
import { note } from "./output.js"

/** The reads of a store. @since 0.1.0 @category models */
export type Reads = RuntimeStoreReader["Type"]

/** Opens the file for reading, passes its reads to `use`, and closes it. @since 0.1.0 @category running */
export const look = <A>(
  db: string,
  use: (reads: Reads) => Effect.Effect<A, ReadError | CliFailure>
): Effect.Effect<A, CliFailure> =>
  Effect.scoped(Effect.gen(function*() {
    const context = yield* Effect.mapError(
      Layer.build(RuntimeStoreReaderSqlite.layer({ filename: db })),
      ofReaderError(db)
    )
    const reads = yield* Effect.provide(RuntimeStoreReader, context)
    if (reads.source === "copy") {
      yield* note(`The file or the folder of ${db} cannot be written: this is a copy of the moment.`)
    }
    return yield* Effect.mapError(use(reads), (error) => error._tag === "CliFailure" ? error : ofReadError(db)(error))
  })).pipe(Effect.withTracerEnabled(false))

/** Reads one stored session; fails if the store has no session of this name. @since 0.1.0 @category reading */
export const sessionOf = (
  db: string,
  reads: Reads,
  sessionId: SessionId
): Effect.Effect<StoredSession, ReadError | CliFailure> =>
  Effect.flatMap(
    reads.session(runtimeIdOf(sessionId)),
    Option.match({ onSome: Effect.succeed, onNone: () => Effect.fail(noSession(db, sessionId)) })
  )

// --- internal ---

const ofReaderError = (db: string) => (error: OpenError): CliFailure =>
  error._tag === "StoreUnavailable" && error.detail === "there is no store"
    ? noStore(error.path)
    : ofOpenError(db)(error)
