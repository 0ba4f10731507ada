/**
 * Opens a store file for `RuntimeStoreSqlite`: first it checks the file, then it takes the lock, then it writes.
 *
 * Invariants: a refused opening changes no bytes of the file and leaves no new files. The file, its `-wal`, `-shm` and
 * `.lock` are opened only through SQLite, because closing another descriptor of them drops the process's locks.
 *
 * @since 0.1.0
 */
import * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import {
  type OpenError,
  SchemaUnsupported,
  StoreCorrupt,
  StoreIo,
  type StoreLost,
  StoreRegressed
} from "../../../src/domain/StoreErrors.js"
import * as Anchor from "./anchor.js"
import * as Connections from "./connections.js"
import type * as Database from "./database.js"
import { inspect } from "./inspect.js"
import * as Lock from "./lock.js"
import * as Missing from "./missing.js"
import { resolve } from "./resolve.js"
import { applicationId, pageSize, schemaVersion, tables } from "./schema.js"
import { type CommitAmbiguous, describe, patiently, transaction } from "./transaction.js"

/** What a file is opened with. @since 0.1.0 @category models */
export interface OpenOptions {
  readonly filename: string
  /** true also opens a file that misses acknowledged commits, and continues from its content */
  readonly acceptRegress: boolean
  /** the largest size of the file in bytes */
  readonly maxFileBytes: number | undefined
  /** whether the pages of the file are checked before it is used */
  readonly check: Check
  /** the id of the store if the file is fresh */
  readonly freshId: string
}

/** When the pages of a file are checked: if its last writer did not close it, always, or never. @since 0.1.0 @category models */
export type Check = "afterCrash" | "always" | "never"

/** A store file that this process owns for the life of the scope. @since 0.1.0 @category models */
export interface OpenFile {
  readonly path: string
  readonly storeId: string
  /** the token of this opening; a batch that finds another token in the file was fenced */
  readonly token: number
  /** the sequence of the last batch */
  readonly commitSeq: number
  readonly writer: Database.Database
  readonly reader: Database.Database
  /** Fails when the names of the store no longer refer to its open files; it has tried to rescue the store then. */
  readonly verify: Effect.Effect<void, StoreLost>
  /** Opens the file again after a COMMIT with an unknown outcome. If that fails, the next call retries it. */
  readonly reopen: Effect.Effect<void, Database.SqlFault>
  /** fails when the store is lost */
  readonly lost: Effect.Effect<never, StoreLost>
  /** receives the sequence of each acknowledged batch */
  readonly acknowledged: (commitSeq: number) => Effect.Effect<void>
}

/**
 * Opens a store file for the life of the scope, or creates it. Closing the scope marks the store as closed. Fails when
 * another process has the file, when this version cannot use it, or when it misses acknowledged commits.
 *
 * @since 0.1.0
 * @category constructors
 */
export const open = (
  options: OpenOptions
): Effect.Effect<OpenFile, OpenError, Scope.Scope | FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const path = yield* resolve(options.filename)
    const anchor = yield* Anchor.read(path)
    if (!options.acceptRegress) yield* Missing.refuse(path)
    const before = yield* inspect(path)
    if (before === "fresh" && !options.acceptRegress) yield* refuseEmptied(path, anchor)
    const lock = yield* Lock.acquire(path)
    const files = yield* Connections.make(path, (db) => settings(db, options.maxFileBytes))
    const { writer } = files
    const meta = yield* Effect.mapError(claimed(writer, path, before, options, anchor), openFault(path))
    yield* files.trustLog
    yield* lock.keep
    const anchored = yield* Anchor.keep(path, meta.storeId, meta.commitSeq, files.isInPlace)
    let last = meta.commitSeq
    yield* Effect.addFinalizer(() => Effect.suspend(() => close(files, { ...meta, commitSeq: last })))
    yield* files.openReader
    yield* files.verify
    return {
      path,
      ...meta,
      writer,
      reader: files.reader,
      verify: files.verify,
      reopen: files.reopen,
      lost: files.lost,
      acknowledged: (commitSeq: number) =>
        Effect.suspend(() => {
          last = commitSeq
          return anchored.moved(commitSeq)
        })
    }
  })

