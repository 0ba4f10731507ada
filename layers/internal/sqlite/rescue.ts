/**
 * Saves a store that lost its name: the open connection can still read its content, and writes it to a new file beside
 * the old name. `connections` calls it once per loss, and once more at the close if the first call failed.
 *
 * Invariant: the copy keeps the store's id and last commit, so it can be moved back to the old name. It has no anchor.
 *
 * @since 0.1.0
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { closeSync, fsyncSync, openSync } from "node:fs"
import { dirname, join, parse } from "node:path"
import type { Database } from "./database.js"
import * as Place from "./place.js"
import { describe } from "./transaction.js"

/**
 * Writes the store to `<db>.rescued-<n>` in its folder, or in the nearest parent folder that takes it. Returns the
 * path of the copy, which is durable then, or the reasons why no folder took it.
 *
 * @since 0.1.0
 * @category constructors
 */
export const rescue = (
  { file, path }: Pick<Place.Place, "path" | "file">,
  writer: Database
): Effect.Effect<Either.Either<string, string>, never, FileSystem.FileSystem> =>
  Effect.gen(function*() {
    // VACUUM works only outside of transactions; an open transaction was not committed, so it is rolled back
    yield* Effect.ignore(writer.run("ROLLBACK"))
    const reasons: Array<string> = []
    for (const folder of folders(path)) {
      if (Place.named(folder)._tag === "Missing") continue
      const saved = yield* Effect.either(saveIn(folder, path, file.mode, writer))
      if (Either.isRight(saved)) return saved
      reasons.push(`${folder}: ${saved.left}`)
    }
    return Either.left(reasons.join("; "))
  })

/** Returns the rescued copies of this store in its folder and in the parent folder. @since 0.1.0 @category accessors */
export const found = (path: string): Effect.Effect<ReadonlyArray<string>, never, FileSystem.FileSystem> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const prefix = `${parse(path).base}.rescued-`
    const lists = yield* Effect.forEach(
      folders(path).slice(0, 2),
      (folder) =>
        Effect.map(
          Effect.orElseSucceed(fs.readDirectory(folder), () => []),
          (names) =>
            names.filter((name) => name.startsWith(prefix) && /^\d+$/.test(name.slice(prefix.length))).map((name) =>
              join(folder, name)
            )
        )
    )
    return lists.flat().sort()
  })

// --- internal ---

/** The folder of the store, then its parents. */
const folders = (path: string): ReadonlyArray<string> => {
  const folder = dirname(path)
  return folder === dirname(folder) ? [folder] : [folder, ...folders(folder)]
}

/** Claims a name by creating the file that the copy is written to. Only a complete copy keeps the name. */
const saveIn = (folder: string, path: string, mode: number, writer: Database) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const base = join(folder, parse(path).base)
    for (let n = 1; n <= maxNames; n++) {
      const saved = `${base}.rescued-${n}`
      const draft = `${base}.rescuing-${n}`
      if (isTaken(saved) || isTaken(draft)) continue
      yield* Effect.mapError(fs.writeFileString(draft, "", { flag: "wx", mode }), String)
      // another process may have finished a copy of this name between the two checks
      if (isTaken(saved)) {
        yield* Effect.ignore(fs.remove(draft))
        continue
      }
      return yield* fill(writer, draft).pipe(
        Effect.zipRight(Effect.mapError(fs.rename(draft, saved), String)),
        Effect.zipRight(Effect.ignore(durable(folder))),
        Effect.tapError(() => Effect.ignore(fs.remove(draft))),
        Effect.as(saved)
      )
    }
    return yield* Effect.fail(`${maxNames} rescued files lie there`)
  })

const maxNames = 1000

const isTaken = (path: string): boolean => Place.named(path)._tag !== "Missing"

const fill = (writer: Database, draft: string) =>
  Effect.mapError(writer.once(`VACUUM INTO '${draft.replaceAll("'", "''")}'`), describe).pipe(
    Effect.zipRight(Effect.mapError(durable(draft), String))
  )

/**
 * Writes a file or a folder through to the medium. No store has the copy open yet, so closing its descriptor drops no
 * lock. It is synchronous, like the VACUUM before it: nothing else may happen until the store is safe.
 */
const durable = (path: string) =>
  Effect.acquireUseRelease(
    Effect.try({ try: () => openSync(path, "r"), catch: String }),
    (descriptor) => Effect.try({ try: () => fsyncSync(descriptor), catch: String }),
    (descriptor) => Effect.sync(() => closeSync(descriptor))
  )
