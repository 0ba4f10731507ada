// @effect-diagnostics nodeBuiltinImport:off
/** What a store keeps in memory of its file: statements, numbers, a transaction that is open. */
import { assert, describe, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Database from "../../layers/internal/sqlite/database.js"
import * as RuntimeStoreSqlite from "../../layers/RuntimeStoreSqlite.js"
import { RuntimeStore } from "../../services/RuntimeStore.js"
import { runtimeIdOf, SessionId } from "../../src/domain/Ids.js"
import type { Json } from "../../src/domain/Json.js"
import * as C from "../support/commits.js"

const child = SessionId.make("child")
const path = () => join(fs.mkdtempSync(join(tmpdir(), "meerkat-memory-")), "s.db")

const using = <A, E>(filename: string, self: Effect.Effect<A, E, RuntimeStore>) =>
  Effect.provide(self, RuntimeStoreSqlite.layer({ filename }))

describe("a statement", () => {
  it.scopedLive("that could not be prepared while the file was busy counts what it changes afterwards", () =>
    Effect.gen(function*() {
      const filename = path()
      const other = new Sqlite(filename)
      other.exec("CREATE TABLE t (a); INSERT INTO t VALUES (1), (2)")
      const db = yield* Database.open(filename, { readonly: false })
      other.exec("BEGIN EXCLUSIVE")
      assert.strictEqual((yield* Effect.flip(db.run("UPDATE t SET a = a + 1")))._tag, "StoreBusy")
      other.exec("COMMIT")
      other.close()
      assert.strictEqual(yield* db.run("UPDATE t SET a = a + 1"), 2)
      assert.strictEqual(yield* db.run("UPDATE t SET a = a + 1 WHERE a > 2"), 1)
    }))
})

describe("the number of a shape", () => {
  it.live("is a new one, also when the file lost one in between", () =>
    Effect.gen(function*() {
      const filename = path()
      yield* using(filename, C.open(child))
      const other = new Sqlite(filename)
      other.exec("INSERT INTO shape VALUES (1, 'one'), (3, 'three')")
      other.close()
      yield* using(
        filename,
        Effect.flatMap(C.open(child), ({ at }) => C.commit(at, { inputs: [C.insert(C.recordOf(0))] }))
      )
      const { corrupt, inputs } = yield* using(filename, C.imageOf(child))
      assert.deepStrictEqual([corrupt, inputs.length], [[], 1])
    }))
})

describe("an opening whose plan cannot be written down", () => {
  it.live("dies alone: the store goes on", () =>
    using(
      path(),
      Effect.gen(function*() {
        const store = yield* RuntimeStore
        const broken = SessionId.make("broken")
        const endless: Array<Json> = []
        endless.push(endless)
        const answers = yield* Effect.all([
          Effect.either(Effect.sandbox(store.openRuntime(runtimeIdOf(broken), (image) => {
            const at = { sessionId: broken, runtimeId: runtimeIdOf(broken), incarnation: 1, basis: image.revision }
            const slices = [{ name: "silentIntents", value: endless }]
            return Either.right({ commit: C.commitOf(at, { slices }), value: null })
          }))),
          Effect.either(Effect.sandbox(C.open(child)))
        ], { concurrency: "unbounded" })
        assert.deepStrictEqual(answers.map(({ _tag }) => _tag), ["Left", "Right"])
        yield* C.open(SessionId.make("another"))
      })
    ))
})