// --- internal ---

/** How long an opening waits while a reader or a tool holds the file. */
const patience = Duration.seconds(5)

/** Converts a fault of a statement to the error of an opening. @since 0.1.0 @category errors */
export const openFault = (path: string) => (fault: OpenError | Database.SqlFault | CommitAmbiguous): OpenError => {
  switch (fault._tag) {
    case "ConstraintFailed":
      return new SchemaUnsupported({ path, detail: fault.detail })
    case "CommitAmbiguous":
      return openFault(path)(fault.fault)
    default:
      return fault
  }
}

/** Refuses an empty file if the anchor says that commits were acknowledged. */
const refuseEmptied = (path: string, anchor: Option.Option<Anchor.Anchor>) =>
  Option.isSome(anchor) && anchor.value.commitSeq > 0
    ? Effect.fail(new StoreRegressed({ path, acknowledged: anchor.value.commitSeq, found: 0 }))
    : Effect.void

const refuseRegress = (path: string, anchor: Option.Option<Anchor.Anchor>, meta: Meta) => {
  if (Option.isNone(anchor)) return Effect.void
  const { commitSeq, storeId } = anchor.value
  return storeId === meta.storeId && commitSeq <= meta.commitSeq
    ? Effect.void
    : Effect.fail(new StoreRegressed({ path, acknowledged: commitSeq, found: meta.commitSeq }))
}

/** Makes the file a store of this process. All checks of an existing store come before the first write to it. */
const claimed = (
  db: Database.Database,
  path: string,
  state: "fresh" | "ours",
  { acceptRegress, check, freshId, maxFileBytes }: OpenOptions,
  anchor: Option.Option<Anchor.Anchor>
) =>
  Effect.gen(function*() {
    if (state === "fresh") yield* db.once(`PRAGMA page_size = ${pageSize}`)
    yield* settings(db, undefined)
    if (state === "fresh") yield* transaction(db, patience, create(db, freshId))
    const meta = yield* claim(db, path)
    if (!acceptRegress) yield* refuseRegress(path, anchor, meta)
    if (yield* isChecked(path, check, meta)) yield* checkPages(db, path)
    yield* take(db, meta)
    if (maxFileBytes !== undefined) yield* limit(db, maxFileBytes)
    return meta
  })

/** Sets the pragmas. It checks the journal mode: SQLite answers an impossible mode with another one, without an error. */
const settings = (db: Database.Database, maxFileBytes: number | undefined) =>
  Effect.gen(function*() {
    const mode = yield* patiently(db.once("PRAGMA journal_mode = WAL"), patience, (self) => self)
    if (mode[0]?.["journal_mode"] !== "wal") {
      return yield* new StoreIo({
        operation: "open",
        code: "WAL",
        detail: "the file system cannot hold a write-ahead log"
      })
    }
    yield* db.once("PRAGMA trusted_schema = OFF")
    yield* db.once("PRAGMA cell_size_check = ON")
    yield* db.once("PRAGMA temp_store = MEMORY")
    yield* db.once("PRAGMA foreign_keys = ON")
    yield* db.once("PRAGMA fullfsync = ON")
    yield* db.once("PRAGMA checkpoint_fullfsync = ON")
    yield* db.once(`PRAGMA wal_autocheckpoint = ${(4 * 1024 * 1024) / pageSize}`)
    yield* db.once("PRAGMA journal_size_limit = 67108864")
    yield* db.once("PRAGMA synchronous = FULL")
    if (maxFileBytes !== undefined) yield* limit(db, maxFileBytes)
  })

const create = (db: Database.Database, freshId: string) =>
  Effect.gen(function*() {
    for (const sql of Object.values(tables)) yield* db.once(sql)
    yield* db.once(`PRAGMA application_id = ${applicationId}`)
    yield* db.once(`PRAGMA user_version = ${schemaVersion}`)
    yield* db.run("INSERT INTO store_meta VALUES (1, ?, 0, 0, 1)", [freshId])
  })

interface Meta {
  readonly storeId: string
  readonly token: number
  readonly commitSeq: number
  readonly clean: boolean
}

