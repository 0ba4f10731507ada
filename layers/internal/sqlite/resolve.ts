/**
 * Resolves the name that a caller gave to the path of the store: it follows every link, also to a file that does not
 * exist yet. `open` calls it first.
 *
 * Invariants: lock, log and anchor are beside this path, so every name of a store leads to the same lock; resolving opens
 * and writes nothing.
 *
 * @since 0.1.0
 */
import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { StoreUnavailable } from "../../../src/domain/StoreErrors.js"

/**
 * Resolves the name of a store and returns its path. Fails with `StoreUnavailable` if it cannot be a store: memory, a
 * folder, a circle of links, a missing or read-only folder, a file with several names or without permissions.
 *
 * @since 0.1.0
 * @category constructors
 */
export const resolve = (
  filename: string
): Effect.Effect<string, StoreUnavailable, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    if (filename.trim() === "" || filename.includes(":memory:")) {
      return yield* new StoreUnavailable({
        path: filename,
        detail: "a store is a file; for one that forgets, use RuntimeStoreMemory"
      })
    }
    const paths = yield* Path.Path
    const absolute = paths.isAbsolute(filename) ? filename : `${paths.resolve(".")}/${filename}`
    const path = yield* follow(absolute)
    yield* usable(path, absolute)
    return path
  })

// --- internal ---

/** The most links in a row; Linux has the same limit. */
const maxLinks = 40

const unavailable = (path: string, detail: string) => (cause: unknown) => new StoreUnavailable({ path, detail, cause })

/** Follows a chain of links and resolves the folders on the way. The end itself need not exist. */
const follow = (absolute: string) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const paths = yield* Path.Path
    let named = absolute
    for (let links = 0; links <= maxLinks; links++) {
      const folder = paths.dirname(named)
      const real = yield* Effect.mapError(
        realFolder(folder),
        unavailable(absolute, `the folder ${paths.normalize(folder)} does not exist: create it first`)
      )
      const path = paths.join(real, paths.basename(named))
      const target = yield* Effect.option(fs.readLink(path))
      if (Option.isNone(target)) return path
      named = paths.isAbsolute(target.value) ? target.value : `${real}/${target.value}`
    }
    return yield* unavailable(absolute, "its links lead in a circle: point them at a file")(undefined)
  })

/**
 * Resolves a folder to one without links. As in the kernel, `..` after a linked folder is the parent of the link's target;
 * Node's `realPath` would remove both parts instead.
 */
const realFolder = (
  folder: string
): Effect.Effect<string, PlatformError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const paths = yield* Path.Path
    const parts = folder.split("/")
    const up = parts.indexOf("..")
    if (up < 0) return yield* fs.realPath(folder)
    const below = yield* fs.realPath(parts.slice(0, up).join("/") || "/")
    return yield* realFolder([paths.dirname(below), ...parts.slice(up + 1)].join("/"))
  })

const usable = (path: string, absolute: string) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const folder = (yield* Path.Path).dirname(path)
    yield* Effect.mapError(
      fs.access(folder, { writable: true }),
      unavailable(absolute, `the folder ${folder} is read-only: a store writes its log and its lock beside the file`)
    )
    if (!(yield* Effect.orElseSucceed(fs.exists(path), () => false))) return
    const info = yield* Effect.mapError(fs.stat(path), unavailable(absolute, "the file cannot be examined"))
    if (info.type !== "File") return yield* unavailable(absolute, `it is not a file (${info.type})`)(undefined)
    const names = Option.getOrElse(info.nlink, () => 1)
    if (names > 1) return yield* unavailable(absolute, manyNames(names))(undefined)
    yield* Effect.mapError(
      fs.access(path, { readable: true, writable: true }),
      unavailable(absolute, "the file cannot be read and written: check its permissions")
    )
  })

/** Refuses a file with several names. A writer under another name would not see its log and lock, and could damage it. */
const manyNames = (names: number) =>
  `the file has ${names} names (hard links), and a store has one: remove the others, or replace this one by a copy`
