// @effect-diagnostics nodeBuiltinImport:off
/** What a store caches of its file: statements, shape numbers, heads, and an open transaction. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import { assert, describe, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import type * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Batch from "../../layers/internal/sqlite/batch.js"
import * as Database from "../../layers/internal/sqlite/database.js"
import { encode, type Encoded } from "../../layers/internal/sqlite/encode.js"
import * as Open from "../../layers/internal/sqlite/open.js"
import * as Quarantine from "../../layers/internal/sqlite/quarantine.js"
import * as Shapes from "../../layers/internal/sqlite/shapes.js"
import type { Member } from "../../layers/internal/storeMember.js"
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
  it.scopedLive("counts its changes when its first preparation failed because the file was busy", () =>
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
  it.live("is unused, also when the file lost a shape in between", () =>
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

describe("the heads of sessions", () => {
  /** Writes batches. Returns the new revision of each member, or the tag of its error. */
  const writing = (heads: Batch.Heads) =>
    Effect.gen(function*() {
      const options = { acceptRegress: false, check: "never", maxFileBytes: undefined } as const
      const file = yield* Open.open({ ...options, filename: path(), freshId: C.uuid() })
      const shapes = yield* Shapes.make(file.writer)
      const batch = yield* Batch.make(file, Quarantine.make(), shapes, Duration.millis(10), heads)
      const commit = (name: string, basis: number): Member<Encoded> => {
        const at = cursor(name, basis)
        const commit = C.commitOf(at)
        return { _tag: "Commit", runtimeId: at.runtimeId, commit, ...encode(shapes)(commit) }
      }
      const write = (members: ReadonlyArray<Member<Encoded>>) =>
        batch.begin((self) => self).pipe(
          Effect.zipRight(batch.write(members)),
          Effect.map((answers) => answers.map(Exit.match({ onSuccess: ({ revision }) => revision, onFailure: tagOf })))
        )
      return { commit, write }
    })

  const tagOf = (cause: Cause.Cause<{ readonly _tag: string }>) => cause._tag === "Fail" ? cause.error._tag : cause._tag

  const cursor = (name: string, basis: number): C.Cursor => {
    const sessionId = SessionId.make(name)
    return { sessionId, runtimeId: runtimeIdOf(sessionId), incarnation: 1, basis }
  }

  const opening = (name: string): Member<Encoded> => {
    const at = cursor(name, 0)
    return { _tag: "Open", runtimeId: at.runtimeId, bytes: 0, decide: () => Either.right(C.commitOf(at)) }
  }

  // A session that ends without a write tells the store nothing. Thus the cache once held the heads of all sessions.
  it.scopedLive("are cached for the sessions written last, however many were opened", () =>
    Effect.gen(function*() {
      const heads = Batch.makeHeads(2)
      const { write } = yield* writing(heads)
      const names = Array.from({ length: 20 }, (_, n) => `s${n}`)
      assert.deepStrictEqual(yield* write(names.map(opening)), names.map(() => 1))
      assert.strictEqual(heads.size(), 2)
      for (const name of ["one", "two", "three"]) yield* write([opening(name)])
      assert.strictEqual(heads.size(), 2)
    }).pipe(Effect.provide([NodeFileSystem.layer, NodePath.layer])))

  it.scopedLive("are read again when they were evicted, also within a batch", () =>
    Effect.gen(function*() {
      const { commit, write } = yield* writing(Batch.makeHeads(2))
      const names = ["a", "b", "c", "d"]
      yield* write(names.map(opening))
      const twice = [...names.map((name) => commit(name, 1)), ...names.map((name) => commit(name, 2))]
      assert.deepStrictEqual(yield* write(twice), [2, 2, 2, 2, 3, 3, 3, 3])
      assert.deepStrictEqual(yield* write([commit("a", 3), commit("d", 2)]), [4, "RevisionConflict"])
      assert.deepStrictEqual(yield* write([commit("d", 3), commit("a", 4), commit("b", 3)]), [4, 5, 4])
    }).pipe(Effect.provide([NodeFileSystem.layer, NodePath.layer])))
})

describe("an opening whose plan cannot be serialised", () => {
  it.live("dies alone, and the store stays usable", () =>
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