/** Reads what this opening builds on. It searches for the highest sequence only if the last writer did not close. */
const claim = (db: Database.Database, path: string) =>
  Effect.gen(function*() {
    const rows = yield* patiently(
      db.all(`SELECT store_id, writer_token, clean_shutdown, CASE clean_shutdown WHEN 1 THEN commit_seq
        ELSE max(commit_seq, (SELECT coalesce(max(commit_seq), 0) FROM runtime)) END AS commit_seq FROM store_meta`),
      patience,
      (self) => self
    )
    const storeId = rows[0]?.["store_id"]
    const token = rows[0]?.["writer_token"]
    const commitSeq = rows[0]?.["commit_seq"]
    if (typeof storeId !== "string" || typeof token !== "number" || typeof commitSeq !== "number") {
      return yield* new StoreCorrupt({ table: "store_meta", key: path, detail: "its single row is missing" })
    }
    return { storeId, commitSeq, token: token + 1, clean: rows[0]?.["clean_shutdown"] === 1 }
  })

/** A check reads the whole file. After a crash only files up to this size are checked: that takes as long as a few commits. */
const checkedBytes = 64 * 1024 * 1024

const isChecked = (path: string, check: Check, { clean }: Meta) =>
  check !== "afterCrash"
    ? Effect.succeed(check === "always")
    : clean
    ? Effect.succeed(false)
    : Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      return yield* Effect.match(fs.stat(path), {
        onFailure: () => false,
        onSuccess: ({ size }) => size <= checkedBytes
      })
    })

/** Fails if pages are misplaced, lost or out of order; without the check their rows would be missing silently. */
const checkPages = (db: Database.Database, path: string) =>
  Effect.flatMap(db.once("PRAGMA quick_check(1)"), ([row]) =>
    row?.["quick_check"] === "ok"
      ? Effect.void
      : Effect.fail(new StoreCorrupt({ table: "", key: path, detail: String(row?.["quick_check"]) })))

const take = (db: Database.Database, meta: Meta) =>
  Effect.gen(function*() {
    yield* transaction(
      db,
      patience,
      db.run("UPDATE store_meta SET writer_token = ?, commit_seq = ?, clean_shutdown = 0", [meta.token, meta.commitSeq])
    )
    // the driver's build lowers this to NORMAL at the first write in WAL mode unless it was set: so check after a write
    const level = yield* db.once("PRAGMA synchronous")
    if (level[0]?.["synchronous"] !== 2) {
      return yield* new StoreIo({ operation: "open", code: "SYNCHRONOUS", detail: "synchronous = FULL does not hold" })
    }
  })

const limit = (db: Database.Database, bytes: number) =>
  Effect.flatMap(
    db.once("PRAGMA page_size"),
    ([row]) => db.once(`PRAGMA max_page_count = ${Math.ceil(bytes / Number(row?.["page_size"]))}`)
  )

/** Closes the store. A lost store is not written any more; the loss is logged, because no caller gets the error. */
const close = (files: Connections.Connections, meta: Meta) =>
  files.atClose.pipe(
    Effect.zipRight(markClean(files.writer, meta)),
    Effect.zipRight(checkpoint(files.writer)),
    Effect.catchAll((lost) => Effect.logError(lost.message))
  )

/** Marks the store as closed, if the token is still its own. After a failure the next opening searches for the sequence. */
const markClean = (db: Database.Database, meta: Meta) =>
  transaction(
    db,
    patience,
    db.run("UPDATE store_meta SET clean_shutdown = 1, commit_seq = ? WHERE writer_token = ?", [
      meta.commitSeq,
      meta.token
    ])
  ).pipe(Effect.catchAll((fault) => Effect.logWarning(`the store was not marked as closed: ${describe(fault)}`)))

/** Empties the log into the file. A reader may prevent that; the next opening then continues with the log. */
const checkpoint = (db: Database.Database) =>
  Effect.catchAll(
    db.once("PRAGMA wal_checkpoint(TRUNCATE)"),
    (fault) => Effect.logDebug(`the store's log was not emptied: ${describe(fault)}`)
  )
