/**
 * One SQLite connection with typed failures. All modules of the store use it. Invariant: an exception of the driver
 * becomes a typed failure, not a defect.
 *
 * @since 0.1.0
 */
import * as Reactivity from "@effect/experimental/Reactivity"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import type { Connection } from "@effect/sql/SqlConnection"
import { SqlError } from "@effect/sql/SqlError"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"
import * as Scope from "effect/Scope"
import {
  StoreBusy,
  StoreCorrupt,
  StoreFull,
  StoreIo,
  type StoreLost,
  StoreUnavailable
} from "../../../src/domain/StoreErrors.js"

/** A constraint of the tables was violated. The error stays inside the store. @since 0.1.0 @category errors */
export class ConstraintFailed extends Data.TaggedError("ConstraintFailed")<{ readonly detail: string }> {}

/** Why a statement failed. @since 0.1.0 @category errors */
export type SqlFault = StoreBusy | StoreFull | StoreIo | StoreCorrupt | StoreLost | ConstraintFailed

/** @since 0.1.0 @category models */
export type Row = { readonly [column: string]: unknown }

/** What SQLite can bind. @since 0.1.0 @category models */
export type Value = string | number | Uint8Array | null

/** @since 0.1.0 @category models */
export interface Database {
  /** Returns the rows of a reading statement. The statement stays prepared. */
  readonly all: (sql: string, params?: ReadonlyArray<Value>) => Effect.Effect<ReadonlyArray<Row>, SqlFault>
  /** Returns the number of rows that a writing statement changed. The statement stays prepared. */
  readonly run: (sql: string, params?: ReadonlyArray<Value>) => Effect.Effect<number, SqlFault>
  /** Runs a statement that is used once, such as a pragma. It does not stay prepared. */
  readonly once: (sql: string) => Effect.Effect<ReadonlyArray<Row>, SqlFault>
}

/**
 * Opens a connection for the life of the scope; only the returned value uses it.
 *
 * @since 0.1.0
 * @category constructors
 */
export const open = (
  path: string,
  options: { readonly readonly: boolean }
): Effect.Effect<Database, StoreUnavailable, Scope.Scope> =>
  // if the driver's constructor throws, the half-built client must not stay in the caller's scope
  Effect.gen(function*() {
    const scope = yield* Scope.fork(yield* Effect.scope, { _tag: "Sequential" })
    const exit = yield* Effect.exit(Scope.extend(connect(path, options), scope))
    if (Exit.isSuccess(exit)) return exit.value
    yield* Scope.close(scope, exit)
    return yield* new StoreUnavailable({ path, detail: "SQLite cannot open the file", cause: exit.cause })
  })

/**
 * Classifies a failure by SQLite's result code.
 *
 * @since 0.1.0
 * @category errors
 */
export const classify = (operation: string, error: SqlError): SqlFault => {
  const cause = error.cause
  const code = Predicate.hasProperty(cause, "code") && typeof cause.code === "string" ? cause.code : "UNKNOWN"
  const detail = Predicate.hasProperty(cause, "message") ? String(cause.message) : String(cause)
  if (code.startsWith("SQLITE_BUSY") || code.startsWith("SQLITE_LOCKED")) {
    return new StoreBusy({ operation, waitedMs: 0 })
  }
  if (code === "SQLITE_FULL") return new StoreFull({ operation, detail })
  if (code.startsWith("SQLITE_CORRUPT") || code === "SQLITE_NOTADB") {
    return new StoreCorrupt({ table: "", key: operation, detail: `${code}: ${detail}` })
  }
  return code.startsWith("SQLITE_CONSTRAINT")
    ? new ConstraintFailed({ detail })
    : new StoreIo({ operation, code, detail, cause })
}

// --- internal ---

/** The number of statements that stay prepared: all texts of this store, in all bucket sizes. */
const preparedStatements = 512

const connect = (path: string, options: { readonly readonly: boolean }) =>
  Effect.gen(function*() {
    const client = yield* SqliteClient.make({
      filename: path,
      readonly: options.readonly,
      disableWAL: true,
      prepareCacheSize: preparedStatements,
      prepareCacheTTL: Duration.infinity
    }).pipe(Effect.provide(Reactivity.layer))
    const connection = yield* client.reserve
    const database = fromConnection(connection)
    // by default the driver blocks the event loop for up to five seconds
    yield* database.once("PRAGMA busy_timeout = 0")
    return database
  })

const fromConnection = (connection: Connection): Database => ({
  all: (sql, params = []) =>
    typed(sql, afresh(connection.execute(sql, params, undefined), () => unprepared(connection, sql, params))),
  run: (sql, params = []) =>
    typed(
      sql,
      Effect.map(afresh(connection.executeRaw(sql, params), () => changing(connection, sql, params)), changesOf)
    ),
  once: (sql) => typed(sql, unprepared(connection, sql, []))
})

const changesOf = (result: unknown): number =>
  Predicate.hasProperty(result, "changes") && typeof result.changes === "number" ? result.changes : 0

const typed = <A>(sql: string, effect: Effect.Effect<A, SqlError>): Effect.Effect<A, SqlFault> =>
  Effect.mapError(effect, (error) => classify(sql.slice(0, 40), error))

/** Prepares a statement again after a failed preparation, because the driver caches such a failure. */
const afresh = <A, B>(
  effect: Effect.Effect<A, SqlError>,
  again: () => Effect.Effect<B, SqlError>
): Effect.Effect<A | B, SqlError> =>
  Effect.catchIf(effect, (error) => error.message.startsWith("Failed to prepare"), again)

/** Runs a writing statement unprepared, then asks for the number of changed rows, because the driver does not return it. */
const changing = (connection: Connection, sql: string, params: ReadonlyArray<Value>) =>
  Effect.flatMap(
    unprepared(connection, sql, params),
    () => Effect.map(unprepared(connection, "SELECT changes() AS changes", []), ([row]) => row)
  )

/** Runs a statement unprepared. `executeUnprepared` may throw when it is called, so the call is wrapped. */
const unprepared = (
  connection: Connection,
  sql: string,
  params: ReadonlyArray<Value>
): Effect.Effect<ReadonlyArray<Row>, SqlError> =>
  Effect.flatten(Effect.try({
    try: () => connection.executeUnprepared(sql, params, undefined),
    catch: (cause) => new SqlError({ cause, message: "cannot prepare" })
  }))
