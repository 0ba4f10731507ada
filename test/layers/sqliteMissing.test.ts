// @effect-diagnostics nodeBuiltinImport:off
/** Rows that are missing or misplaced. SQLite does not notice them, so the store must. */
import { assert, describe, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as RuntimeStoreSqlite from "../../layers/RuntimeStoreSqlite.js"
import { RuntimeStore } from "../../services/RuntimeStore.js"
import { OperationId, runtimeIdOf, SessionId } from "../../src/domain/Ids.js"
import * as C from "../support/commits.js"

const session = SessionId.make("child")
const runtimeId = runtimeIdOf(session)
const done = C.recordOf(0, { key: "done" })
const open = C.recordOf(1, { key: "open" })

const using = <A, E>(
  filename: string,
  self: Effect.Effect<A, E, RuntimeStore>,
  options: Partial<RuntimeStoreSqlite.SqliteOptions> = {}
) => Effect.provide(self, RuntimeStoreSqlite.layer({ ...options, filename }))

/** Creates a store with an ended input, an open input, an operation and a slice. */
const written = Effect.gen(function*() {
  const filename = join(fs.mkdtempSync(join(tmpdir(), "meerkat-missing-")), "s.db")
  yield* using(
    filename,
    Effect.gen(function*() {
      const { at } = yield* C.open(session, { slices: [{ name: "silentIntents", value: ["a"] }] })
      const next = yield* C.commit(at, { inputs: [C.insert(done), C.insert(open)] })
      const after = yield* C.commit(next, C.boundary(done, C.noBody))
      const spec = {
        id: OperationId.make(C.uuid()),
        kind: "background_tool_op",
        owner: "external",
        displayName: "build",
        sourceLabel: "ci",
        expectPeerChannel: false
      } as const
      yield* C.commit(after, {
        operations: [{ spec, status: "running", peerReady: false, progressCount: 0, createdAt: 1 }]
      })
    })
  )
  return filename
})

const edit = (filename: string, sql: string) =>
  Effect.sync(() => {
    const db = new Sqlite(filename)
    db.pragma("foreign_keys = OFF")
    db.exec(sql)
    db.close()
  })

/** Returns the error tag of a read after the file was edited. */
const tagAfter = <A, E extends { readonly _tag: string }>(
  sql: string,
  read: (store: RuntimeStore["Type"]) => Effect.Effect<A, E>
) =>
  Effect.gen(function*() {
    const filename = yield* written
    const ask = using(filename, Effect.flatMap(RuntimeStore, (store) => Effect.exit(read(store))))
    const before = yield* ask
    assert.isTrue(Exit.isSuccess(before), String(before))
    yield* edit(filename, sql)
    const exit = yield* ask
    return Exit.isFailure(exit) && exit.cause._tag === "Fail" ? exit.cause.error._tag : String(exit)
  })

describe("rows that went missing", () => {
  for (const table of ["input_open", "operation", "slice"]) {
    it.live(`R2 of ${table} are reported as corrupt in the image`, () =>
      Effect.gen(function*() {
        const filename = yield* written
        assert.deepStrictEqual((yield* using(filename, C.imageOf(session))).corrupt, [])
        yield* edit(filename, `DELETE FROM ${table}`)
        const { corrupt } = yield* using(filename, C.imageOf(session))
        assert.deepStrictEqual(corrupt.map((row) => row.table), [table])
      }))
  }

  it.live("R2 of a shape that inputs refer to are reported as corrupt", () =>
    Effect.gen(function*() {
      const filename = yield* written
      yield* edit(filename, "UPDATE shape SET id = id + 1000")
      const { corrupt } = yield* using(filename, C.imageOf(session))
      assert.deepStrictEqual(corrupt.map((row) => row.table), ["input_open"])
    }))

  const lists: ReadonlyArray<
    readonly [string, string, (store: RuntimeStore["Type"]) => Effect.Effect<unknown, { readonly _tag: string }>]
  > = [
    ["open inputs", "DELETE FROM input_open", (store) => Stream.runCollect(store.inputs(runtimeId))],
    ["ended inputs", "DELETE FROM ended", (store) => Stream.runCollect(store.inputs(runtimeId))],
    ["receipts", "DELETE FROM ended", (store) => Stream.runCollect(store.receipts(runtimeId))],
    ["messages", "DELETE FROM message", (store) => Stream.runCollect(store.history(runtimeId))],
    ["operations", "DELETE FROM operation", (store) => Stream.runCollect(store.operations(runtimeId))],
    ["the end of an input", "DELETE FROM ended", (store) => store.terminalInput(runtimeId, done.inputId)],
    ["the sessions' inputs", "DELETE FROM input_open", (store) => Stream.runCollect(store.sessions())],
    ["a session's inputs", "DELETE FROM input_open", (store) => store.session(runtimeId)]
  ]
  for (const [what, sql, read] of lists) {
    it.live(`T4 ${what}: the read fails with StoreCorrupt`, () =>
      Effect.gen(function*() {
        assert.strictEqual(yield* tagAfter(sql, read), "StoreCorrupt")
      }))
  }
})

it.live("open inputs are listed without reading ended inputs", () =>
  Effect.gen(function*() {
    const filename = yield* written
    yield* edit(filename, "DELETE FROM ended")
    const open = Effect.flatMap(
      RuntimeStore,
      (store) => Stream.runCollect(store.inputs(runtimeId, { openOnly: true }))
    )
    assert.deepStrictEqual(Array.from(yield* using(filename, open), ({ phase }) => phase), ["queued"])
  }))

describe("rows whose key was changed", () => {
  it.live("R2 an operation under a changed id is reported as corrupt and never returned", () =>
    Effect.gen(function*() {
      const filename = yield* written
      const other = C.uuid()
      yield* edit(filename, `UPDATE operation SET operation_id = '${other}'`)
      const { corrupt, operations } = yield* using(filename, C.imageOf(session))
      assert.deepStrictEqual([corrupt.map((row) => row.table), operations], [["operation"], []])
      const asked = Effect.flatMap(RuntimeStore, (store) => store.operation(runtimeId, OperationId.make(other)))
      assert.strictEqual((yield* Effect.flip(using(filename, asked)))._tag, "StoreCorrupt")
    }))

  it.live("R1 a deduplication key with a changed row is not taken for a new one", () =>
    Effect.gen(function*() {
      const find = (store: RuntimeStore["Type"]) => store.findKey(runtimeId, "done")
      assert.strictEqual(yield* tagAfter("UPDATE dedup_key SET key = 'dome' WHERE key = 'done'", find), "StoreCorrupt")
      assert.strictEqual(yield* tagAfter("UPDATE known SET ended = NULL", find), "StoreCorrupt")
    }))

  it.live("R1 an input with a changed id is not taken for an unknown one", () =>
    Effect.gen(function*() {
      const find = (store: RuntimeStore["Type"]) => store.terminalInput(runtimeId, done.inputId)
      // The row keeps its place, as a row with a flipped bit does.
      const sql = `UPDATE known SET id = id || '0' WHERE id = '${done.inputId}'`
      assert.strictEqual(yield* tagAfter(sql, find), "StoreCorrupt")
    }))

  it.live("T4 a session: it is not taken for a new one", () =>
    Effect.gen(function*() {
      const filename = yield* written
      const bytes = fs.readFileSync(filename)
      const index = new Sqlite(filename)
      const root = index.prepare("SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_autoindex_runtime_1'").pluck()
        .get()
      index.close()
      bytes.write("chile", bytes.indexOf("rt:session:child", (Number(root) - 1) * 512) + "rt:session:".length)
      fs.writeFileSync(filename, bytes)
      const exit = yield* Effect.exit(using(filename, C.open(session)))
      assert.isTrue(Exit.isFailure(exit) && String(exit.cause).includes("the index names"), String(exit))
      const read = Effect.flatMap(RuntimeStore, (store) => Stream.runCollect(store.inputs(runtimeId)))
      assert.strictEqual((yield* Effect.flip(using(filename, read)))._tag, "StoreCorrupt")
      const found = Effect.flatMap(RuntimeStore, (store) => store.session(runtimeId))
      assert.strictEqual((yield* Effect.flip(using(filename, found)))._tag, "StoreCorrupt")
    }))
})

describe("misplaced pages", () => {
  it.live("T5 are found when the last holder did not close the file, and with every check that is asked for", () =>
    Effect.gen(function*() {
      const filename = yield* written
      yield* edit(filename, "UPDATE store_meta SET clean_shutdown = 0")
      const bytes = fs.readFileSync(filename)
      const roots = new Sqlite(filename)
      const rootOf = (name: string) =>
        Number(roots.prepare("SELECT rootpage FROM sqlite_schema WHERE name = ?").pluck().get(name)) - 1
      const [to, from] = [rootOf("message"), rootOf("ended")]
      roots.close()
      bytes.copy(bytes, to * 512, from * 512, (from + 1) * 512)
      fs.writeFileSync(filename, bytes)
      for (const check of ["afterCrash", "always"] as const) {
        const exit = yield* Effect.exit(using(filename, Effect.void, { check }))
        assert.isTrue(Exit.isFailure(exit) && Cause.isFailType(exit.cause), String(exit))
        assert.deepStrictEqual(fs.readFileSync(filename), bytes)
      }
      yield* using(filename, Effect.void, { check: "never" })
    }))
})
