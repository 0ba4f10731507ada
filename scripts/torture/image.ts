/**
 * Reads a copy of a store file through the store's own readers, so that the original stays as its process left it. Call
 * it only while no process has the file open.
 */
import Sqlite from "better-sqlite3"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { copyFileSync, existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Database from "../../layers/internal/sqlite/database.js"
import * as Quarantine from "../../layers/internal/sqlite/quarantine.js"
import * as Reads from "../../layers/internal/sqlite/reads.js"
import type { StoredReceipt, StoredSession } from "../../services/RuntimeStore.js"
import type { InputState } from "../../src/domain/InputRecord.js"
import type { Message } from "../../src/domain/Message.js"

export interface SessionImage extends StoredSession {
  readonly inputs: ReadonlyArray<InputState>
  readonly receipts: ReadonlyArray<StoredReceipt>
  readonly history: ReadonlyArray<Message>
}

export interface Image {
  readonly sessions: ReadonlyArray<SessionImage>
  /** what SQLite and the store's digests report */
  readonly objections: ReadonlyArray<string>
}

/** Copies the file and its log into a new folder. */
export const copy = (db: string): string => {
  const folder = mkdtempSync(join(tmpdir(), "meerkat-image-"))
  const to = join(folder, "store.db")
  for (const suffix of ["", "-wal", ".anchor"]) {
    if (existsSync(db + suffix)) copyFileSync(db + suffix, to + suffix)
  }
  return to
}

export const remove = (copied: string): void => rmSync(join(copied, ".."), { recursive: true, force: true })

/** Reads a file; undefined if its process died before it made the tables. */
export const read = async (db: string): Promise<Image | undefined> => {
  const copied = copy(db)
  try {
    if (!existsSync(copied)) return undefined
    const objections = check(copied)
    return objections === undefined ? undefined : await Effect.runPromise(Effect.scoped(contents(copied, objections)))
  } finally {
    remove(copied)
  }
}

const check = (path: string): ReadonlyArray<string> | undefined => {
  const db = new Sqlite(path)
  try {
    if (db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'store_meta'").get() === undefined) return undefined
    const quick = db.pragma("quick_check", { simple: true })
    const foreign = db.pragma("foreign_key_check")
    return [
      ...(quick === "ok" ? [] : [`quick_check: ${String(quick)}`]),
      ...(Array.isArray(foreign) && foreign.length === 0 ? [] : [`foreign_key_check: ${JSON.stringify(foreign)}`])
    ]
  } finally {
    db.close()
  }
}

const contents = (path: string, objections: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const reads = Reads.make(yield* Database.open(path, { readonly: true }), Quarantine.make())
    const stored = yield* Stream.runCollect(reads.sessions())
    const sessions = yield* Effect.forEach(Chunk.toReadonlyArray(stored), (session) =>
      Effect.all({
        inputs: all(reads.inputs(session.runtimeId)),
        receipts: all(reads.receipts(session.runtimeId)),
        history: all(reads.history(session.runtimeId))
      }).pipe(Effect.map((rows): SessionImage => ({ ...session, ...rows }))))
    const aside = yield* reads.quarantined
    return {
      sessions,
      objections: [...objections, ...aside.map(({ detail, key, table }) => `unreadable ${table} ${key}: ${detail}`)]
    }
  })

const all = <A, E>(stream: Stream.Stream<A, E>) => Effect.map(Stream.runCollect(stream), Chunk.toReadonlyArray)
