/**
 * Blobs as files of a folder, two levels deep (`ab/ab12…`). A blob is written beside its place, synced, and renamed
 * into it, so no reader sees half a blob. The folder entries are synced too.
 *
 * A removal may race with a put of the same blob, perhaps in another process:
 * - The removal makes a folder beside the blob, its notice. Then it checks the age of the blob and moves it into that
 *   folder.
 * - The put renews the write time of the blob, removes all notices, and then checks that the blob still exists.
 *
 * If the notice comes first, the put sees it and removes its folder. Then the move fails, or it has happened and the
 * put writes the blob again. If the put comes first, the removal finds the blob too young.
 *
 * @since 0.1.0
 */
import type { PlatformError, SystemErrorReason } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { RemoveCondition, StoredBlob } from "../services/BlobStore.js"
import { BlobFailed, BlobStore } from "../services/BlobStore.js"
import { IdGen } from "../services/IdGen.js"
import * as IdGenLive from "./IdGenLive.js"
import { sha256 } from "./internal/digest.js"

/** Stores blobs in this folder, and makes the folder if it does not exist. @since 0.1.0 @category layers */
export const layer = (options: {
  readonly directory: string
}): Layer.Layer<BlobStore, BlobFailed, FileSystem.FileSystem | Path.Path> =>
  Layer.effect(
    BlobStore,
    Effect.gen(function*() {
      const path = yield* Path.Path
      const files: Files = {
        fs: yield* FileSystem.FileSystem,
        path,
        ids: yield* IdGen,
        root: path.resolve(options.directory)
      }
      yield* Effect.mapError(makeDurably(files, files.root), failed("put", ""))
      return BlobStore.of({
        put: (bytes) => put(files, bytes),
        get: (blobId) => get(files, blobId),
        remove: (blobId, condition) => remove(files, blobId, condition),
        list: list(files)
      })
    })
  ).pipe(Layer.provide(IdGenLive.layer))

// --- internal ---

interface Files {
  readonly fs: FileSystem.FileSystem
  readonly path: Path.Path
  readonly ids: IdGen["Type"]
  readonly root: string
}

const failed = (operation: BlobFailed["operation"], blobId: string) => (cause: PlatformError): BlobFailed =>
  new BlobFailed({ operation, blobId, detail: cause.message, cause })

/** Accepts digests only, so that an id from outside cannot name a path outside the folder. */
const isId = (blobId: string): boolean => /^[0-9a-f]{64}$/.test(blobId)

const isFolder = (name: string): boolean => /^[0-9a-f]{2}$/.test(name)

/** True for a file in progress or a notice. It stays when its process is killed. Its id is its path. */
const isAside = (id: string): boolean =>
  /^[0-9a-f]{2}\/\.([0-9a-f]{64}\.)?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id)

const folderOf = ({ path, root }: Files, blobId: string): string => path.join(root, blobId.slice(0, 2))
const placeOf = (files: Files, blobId: string): string => files.path.join(folderOf(files, blobId), blobId)

const sync = (fs: FileSystem.FileSystem, place: string) =>
  Effect.scoped(Effect.flatMap(fs.open(place, { flag: "r" }), (file) => file.sync))

/**
 * Makes a folder and its parents durably. An existing folder may come from a process that ended before it synced the
 * entry, so the entry is synced again. That sync may fail: not every file system syncs folders, and the parent may be
 * unreadable.
 */
const makeDurably = (files: Files, folder: string): Effect.Effect<void, PlatformError> => {
  const { fs, path } = files
  const parent = path.dirname(folder)
  const make = Effect.suspend(() => makeDurably(files, parent)).pipe(
    Effect.zipRight(fs.makeDirectory(folder, { recursive: true })),
    Effect.zipRight(sync(fs, parent))
  )
  return Effect.flatMap(fs.exists(folder), (known) => known ? Effect.ignore(sync(fs, parent)) : make)
}

/** Writes a blob beside its place and renames it. False if a collection removed the unfinished file as a leftover. */
const write = (files: Files, blobId: string, bytes: Uint8Array): Effect.Effect<boolean, PlatformError> =>
  Effect.gen(function*() {
    const folder = folderOf(files, blobId)
    const aside = files.path.join(folder, `.${yield* files.ids.next}`)
    yield* files.fs.makeDirectory(folder, { recursive: true })
    return yield* Effect.gen(function*() {
      const file = yield* files.fs.open(aside, { flag: "wx" })
      yield* file.writeAll(bytes)
      yield* file.sync
    }).pipe(
      Effect.scoped,
      Effect.zipRight(
        Effect.as(files.fs.rename(aside, placeOf(files, blobId)), true).pipe(
          Effect.catchIf(isMissing, () => Effect.succeed(false))
        )
      ),
      Effect.onError(() => Effect.ignore(files.fs.remove(aside, { force: true })))
    )
  })

/** Removes a folder with its content. A retry covers a file that was moved in meanwhile. */
const removeAside = (files: Files, place: string): Effect.Effect<void, PlatformError> =>
  Effect.retry(files.fs.remove(place, { recursive: true, force: true }), { times: 1 })

