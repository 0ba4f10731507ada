// @effect-diagnostics nodeBuiltinImport:off
/** A store whose files lose their names while it is open, and a store opened again after an I/O error. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Connections from "../../layers/internal/sqlite/connections.js"
import * as RuntimeStoreSqlite from "../../layers/RuntimeStoreSqlite.js"
import { RuntimeStore } from "../../services/RuntimeStore.js"
import { runtimeIdOf, SessionId } from "../../src/domain/Ids.js"
import { StoreIo, StoreLost } from "../../src/domain/StoreErrors.js"
import * as C from "../support/commits.js"

const child = SessionId.make("child")

/** A store in `<dir>/in/s.db`, open, with one acknowledged input. */
const opened = Effect.gen(function*() {
  const dir = fs.realpathSync(fs.mkdtempSync(join(tmpdir(), "meerkat-lost-")))
  fs.mkdirSync(join(dir, "in"))
  const filename = join(dir, "in", "s.db")
  const scope = yield* Scope.make()
  const context = yield* Layer.buildWithScope(RuntimeStoreSqlite.layer({ filename }), scope)
  const store = yield* Effect.provide(RuntimeStore, context)
  const { at } = yield* Effect.provideService(C.open(child), RuntimeStore, store)
  yield* store.commit(C.commitOf(at, { inputs: [C.insert(C.recordOf(0))] }))
  // the anchor is written beside the commits
  yield* Effect.sleep("5 millis").pipe(Effect.repeat({ until: () => fs.existsSync(`${filename}.anchor`) }))
  const second = store.commit(C.commitOf(C.next(at), { inputs: [C.insert(C.recordOf(1))] }))
  // by another process: this one must not open the files of the store
  const shell = (script: string) => Effect.sync(() => execFileSync("/bin/sh", ["-c", script], { cwd: dir }))
  return { dir, filename, store, second, shell, close: Scope.close(scope, Exit.void) }
})

const inputsOf = (filename: string) =>
  Effect.provide(
    Effect.map(C.imageOf(child), ({ inputs }) => inputs.length),
    RuntimeStoreSqlite.layer({ filename })
  )

const damages: ReadonlyArray<readonly [what: string, script: string, rescued: string]> = [
  ["the file is removed", "rm in/s.db", "in/s.db.rescued-1"],
  ["the file is renamed", "mv in/s.db in/t.db", "in/s.db.rescued-1"],
  ["everything is removed", "rm -f in/*", "in/s.db.rescued-1"],
  ["the log is removed", "rm in/s.db-wal", "in/s.db.rescued-1"],
  ["the log is replaced by a copy", "cp in/s.db-wal l; mv l in/s.db-wal", "in/s.db.rescued-1"],
  ["the file is replaced by a copy", "cp in/s.db c; mv c in/s.db", "in/s.db.rescued-1"],
  ["the file becomes a link to itself", "mv in/s.db in/t; ln -s t in/s.db", "in/s.db.rescued-1"],
  ["the file becomes a link elsewhere", "rm in/s.db; ln -s /dev/null in/s.db", "in/s.db.rescued-1"],
  ["the file becomes a folder", "rm in/s.db; mkdir in/s.db", "in/s.db.rescued-1"],
  ["the folder is renamed", "mv in out", "s.db.rescued-1"],
  ["the folder is removed", "rm -r in", "s.db.rescued-1"],
  ["the folder is made again", "rm -r in; mkdir in", "in/s.db.rescued-1"],
  ["rescued files lie there", "touch in/s.db.rescued-1 in/s.db.rescuing-2; rm in/s.db", "in/s.db.rescued-3"]
]

