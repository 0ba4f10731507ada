/**
 * Attaches a reader to a store file that another process may have open. `RuntimeStoreReaderSqlite` calls it.
 *
 * Invariants: it changes no bytes of the store, and leaves no file behind that the store's owner could not write.
 *
 * @since 0.1.0
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { type OpenError, StoreBusy, StoreUnavailable } from "../../../src/domain/StoreErrors.js"
import * as Database from "./database.js"
import { inspect, tidy } from "./inspect.js"
import * as Missing from "./missing.js"

/** An open reader: of the store itself, or of a copy. @since 0.1.0 @category models */
export interface Attached {
  readonly database: Database.Database
  readonly source: "store" | "copy"
}

/**
 * Opens a reader for the life of the scope. It reads a temporary copy if it cannot read the store without writing to its
 * folder. Fails if no store has this name, or if this version cannot read it.
 *
 * @since 0.1.0
 * @category constructors
 */
export const attach = (
  filename: string
): Effect.Effect<Attached, OpenError, Scope.Scope | FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const path = yield* existing(filename)
    const copy = Effect.map(
      Effect.flatMap(copied(path), reading),
      (database): Attached => ({ database, source: "copy" })
    )
    if (yield* wouldLeaveLog(path)) return yield* copy
    return yield* Effect.map(reading(path), (database): Attached => ({ database, source: "store" })).pipe(
      Effect.catchIf(needsToWrite, () => copy)
    )
  })

// --- internal ---

const existing = (filename: string) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = (yield* Path.Path).resolve(filename)
    const absent = new StoreUnavailable({ path, detail: "there is no store" })
    const real = yield* Effect.catchAll(fs.realPath(path), () => Effect.zipRight(Missing.refuse(path), absent))
    const info = yield* Effect.mapError(fs.stat(real), () => absent)
    if (info.type !== "File") return yield* new StoreUnavailable({ path, detail: `it is not a file (${info.type})` })
    return yield* Effect.as(
      Effect.mapError(
        fs.access(real, { readable: true }),
        (cause) => new StoreUnavailable({ path, detail: "the file cannot be read: check its permissions", cause })
      ),
      real
    )
  })

/**
 * Whether reading would create a log beside a file that this process may not write. This process would own that log: the
 * last reader could not remove it, and the owner of the file could not write to it.
 */
const wouldLeaveLog = (path: string) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const isOurs = yield* Effect.isSuccess(fs.access(path, { writable: true }))
    return !isOurs && !(yield* Effect.orElseSucceed(fs.exists(`${path}-shm`), () => false))
  })

/** Opens the file for reading. If that creates a log, the end of the scope removes it, unless another process uses it. */
const reading = (path: string) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const hadLog = yield* Effect.orElseSucceed(fs.exists(`${path}-wal`), () => true)
    if ((yield* inspect(path)) === "fresh") return yield* new StoreUnavailable({ path, detail: "there is no store" })
    if (!hadLog) yield* Effect.addFinalizer(() => tidy(path))
    return yield* Database.open(path, { readonly: true })
  })

/** Whether SQLite could not create or open the memory that the readers of a log share. */
const needsToWrite = (error: OpenError): boolean =>
  error._tag === "StoreIo" && (error.code.startsWith("SQLITE_CANTOPEN") || error.code.startsWith("SQLITE_READONLY"))

/** How many copies are tried if the store changes during the copying. */
const attempts = 5

/** Copies the file and its log as they were at one moment, and returns the path. Fails `StoreBusy` if they keep changing. */
const copied = (path: string) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const paths = yield* Path.Path
    const unavailable = (cause: unknown) =>
      new StoreUnavailable({ path, detail: "its folder cannot be written, and it cannot be copied", cause })
    const folder = yield* Effect.mapError(fs.makeTempDirectoryScoped({ prefix: "meerkat-copy-" }), unavailable)
    const to = paths.join(folder, paths.basename(path))
    for (let n = 0; n < attempts; n++) {
      const before = yield* stateOf(path)
      for (const suffix of ["", "-wal"]) {
        yield* Effect.ignore(fs.remove(to + suffix))
        if (yield* Effect.orElseSucceed(fs.exists(path + suffix), () => false)) {
          yield* Effect.mapError(fs.copyFile(path + suffix, to + suffix), unavailable)
        }
      }
      if (before === (yield* stateOf(path))) return to
    }
    return yield* new StoreBusy({ operation: "copy", waitedMs: 0 })
  })

/** Size and modification time of the file and its log. */
const stateOf = (path: string) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const states = yield* Effect.forEach(["", "-wal"], (suffix) =>
      Effect.match(fs.stat(path + suffix), {
        onFailure: () => "none",
        onSuccess: ({ mtime, size }) => `${size} ${Option.match(mtime, { onNone: () => 0, onSome: Number })}`
      }))
    return states.join(", ")
  })
