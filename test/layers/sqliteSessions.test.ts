// @effect-diagnostics nodeBuiltinImport:off
/** Listing sessions of which some are damaged: the error names those, and the list contains the others. */
import { assert, describe, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as CoreExecutorEcho from "../../layers/CoreExecutorEcho.js"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import * as RuntimeStoreMemory from "../../layers/RuntimeStoreMemory.js"
import * as RuntimeStoreSqlite from "../../layers/RuntimeStoreSqlite.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import { RuntimeStore, type SessionFilter } from "../../services/RuntimeStore.js"
import { SessionId } from "../../src/domain/Ids.js"
import { StoreCorrupt } from "../../src/domain/StoreErrors.js"
import * as C from "../support/commits.js"

const names = ["a", "b", "c", "d"]

const edit = (filename: string, ...statements: ReadonlyArray<string>) =>
  Effect.sync(() => {
    const db = new Sqlite(filename)
    db.pragma("ignore_check_constraints = ON")
    for (const sql of statements) assert.isAbove(db.prepare(sql).run().changes, 0)
    db.close()
  })

/** Creates sessions with one open input each, then edits their file. */
const damaged = (...statements: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const filename = join(fs.mkdtempSync(join(tmpdir(), "meerkat-sessions-")), "s.db")
    const put = (name: string) =>
      Effect.flatMap(
        C.open(SessionId.make(name)),
        ({ at }) => C.commit(at, { inputs: [C.insert(C.recordOf(0))] })
      )
    yield* Effect.provide(Effect.forEach(names, put), RuntimeStoreSqlite.layer({ filename }))
    yield* edit(filename, ...statements)
    return filename
  })

/** Returns the listed sessions and the error of the list. */
const listed = (filename: string, filter: SessionFilter = {}) =>
  Effect.gen(function*() {
    const store = yield* RuntimeStore
    const found: Array<string> = []
    const error = yield* Effect.flip(
      Stream.runForEach(store.sessions(filter), ({ sessionId }) => Effect.sync(() => found.push(sessionId)))
    )
    return { found: found.join(), error }
  }).pipe(Effect.provide(RuntimeStoreSqlite.layer({ filename })))

describe("a list of sessions", () => {
  it.live("contains every readable session and fails with the names of the others", () =>
    Effect.gen(function*() {
      const filename = yield* damaged(
        "UPDATE runtime SET updated_at = updated_at + 1 WHERE session_id = 'a'",
        "UPDATE runtime SET open_inputs = 7 WHERE session_id = 'c'"
      )
      const { error, found } = yield* listed(filename)
      assert.strictEqual(found, "b,d")
      assert.deepInclude(error, { _tag: "StoreCorrupt", table: "runtime", key: "rt:session:a, rt:session:c" })
      assert.match(error.message, /rt:session:a: .*sum.*rt:session:c: /)
    }))

  it.live("names a session with an invalid state and a session with lost inputs, whatever the filter", () =>
    Effect.gen(function*() {
      const filename = yield* damaged(
        "UPDATE runtime SET lifecycle = 'idlf' WHERE session_id = 'a'",
        "DELETE FROM input_open WHERE key = (SELECT max(key) FROM input_open)"
      )
      for (const filter of [{}, { pendingOnly: true }, { dueOnly: true, lifecycle: ["idle" as const] }]) {
        const { error, found } = yield* listed(filename, filter)
        assert.strictEqual(found, "b,c")
        assert.deepInclude(error, { _tag: "StoreCorrupt", key: "rt:session:a, rt:session:d" })
      }
    }))
})

describe("layerResuming", () => {
  it.live("attaches the sessions beside a damaged one", () =>
    Effect.gen(function*() {
      const filename = yield* damaged("UPDATE runtime SET updated_at = updated_at + 1 WHERE session_id = 'a'")
      const resuming = MeerkatMachineLive.layerResuming({ executorFor: () => Effect.succeed(CoreExecutorEcho.make) })
      const there = yield* Effect.flatMap(
        MeerkatMachine,
        (machine) => Effect.filter(names, (name) => machine.sessionHasExecutor(SessionId.make(name)))
      ).pipe(Effect.provide(Layer.provide(resuming, RuntimeStoreSqlite.layer({ filename }))))
      assert.deepStrictEqual(there, ["b", "c", "d"])
    }))

  it.live("fails to build when the store cannot tell which sessions are missing", () =>
    Effect.gen(function*() {
      const lost = new StoreCorrupt({ table: "runtime", key: "", detail: "4 rows, 3 in their index" })
      const store = Layer.map(RuntimeStoreMemory.layer, (context) =>
        Context.make(RuntimeStore, {
          ...Context.get(context, RuntimeStore),
          sessions: () => Stream.fail(lost)
        }))
      const resuming = MeerkatMachineLive.layerResuming({ executorFor: () => Effect.succeed(CoreExecutorEcho.make) })
      const error = yield* Effect.flip(Layer.build(Layer.provide(resuming, store)))
      assert.include(error.message, "in their index")
    }).pipe(Effect.scoped))
})
