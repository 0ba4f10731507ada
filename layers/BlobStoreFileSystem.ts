/**
 * Blobs as files of a folder, two levels deep (`ab/ab12…`). A blob is written beside its place, synced, and renamed
 * into it, so that there is never half of one; the folder entry is synced too.
 *
 * @since 0.1.0
 */
import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { StoredBlob } from "../services/BlobStore.js"
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
      const files: Files = {
        fs: yield* FileSystem.FileSystem,
        path: yield* Path.Path,
        ids: yield* IdGen,
        root: options.directory
      }
      yield* Effect.mapError(files.fs.makeDirectory(files.root, { recursive: true }), failed("put", ""))
      return BlobStore.of({
        put: (bytes) => put(files, bytes),
        get: (blobId) => get(files, blobId),
        remove: (blobId) => remove(files, blobId),
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

const folderOf = ({ path, root }: Files, blobId: string): string => path.join(root, blobId.slice(0, 2))
const placeOf = (files: Files, blobId: string): string => files.path.join(folderOf(files, blobId), blobId)

const sync = (fs: FileSystem.FileSystem, place: string) =>
  Effect.scoped(Effect.flatMap(fs.open(place, { flag: "r" }), (file) => file.sync))

const put = (files: Files, bytes: Uint8Array): Effect.Effect<string, BlobFailed> => {
  const blobId = sha256(bytes)
  const folder = folderOf(files, blobId)
  const place = placeOf(files, blobId)
  const write = Effect.gen(function*() {
    const aside = files.path.join(folder, `.${yield* files.ids.next}`)
    yield* files.fs.makeDirectory(folder, { recursive: true })
    yield* Effect.gen(function*() {
      const file = yield* files.fs.open(aside, { flag: "wx" })
      yield* file.writeAll(bytes)
      yield* file.sync
    }).pipe(
      Effect.scoped,
      Effect.zipRight(files.fs.rename(aside, place)),
      Effect.onError(() => Effect.ignore(files.fs.remove(aside, { force: true })))
    )
    yield* Effect.zipRight(sync(files.fs, folder), sync(files.fs, files.root))
  })
  const touch = Effect.flatMap(Clock.currentTimeMillis, (now) => files.fs.utimes(place, new Date(now), new Date(now)))
  return Effect.flatMap(
    // one that is damaged is written anew
    Effect.orElseSucceed(get(files, blobId), () => Option.none()),
    (known) =>
      Effect.mapBoth(Option.isSome(known) ? touch : write, {
        onFailure: failed("put", blobId),
        onSuccess: () => blobId
      })
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

const isMissing = (error: PlatformError): boolean => error._tag === "SystemError" && error.reason === "NotFound"

const remove = (files: Files, blobId: string): Effect.Effect<void, BlobFailed> =>
  isId(blobId)
    ? Effect.mapError(files.fs.remove(placeOf(files, blobId), { force: true }), failed("remove", blobId))
    : Effect.void

const list = (files: Files): Stream.Stream<StoredBlob, BlobFailed> =>
  Stream.fromIterableEffect(files.fs.readDirectory(files.root)).pipe(
    Stream.flatMap((folder) => Stream.fromIterableEffect(files.fs.readDirectory(files.path.join(files.root, folder)))),
    Stream.filter(isId),
    Stream.mapEffect((blobId) => Effect.option(Effect.map(files.fs.stat(placeOf(files, blobId)), storedOf(blobId)))),
    Stream.filterMap((stored) => stored),
    Stream.mapError(failed("list", ""))
  )

const storedOf = (blobId: string) => ({ mtime, size }: FileSystem.File.Info): StoredBlob => ({
  blobId,
  bytes: Number(size),
  writtenAt: Option.match(mtime, { onNone: () => 0, onSome: (at) => at.getTime() })
})