describe("a store whose files lose their names", () => {
  for (const [what, script, rescued] of damages) {
    it.live(`acknowledges nothing, saves everything and leaves no traces when ${what}`, () =>
      Effect.gen(function*() {
        const { close, dir, second, shell, store } = yield* opened
        yield* shell(script)
        const before = fs.readdirSync(dir, { recursive: true }).map(String)
        const error = yield* Effect.flip(second)
        assert.deepInclude(error, { _tag: "StoreLost", rescued: join(dir, rescued) })
        const reading = Stream.runCollect(store.inputs(runtimeIdOf(child)))
        assert.deepStrictEqual([yield* Effect.flip(second), yield* Effect.flip(reading)], [error, error])
        assert.strictEqual(yield* Effect.flip(store.lost), error)
        yield* close
        const after = fs.readdirSync(dir, { recursive: true }).map(String)
        const fresh = after.filter((name) => !before.includes(name) && !name.endsWith("-wal.lost"))
        assert.deepStrictEqual(fresh, [rescued])
        assert.strictEqual(yield* inputsOf(join(dir, rescued)), 2)
      }))
  }

  it.live("is saved when the close detects the loss", () =>
    Effect.gen(function*() {
      const { close, dir, filename, shell, store } = yield* opened
      yield* shell("rm in/s.db in/s.db.anchor")
      yield* close
      assert.deepInclude(yield* Effect.flip(store.lost), { _tag: "StoreLost", path: filename })
      assert.isFalse(fs.existsSync(`${filename}.anchor`))
      assert.strictEqual(yield* inputsOf(join(dir, "in", "s.db.rescued-1")), 1)
    }))

  it.live("reports why it could not be saved, and is saved at the close when a folder exists by then", () =>
    Effect.gen(function*() {
      const { close, dir, second, shell } = yield* opened
      // occupies every name that a rescue tries, in every folder that it tries
      const names = "for n in $(seq 1000); do echo $1/s.db.rescued-$n; done"
      yield* shell(`f() { ${names}; }; f in | xargs touch; f . | xargs touch; rm in/s.db`)
      const parents = [join(dir, ".."), "/"].map((parent) => join(parent, "s.db.rescued-1"))
      const error = yield* Effect.flip(second)
      assert.strictEqual(error._tag, "StoreLost")
      yield* close
      const rescued = error._tag === "StoreLost" ? error.rescued : undefined
      assert.include(parents, rescued)
      if (rescued !== undefined) fs.rmSync(rescued)
    }))

  it.live("continues when its file is put back under the old name", () =>
    Effect.gen(function*() {
      const { close, filename, second, shell } = yield* opened
      yield* shell("mv in/s.db in/t.db; mv in/t.db in/s.db")
      yield* second
      yield* close
      assert.strictEqual(yield* inputsOf(filename), 2)
    }))

  it.live("neither names nor removes the holder when another store took its place", () =>
    Effect.gen(function*() {
      const { close, dir, filename, second, shell } = yield* opened
      yield* shell("mv in out; mkdir in")
      const other = yield* Scope.make()
      yield* Layer.buildWithScope(RuntimeStoreSqlite.layer({ filename }), other)
      const holder = fs.readFileSync(`${filename}.lock.json`, "utf8")
      assert.strictEqual((yield* Effect.flip(second))._tag, "StoreLost")
      yield* close
      assert.strictEqual(fs.readFileSync(`${filename}.lock.json`, "utf8"), holder)
      yield* Scope.close(other, Exit.void)
      assert.strictEqual(yield* inputsOf(join(dir, "in", "s.db.rescued-1")), 2)
    }))
})

describe("connections that are opened again", () => {
  const failing = () => {
    const fault = new StoreIo({ operation: "open", code: "SQLITE_IOERR", detail: "the medium failed" })
    let failures = 0
    const configure = () => failures-- > 0 ? Effect.fail(fault) : Effect.void
    return { configure, fail: (times: number) => void (failures = times) }
  }

  const connected = Effect.gen(function*() {
    const dir = fs.realpathSync(fs.mkdtempSync(join(tmpdir(), "meerkat-again-")))
    const { configure, fail } = failing()
    const filename = join(dir, "s.db")
    const files = yield* Connections.make(filename, configure)
    yield* files.writer.once("PRAGMA journal_mode = WAL")
    yield* files.writer.once("CREATE TABLE store_meta (writer_token)")
    yield* files.trustLog
    yield* files.openReader
    return { dir, filename, files, fail }
  })

  it.scopedLive("fail typed until the medium works, then answer again", () =>
    Effect.gen(function*() {
      const { fail, files } = yield* connected
      const read = Effect.suspend(() => files.reader.all("SELECT * FROM store_meta"))
      fail(2)
      assert.strictEqual((yield* Effect.flip(files.reopen))._tag, "StoreIo")
      assert.strictEqual((yield* Effect.flip(read))._tag, "StoreIo")
      assert.deepStrictEqual(yield* read, [])
      yield* files.writer.run("INSERT INTO store_meta VALUES (1)")
      yield* files.verify
      yield* files.atClose
    }).pipe(Effect.provide(NodeFileSystem.layer)))

  it.scopedLive("are not opened on another file", () =>
    Effect.gen(function*() {
      const { fail, filename, files } = yield* connected
      fail(1)
      yield* Effect.flip(files.reopen)
      fs.renameSync(filename, `${filename}.moved`)
      fs.writeFileSync(filename, "")
      const error = yield* Effect.flip(files.reader.all("SELECT 1"))
      assert.isTrue(error instanceof StoreLost && error.rescued === undefined, String(error))
      assert.strictEqual(fs.statSync(filename).size, 0)
    }).pipe(Effect.provide(NodeFileSystem.layer)))

  it.scopedLive("are rescued before they are closed when the file has lost its name", () =>
    Effect.gen(function*() {
      const { dir, filename, files } = yield* connected
      fs.rmSync(filename)
      const error = yield* Effect.flip(files.reopen)
      assert.deepInclude(error, { _tag: "StoreLost", rescued: join(dir, "s.db.rescued-1") })
    }).pipe(Effect.provide(NodeFileSystem.layer)))
})
