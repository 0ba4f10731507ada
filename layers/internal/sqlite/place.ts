/**
 * Checks which files the names of a store refer to. `connections` calls it before every acknowledgement. SQLite keeps
 * writing to the files that it opened, even after they were renamed or removed; so names and files are compared.
 *
 * Invariant: files are compared by `lstat` and not opened, because closing another descriptor drops the locks of this
 * process. The calls are synchronous and use Node directly: a promise between COMMIT and acknowledgement costs more than
 * the call, and the `FileSystem` service has no `lstat`.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Predicate from "effect/Predicate"
import { type BigIntStats, closeSync, lstatSync, openSync } from "node:fs"
import { StoreUnavailable } from "../../../src/domain/StoreErrors.js"

/** What a name refers to. @since 0.1.0 @category models */
export type Named =
  | { readonly _tag: "File"; readonly dev: bigint; readonly ino: bigint; readonly mode: number }
  | { readonly _tag: "Missing" }
  | { readonly _tag: "Other"; readonly what: string }

/** An existing regular file. @since 0.1.0 @category models */
export type File = Extract<Named, { readonly _tag: "File" }>

/** The open files of a store, and the check of their names. @since 0.1.0 @category models */
export interface Place {
  readonly path: string
  /** the file that was opened */
  readonly file: File
  /** Records that the log of this name is the open one; called when a connection has just written to it. */
  readonly trustLog: () => void
  /** Returns what is wrong with the names, as the end of "the store …"; undefined while they refer to the open files. */
  readonly look: () => string | undefined
  /** Whether the log still has its name. */
  readonly hasLog: () => boolean
}

/** The path of a store's write-ahead log. @since 0.1.0 @category models */
export const logPath = (db: string): string => `${db}-wal`

/** Returns what a name refers to now. @since 0.1.0 @category accessors */
export const named = (path: string): Named => {
  const stats = Either.try({ try: () => lstatSync(path, { bigint: true, throwIfNoEntry: false }), catch: codeOf })
  if (Either.isLeft(stats)) {
    return isAbsent(stats.left) ? { _tag: "Missing" } : { _tag: "Other", what: `cannot be examined (${stats.left})` }
  }
  return stats.right === undefined ? { _tag: "Missing" } : describe(stats.right)
}

/** Whether two names refer to the same file. @since 0.1.0 @category guards */
export const isSame = (one: Named, other: Named): boolean =>
  one._tag === "File" && other._tag === "File" && one.ino === other.ino && one.dev === other.dev

/**
 * Creates an empty file if the file is missing, before SQLite opens it, so that its identity is known. No lock is held
 * through the new file yet, so closing its descriptor drops no lock. Fails if the folder does not allow that.
 *
 * @since 0.1.0
 * @category constructors
 */
export const ensureFile = (path: string): Effect.Effect<File, StoreUnavailable> =>
  Effect.suspend(() => {
    const unavailable = (detail: string) => new StoreUnavailable({ path, detail })
    const made = Either.try({ try: () => closeSync(openSync(path, "wx")), catch: codeOf })
    if (Either.isLeft(made) && made.left !== "EEXIST") {
      return unavailable(`the file cannot be made (${made.left}): check its folder`)
    }
    const now = named(path)
    return now._tag === "File" ? Effect.succeed(now) : unavailable(`it ${wordsOf(now)} while it is opened: try again`)
  })

/** Makes the check of a store's names. @since 0.1.0 @category constructors */
export const make = (path: string, file: File): Place => {
  const log = logPath(path)
  let trusted: Named | undefined
  return {
    path,
    file,
    trustLog: () => {
      trusted = named(log)
    },
    look: () => {
      const now = named(path)
      if (!isSame(now, file)) return wordsOf(now)
      if (trusted === undefined) return undefined
      const logNow = named(log)
      return isSame(logNow, trusted) ? undefined : `has a log ${log} that ${wordsOf(logNow)}`
    },
    hasLog: () => trusted !== undefined && isSame(named(log), trusted)
  }
}

// --- internal ---

const describe = (stats: BigIntStats): Named =>
  stats.isFile()
    ? { _tag: "File", dev: stats.dev, ino: stats.ino, mode: Number(stats.mode) & 0o777 }
    : { _tag: "Other", what: `was replaced by a ${stats.isSymbolicLink() ? "link" : "folder or device"}` }

const wordsOf = (now: Named): string => {
  switch (now._tag) {
    case "Missing":
      return "was removed or renamed"
    case "Other":
      return now.what
    case "File":
      return "was replaced by another file"
  }
}

const codeOf = (cause: unknown): string =>
  Predicate.hasProperty(cause, "code") && typeof cause.code === "string" ? cause.code : String(cause)

const isAbsent = (code: string): boolean => code === "ENOENT" || code === "ENOTDIR"
