/**
 * Inspects a store file before any write: what it is, and whether this version can open it. `open` and `attach` call it.
 * Invariant: the file keeps its bytes, and a refused file gets no new log.
 *
 * @since 0.1.0
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { type OpenError, SchemaFromFuture, SchemaUnsupported, StoreIo } from "../../../src/domain/StoreErrors.js"
import * as Database from "./database.js"
import * as Place from "./place.js"
import { applicationId, schemaVersion, tables } from "./schema.js"
import { patiently } from "./transaction.js"

/**
 * Returns "fresh" for a missing or empty file, and "ours" for a store of this version. Fails for every other file.
 *
 * @since 0.1.0
 * @category validation
 */
export const inspect = (
  path: string
): Effect.Effect<"fresh" | "ours", OpenError, FileSystem.FileSystem> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    if (Place.named(path)._tag === "Missing") return "fresh"
    const size = yield* Effect.orElseSucceed(Effect.map(fs.stat(path), (info) => Number(info.size)), () => 0)
    const log = `${path}-wal`
    const hadLog = yield* has(fs, log)
    if (size === 0 && !hadLog) return "fresh"
    const verdict = yield* Effect.exit(Effect.scoped(look(path)))
    // a reader of a file in log mode creates the log; only the close of a writer removes it
    if (verdict._tag === "Failure" && !hadLog && (yield* has(fs, log))) yield* tidy(path)
    return yield* verdict
  })

// --- internal ---

const has = (fs: FileSystem.FileSystem, path: string) => Effect.orElseSucceed(fs.exists(path), () => false)

/**
 * Removes the log that a reader created. The log stays if another connection uses it.
 *
 * @since 0.1.0
 * @category validation
 */
export const tidy = (path: string): Effect.Effect<void> =>
  Effect.ignore(
    Effect.scoped(Effect.flatMap(Database.open(path, { readonly: false }), (db) => db.once("PRAGMA schema_version")))
  )

const look = (path: string) =>
  Effect.gen(function*() {
    const db = yield* Database.open(path, { readonly: true })
    const ask = (sql: string) =>
      Effect.mapError(patiently(db.once(sql), Duration.seconds(5), (self) => self), refuse(path))
    const id = (yield* ask("PRAGMA application_id"))[0]?.["application_id"]
    const version = (yield* ask("PRAGMA user_version"))[0]?.["user_version"]
    const found = yield* ask("SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")
    if (id === 0 && version === 0 && found.length === 0) return "fresh"
    if (id !== applicationId) {
      return yield* new SchemaUnsupported({
        path,
        detail: `it is the database of another program (application id ${String(id)})`
      })
    }
    if (typeof version === "number" && version > schemaVersion) {
      return yield* new SchemaFromFuture({ path, found: version, supported: schemaVersion })
    }
    const differing = differences(found)
    if (version !== schemaVersion || differing.length > 0) {
      return yield* new SchemaUnsupported({
        path,
        detail: `version ${String(version)}; altered: ${differing.join(", ")}`
      })
    }
    return "ours"
  })

const differences = (found: ReadonlyArray<Database.Row>): ReadonlyArray<string> => {
  const names = new Set([...Object.keys(tables), ...found.map((row) => String(row["name"]))])
  const sqlOf = new Map(found.map((row) => [String(row["name"]), row["sql"]]))
  return [...names].filter((name) => sqlOf.get(name) !== tables[name])
}

const refuse = (path: string) => (fault: Database.SqlFault): OpenError => {
  switch (fault._tag) {
    case "ConstraintFailed":
      return new StoreIo({ operation: "open", code: "CONSTRAINT", detail: fault.detail })
    case "StoreCorrupt":
      return fault.detail.startsWith("SQLITE_NOTADB")
        ? new SchemaUnsupported({ path, detail: "it is not a SQLite database" })
        : fault
    default:
      return fault
  }
}
