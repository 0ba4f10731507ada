/**
 * Blobs as files of a folder, two levels deep (`ab/ab12…`). A blob is written beside its place, synced, and renamed
 * into it, so that there is never half of one; the folder entries are synced too.
 *
 * Whoever removes an old blob may meet somebody who puts it again, perhaps in another process. So it first makes a folder
 * beside the blob, its notice, then looks how old the blob is, and then moves it into that folder. A put counts the blob
 * as written now, then removes all notices, then looks whether the blob is still there. If the notice came first the put
 * sees it, and without its folder the move fails, or it has happened and the put writes anew; if the put came first the
 * blob is found to be young.
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

/** Blobs in this folder, which is made if it is not there. @since 0.1.0 @category layers */
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

/** Only what a digest looks like is a name: an id that came from outside cannot leave the folder. */
const isId = (blobId: string): boolean => /^[0-9a-f]{64}$/.test(blobId)

const isFolder = (name: string): boolean => /^[0-9a-f]{2}$/.test(name)

/** What is being written, or a notice; it stays when the process that made it is killed. Its id is its path. */
const isAside = (id: string): boolean =>
  /^[0-9a-f]{2}\/\.([0-9a-f]{64}\.)?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id)

const folderOf = ({ path, root }: Files, blobId: string): string => path.join(root, blobId.slice(0, 2))
const placeOf = (files: Files, blobId: string): string => files.path.join(folderOf(files, blobId), blobId)

const sync = (fs: FileSystem.FileSystem, place: string) =>
  Effect.scoped(Effect.flatMap(fs.open(place, { flag: "r" }), (file) => file.sync))

/**
 * Makes a folder and those that it lies in. One that is there may have been made by a process that ended before it could
 * sync its entry, so the entry is synced again where that can be done: this process did not make it, not every file system
 * syncs folders, and not everybody may read the parent.
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

/** False if somebody took what was being written for a leftover. */
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

/** The folder is gone, with what was in it: if something was moved in meanwhile, nothing more can be. */
const removeAside = (files: Files, place: string): Effect.Effect<void, PlatformError> =>
  Effect.retry(files.fs.remove(place, { recursive: true, force: true }), { times: 1 })

/** Counts a blob as written now, whoever is about to remove it; false if it is not there any more. */
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

/** The entries are synced also for a blob that is known: whoever wrote it may not have come so far. */
const put = (files: Files, bytes: Uint8Array): Effect.Effect<string, BlobFailed> => {
  const blobId = sha256(bytes)
  const kept: Effect.Effect<void, PlatformError> = Effect.gen(function*() {
    // one that is damaged is written anew
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
          ? Effect.fail(new BlobFailed({ operation: "get", blobId, detail: "the bytes are not what was written" }))
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

/** No put takes up what another has left, but it may be at work on it still. */
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

/** What is named like a folder of ours and is none has no names. */
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
