/** Opening store files: new, empty, foreign and refused ones; and the exact size limit of a commit. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as FileSystem from "@effect/platform/FileSystem"
import { assert, describe, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { storedCeiling } from "../../layers/internal/storeMember.js"
import * as RuntimeStoreSqlite from "../../layers/RuntimeStoreSqlite.js"
import * as C from "../support/commits.js"

/** Opens a store and closes it again. */
const opened = (filename: string) => Effect.scoped(Layer.build(RuntimeStoreSqlite.layer({ filename })))

const inFolder = <A, E>(test: (folder: string, fs: FileSystem.FileSystem) => Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    return yield* test(yield* fs.makeTempDirectoryScoped(), fs)
  }).pipe(Effect.provide(NodeFileSystem.layer))

describe("opening a file", () => {
  it.scopedLive("makes a new store of an empty file and leaves the lock file beside it", () =>
    inFolder((folder, fs) =>
      Effect.gen(function*() {
        yield* fs.writeFile(`${folder}/s.db`, new Uint8Array())
        yield* opened(`${folder}/s.db`)
        yield* opened(`${folder}/s.db`)
        // The lock file stays, since a waiting process has this very file open.
        assert.isTrue(yield* fs.exists(`${folder}/s.db.lock`))
      })
    ))

  it.scopedLive("makes a new store of an empty database", () =>
    inFolder((folder) =>
      Effect.gen(function*() {
        const other = new Sqlite(`${folder}/s.db`)
        other.exec("CREATE TABLE t (a); DROP TABLE t")
        other.close()
        yield* opened(`${folder}/s.db`)
      })
    ))

  it.scopedLive("removes the lock file when the store is refused after the lock was taken", () =>
    inFolder((folder, fs) =>
      Effect.gen(function*() {
        const [filename, copy] = [`${folder}/s.db`, `${folder}/copy.db`]
        yield* opened(filename)
        yield* fs.copyFile(filename, copy)
        yield* Effect.provide(C.open(C.sessionId()), RuntimeStoreSqlite.layer({ filename }))
        yield* fs.copyFile(`${filename}.anchor`, `${copy}.anchor`)
        const before = yield* fs.readDirectory(folder)
        assert.strictEqual((yield* Effect.flip(opened(copy)))._tag, "StoreRegressed")
        assert.deepStrictEqual((yield* fs.readDirectory(folder)).sort(), before.sort())
      })
    ))

  it.scopedLive("leaves no new file behind when the file is refused", () =>
    inFolder((folder, fs) =>
      Effect.gen(function*() {
        const filename = `${folder}/other.db`
        const other = new Sqlite(filename)
        other.exec("PRAGMA application_id = 5; CREATE TABLE t (a)")
        other.close()
        const before = yield* fs.readDirectory(folder)
        assert.strictEqual((yield* Effect.flip(opened(filename)))._tag, "SchemaUnsupported")
        assert.deepStrictEqual(yield* fs.readDirectory(folder), before)
      })
    ))
})

describe("the largest commit", () => {
  it.scopedLive("has exactly as many bytes as the ceiling of maxCommitBytes", () =>
    inFolder((folder) => {
      const record = C.recordOf(0)
      const ceiling = storedCeiling(1)
      const commit = (length: number) =>
        Effect.flatMap(C.open(C.sessionId()), ({ at }) => {
          // Another id of the same length.
          const { input, inputId } = C.recordOf(0)
          const words = input._tag === "Prompt" ? { ...input, text: "é".repeat(length) } : input
          return C.commit(at, { inputs: [C.insert({ ...record, inputId, input: words })] })
        }).pipe(Effect.provide(RuntimeStoreSqlite.layer({ filename: `${folder}/s.db`, maxCommitBytes: 1 })))
      return Effect.gen(function*() {
        const refused = yield* Effect.flip(commit(ceiling))
        assert.deepInclude(refused, { _tag: "CommitTooLarge", limit: ceiling })
        const excess = refused._tag === "CommitTooLarge" ? refused.bytes - ceiling : 0
        const most = ceiling - Math.ceil(excess / 2)
        yield* commit(most)
        const over = yield* Effect.flip(commit(most + 1))
        assert.isBelow(over._tag === "CommitTooLarge" ? over.bytes - ceiling : Number.NaN, 3)
      })
    }))
})