/** Renews the write time of a blob and removes all notices; false if the blob no longer exists. */
const claim = (files: Files, blobId: string): Effect.Effect<boolean, PlatformError> =>
  Effect.gen(function*() {
    const folder = folderOf(files, blobId)
    const place = placeOf(files, blobId)
    const now = new Date(yield* Clock.currentTimeMillis)
    yield* files.fs.utimes(place, now, now)
    for (const name of yield* files.fs.readDirectory(folder)) {
      if (name.startsWith(noticeOf(blobId))) yield* removeAside(files, files.path.join(folder, name))
    }
    return yield* files.fs.exists(place)
  }).pipe(Effect.catchIf(isMissing, () => Effect.succeed(false)))

/**
 * Puts a blob. It syncs the entries of a known blob too, because the process that wrote it may have ended before that.
 */
const put = (files: Files, bytes: Uint8Array): Effect.Effect<string, BlobFailed> => {
  const blobId = sha256(bytes)
  const kept: Effect.Effect<void, PlatformError> = Effect.gen(function*() {
    // a damaged blob is written again
    const known = yield* Effect.orElseSucceed(get(files, blobId), () => Option.none())
    const written = Option.isSome(known) || (yield* write(files, blobId, bytes))
    if (!written || !(yield* claim(files, blobId))) yield* kept
  })
  return kept.pipe(
    Effect.zipRight(sync(files.fs, folderOf(files, blobId))),
    Effect.zipRight(sync(files.fs, files.root)),
    Effect.mapBoth({ onFailure: failed("put", blobId), onSuccess: () => blobId })
  )
}

const get = (files: Files, blobId: string): Effect.Effect<Option.Option<Uint8Array>, BlobFailed> =>
  isId(blobId)
    ? files.fs.readFile(placeOf(files, blobId)).pipe(
      Effect.asSome,
      Effect.catchIf(isMissing, () => Effect.succeedNone),
      Effect.mapError(failed("get", blobId)),
      Effect.flatMap((found) =>
        Option.isSome(found) && sha256(found.value) !== blobId
          ? Effect.fail(new BlobFailed({ operation: "get", blobId, detail: "the stored bytes do not match the id" }))
          : Effect.succeed(found)
      )
    )
    : Effect.succeedNone

const has = (reason: SystemErrorReason) => (error: PlatformError): boolean =>
  error._tag === "SystemError" && error.reason === reason

const isMissing = has("NotFound")

const remove = (files: Files, id: string, condition?: RemoveCondition): Effect.Effect<boolean, BlobFailed> => {
  if (!isId(id) && !isAside(id)) return Effect.succeed(false)
  return (isAside(id)
    ? removeLeftover(files, id, condition)
    : condition === undefined
    ? Effect.as(files.fs.remove(placeOf(files, id)), true)
    : removeOld(files, id, condition)).pipe(
      Effect.catchIf(isMissing, () => Effect.succeed(false)),
      Effect.mapError(failed("remove", id))
    )
}

const isOld = (info: FileSystem.File.Info, { writtenBefore }: RemoveCondition): boolean =>
  writtenAt(info) < writtenBefore

/** Removes what an interrupted put left behind. With a condition it spares young files: a put may still write them. */
const removeLeftover = (files: Files, id: string, condition?: RemoveCondition) => {
  const place = files.path.join(files.root, id)
  return Effect.flatMap(files.fs.stat(place), (info) =>
    condition === undefined || isOld(info, condition)
      ? Effect.as(removeAside(files, place), true)
      : Effect.succeed(false))
}

const noticeOf = (blobId: string): string => `.${blobId}.`

const removeOld = (files: Files, blobId: string, condition: RemoveCondition) =>
  Effect.gen(function*() {
    const { fs, ids, path } = files
    const place = placeOf(files, blobId)
    const notice = path.join(folderOf(files, blobId), `${noticeOf(blobId)}${yield* ids.next}`)
    yield* fs.makeDirectory(notice)
    return yield* Effect.flatMap(fs.stat(place), (info) =>
      isOld(info, condition)
        ? Effect.as(fs.rename(place, path.join(notice, blobId)), true)
        : Effect.succeed(false)).pipe(
        Effect.catchIf(isMissing, () => Effect.succeed(false)),
        Effect.onError(() => Effect.ignore(removeAside(files, notice))),
        Effect.zipLeft(removeAside(files, notice))
      )
  })

/** A file that is named like one of the folders has no blobs. */
const namesIn = ({ fs, path, root }: Files, folder: string) =>
  Effect.catchIf(fs.readDirectory(path.join(root, folder)), has("BadResource"), () => Effect.succeed([]))

const list = (files: Files): Stream.Stream<StoredBlob, BlobFailed> =>
  Stream.fromIterableEffect(files.fs.readDirectory(files.root)).pipe(
    Stream.filter(isFolder),
    Stream.flatMap((folder) =>
      Stream.map(
        Stream.fromIterableEffect(namesIn(files, folder)),
        (name) => ({ id: isId(name) ? name : `${folder}/${name}`, place: files.path.join(files.root, folder, name) })
      )
    ),
    Stream.filter(({ id }) => isId(id) || isAside(id)),
    Stream.mapEffect(({ id, place }) => Effect.option(Effect.map(files.fs.stat(place), storedOf(id)))),
    Stream.filterMap((stored) => stored),
    Stream.mapError(failed("list", ""))
  )

const storedOf = (blobId: string) => (info: FileSystem.File.Info): StoredBlob => ({
  blobId,
  bytes: Number(info.size),
  writtenAt: writtenAt(info)
})

const writtenAt = ({ mtime }: FileSystem.File.Info): number =>
  Option.match(mtime, { onNone: () => 0, onSome: (at) => at.getTime() })
