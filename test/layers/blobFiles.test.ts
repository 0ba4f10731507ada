/** Blobs in files, beside other processes that put, remove or are killed. */
import * as NodeContext from "@effect/platform-node/NodeContext"
import { SystemError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as BlobStoreFileSystem from "../../layers/BlobStoreFileSystem.js"
import { BlobStore } from "../../services/BlobStore.js"

type Before = (call: string, path: string) => Effect.Effect<void>

/** The file system, with `before` run before each call that a blob store makes. */
const watched = (fs: FileSystem.FileSystem, before: Before): FileSystem.FileSystem => ({
  ...fs,
  exists: (path) => Effect.zipRight(before("exists", path), fs.exists(path)),
  makeDirectory: (path, options) => Effect.zipRight(before("makeDirectory", path), fs.makeDirectory(path, options)),
  open: (path, options) => Effect.zipRight(before("open", path), fs.open(path, options)),
  readDirectory: (path) => Effect.zipRight(before("readDirectory", path), fs.readDirectory(path)),
  readFile: (path) => Effect.zipRight(before("readFile", path), fs.readFile(path)),
  remove: (path, options) => Effect.zipRight(before("remove", path), fs.remove(path, options)),
  rename: (from, to) => Effect.zipRight(before("rename", from), fs.rename(from, to)),
  stat: (path) => Effect.zipRight(before("stat", path), fs.stat(path)),
  utimes: (path, atime, mtime) => Effect.zipRight(before("utimes", path), fs.utimes(path, atime, mtime))
})

/** The blob store of a process of its own. */
const storeIn = (directory: string, before: Before = () => Effect.void) =>
  Effect.provide(BlobStore, BlobStoreFileSystem.layer({ directory })).pipe(
    Effect.updateService(FileSystem.FileSystem, (fs) => watched(fs, before))
  )

/** A process that acts on a folder. `start` runs it up to its n-th file system call, `finish` to its end. */
const party = <A, E>(directory: string, calls: number, act: (blobs: BlobStore["Type"]) => Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const there = yield* Effect.makeLatch(false)
    const go = yield* Effect.makeLatch(false)
    let left = Infinity
    const blobs = yield* storeIn(
      directory,
      () => Effect.suspend(() => left-- > 0 ? Effect.void : Effect.zipRight(there.open, go.await))
    )
    const done = yield* Deferred.make<A, E>()
    return {
      start: Effect.suspend(() => {
        left = calls
        return Effect.fork(Effect.ensuring(Effect.intoDeferred(act(blobs), done), there.open))
      }).pipe(Effect.zipRight(there.await)),
      finish: Effect.zipRight(go.open, Deferred.await(done))
    }
  })

const given = Uint8Array.from({ length: 10 }, (_, at) => at)

/**
 * Interleaves a put and a removal of the same old blob: each runs up to one of its calls, then one finishes, then the
 * other.
 */
const meeting = (putFirst: boolean, putCalls: number, removeCalls: number, damaged: boolean) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const directory = yield* fs.makeTempDirectoryScoped({ prefix: "meerkat-blobs-" })
    const blobs = yield* storeIn(directory)
    const id = yield* blobs.put(given)
    const folder = `${directory}/${id.slice(0, 2)}`
    if (damaged) yield* fs.writeFileString(`${folder}/${id}`, "damaged")
    yield* fs.utimes(`${folder}/${id}`, 0, 0)
    const writtenBefore = (yield* Clock.currentTimeMillis) - 1000
    const remover = yield* party(directory, removeCalls, (store) => store.remove(id, { writtenBefore }))
    const putter = yield* party(directory, putCalls, (store) =>
      Effect.map(Effect.zipRight(store.put(given), blobs.get(id)), Option.isSome))
    yield* (putFirst ? putter.start : remover.start)
    yield* (putFirst ? remover.start : putter.start)
    if (!putFirst) {
      yield* remover.finish
    }
    const where = `${putCalls} calls of the put, ${removeCalls} of the removal`
    assert.isTrue(yield* putter.finish, `the blob exists when its put returns, ${where}`)
    yield* remover.finish
    assert.isTrue(Option.isSome(yield* blobs.get(id)), `the blob exists in the end, ${where}`)
    assert.deepStrictEqual(yield* fs.readDirectory(folder), [id], where)
  }).pipe(Effect.scoped)

describe("a blob that one process puts while another removes it as old", () => {
  for (const putFirst of [true, false]) {
    for (const damaged of [false, true]) {
      const name = `${damaged ? "is written again" : "stays"} when the ${putFirst ? "put" : "removal"} begins first`
      it.live(name, () =>
        Effect.gen(function*() {
          for (let putCalls = 0; putCalls <= (damaged ? 10 : 7); putCalls++) {
            for (let removeCalls = 0; removeCalls <= 4; removeCalls++) {
              yield* meeting(putFirst, putCalls, removeCalls, damaged)
            }
          }
        }).pipe(Effect.provide(NodeContext.layer)))
    }
  }
})

describe("a blob", () => {
  it.scopedLive("is durable when its put returns, also if its first writer was killed before syncing the folder", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const parent = yield* fs.makeTempDirectoryScoped({ prefix: "meerkat-blobs-" })
      const root = `${parent}/a/b`
      const synced = new Set<string>()
      const opened: Before = (call, path) => Effect.sync(() => void (call === "open" && synced.add(path)))
      const blobs = yield* storeIn(root, opened)
      assert.deepStrictEqual([...synced].sort().slice(-2), [parent, `${parent}/a`])
      const id = yield* blobs.put(given)
      const again = yield* storeIn(root, opened)
      synced.clear()
      yield* again.put(given)
      assert.deepStrictEqual([...synced].sort(), [root, `${root}/${id.slice(0, 2)}`])
    }).pipe(Effect.provide(NodeContext.layer)))
})

describe("a put", () => {
  it.scopedLive("writes the blob again when its temporary file was removed, also over damaged bytes", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const directory = yield* fs.makeTempDirectoryScoped({ prefix: "meerkat-blobs-" })
      let left = 1
      const blobs = yield* storeIn(
        directory,
        (call, path) => call === "rename" && left-- > 0 ? Effect.orDie(fs.remove(path)) : Effect.void
      )
      const id = yield* blobs.put(given)
      assert.isTrue(Option.isSome(yield* blobs.get(id)))
      yield* fs.writeFileString(`${directory}/${id.slice(0, 2)}/${id}`, "damaged")
      left = 1
      yield* blobs.put(given)
      assert.isTrue(Option.isSome(yield* blobs.get(id)))
    }).pipe(Effect.provide(NodeContext.layer)))
})

describe("an existing folder", () => {
  it.scopedLive("is accepted where folders cannot be synced", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const directory = yield* fs.makeTempDirectoryScoped({ prefix: "meerkat-blobs-" })
      const invalid = new SystemError({
        reason: "Unknown",
        module: "FileSystem",
        method: "open",
        description: "EINVAL"
      })
      const blobs = yield* Effect.provide(BlobStore, BlobStoreFileSystem.layer({ directory })).pipe(
        Effect.updateService(FileSystem.FileSystem, (fs) => ({ ...fs, open: () => Effect.fail(invalid) }))
      )
      assert.isTrue(Option.isNone(yield* blobs.get("0".repeat(64))))
    }).pipe(Effect.provide(NodeContext.layer)))
})
