/**
 * The lock of a store file: an exclusive transaction on `<db>.lock`, held as long as the store is open. `open` takes it.
 * Invariant: a store file has at most one writer. The kernel releases the lock at any end of the process, so the lock
 * needs no comparison of process ids and no timeout.
 *
 * @since 0.1.0
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { hostname } from "node:os"
import { StoreLocked, StoreUnavailable } from "../../../src/domain/StoreErrors.js"
import * as Database from "./database.js"
import * as Place from "./place.js"

/** The files of a lock. @since 0.1.0 @category models */
export const lockPath = (db: string): string => `${db}.lock`
/** @since 0.1.0 @category models */
export const holderPath = (db: string): string => `${db}.lock.json`

/**
 * Takes the lock of a store file for the life of the scope. Fails `StoreLocked` with the name of the holder. If `keep` was
 * not called, the end of the scope removes a lock file that this call created: a refused opening leaves no file behind.
 *
 * @since 0.1.0
 * @category locking
 */
export const acquire = (
  db: string
): Effect.Effect<
  { readonly keep: Effect.Effect<void> },
  StoreLocked | StoreUnavailable,
  Scope.Scope | FileSystem.FileSystem
> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = lockPath(db)
    const existed = yield* exists(fs, path)
    let kept = existed
    yield* hold(db, path).pipe(
      Effect.catchTag("StoreCorrupt", () => Effect.zipRight(Effect.ignore(fs.remove(path)), hold(db, path))),
      Effect.mapError((fault) =>
        fault._tag === "StoreLocked" || fault._tag === "StoreUnavailable"
          ? fault
          : new StoreUnavailable({ path, detail: "the lock file cannot be locked", cause: fault })
      )
    )
    const ours = Place.named(path)
    // runs before the connection of `hold` closes: this process still has the lock while it removes the file
    yield* Effect.addFinalizer(() =>
      kept || !Place.isSame(Place.named(path), ours) ? Effect.void : Effect.ignore(fs.remove(path))
    )
    yield* nameHolder(db)
    return {
      keep: Effect.sync(() => {
        kept = true
      })
    }
  })

// --- internal ---

const Holder = Schema.parseJson(Schema.Struct({ pid: Schema.Number, host: Schema.String, startedAt: Schema.String }))

/** Removes the holder file, unless it names another holder by now: another store may have this path or lock. */
const unname = (fs: FileSystem.FileSystem, path: string, text: string) =>
  Effect.flatMap(fs.readFileString(path), (found) => found === text ? fs.remove(path) : Effect.void)

const exists = (fs: FileSystem.FileSystem, path: string) => Effect.orElseSucceed(fs.exists(path), () => false)

const hold = (db: string, path: string) =>
  Effect.gen(function*() {
    const lock = yield* Database.open(path, { readonly: false })
    yield* Effect.catchTag(lock.once("BEGIN EXCLUSIVE"), "StoreBusy", () =>
      Effect.flatMap(holderOf(db), (holder) =>
        Effect.fail(new StoreLocked({ path: db, holder }))))
  })

const holderOf = (db: string): Effect.Effect<string, never, FileSystem.FileSystem> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const text = yield* fs.readFileString(holderPath(db))
    const holder = yield* Schema.decode(Holder)(text)
    return `process ${holder.pid} on ${holder.host}, since ${holder.startedAt}`
  }).pipe(Effect.orElseSucceed(() => "an unnamed process"))

/** Writes who holds the lock, only for the error of the next opener. A failure is logged and has no other effect. */
const nameHolder = (db: string) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const startedAt = DateTime.formatIso(DateTime.unsafeMake(yield* Clock.currentTimeMillis))
    const text = yield* Schema.encode(Holder)({ pid: process.pid, host: hostname(), startedAt })
    yield* fs.writeFileString(holderPath(db), text)
    yield* Effect.addFinalizer(() => Effect.ignore(unname(fs, holderPath(db), text)))
  }).pipe(Effect.catchAll((cause) => Effect.logWarning("the holder of the store's lock cannot be named", cause)))
