// @effect-diagnostics nodeBuiltinImport:off
/** Faults of a store file that need neither a process nor damaged bytes. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import { assert, describe, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Batch from "../../layers/internal/sqlite/batch.js"
import * as Open from "../../layers/internal/sqlite/open.js"
import * as Quarantine from "../../layers/internal/sqlite/quarantine.js"
import * as Shapes from "../../layers/internal/sqlite/shapes.js"
import * as RuntimeStoreSqlite from "../../layers/RuntimeStoreSqlite.js"
import { RuntimeStore } from "../../services/RuntimeStore.js"
import { runtimeIdOf, SessionId } from "../../src/domain/Ids.js"
import { StoreBusy } from "../../src/domain/StoreErrors.js"
import * as C from "../support/commits.js"

const session = SessionId.make("child")
const runtimeId = runtimeIdOf(session)
const file = () => join(fs.mkdtempSync(join(tmpdir(), "meerkat-catalogue-")), "s.db")

const using = <A, E>(filename: string, self: Effect.Effect<A, E, RuntimeStore>) =>
  Effect.provide(self, RuntimeStoreSqlite.layer({ filename }))

/** Writes a batch of one opening, for which COMMIT is busy `times` times. */
const busyAtCommit = (times: number, patience: Duration.DurationInput) =>
  Effect.gen(function*() {
    const options = { filename: file(), acceptRegress: false, check: "never", maxFileBytes: undefined } as const
    const opened = yield* Open.open({ ...options, freshId: C.uuid() })
    const shapes = yield* Shapes.make(opened.writer)
    let left = times
    const writer: typeof opened.writer = {
      ...opened.writer,
      // Decided at run time, since the same effect is run again.
      run: (sql, params) =>
        Effect.suspend(() =>
          sql === "COMMIT" && left-- > 0
            ? Effect.fail(new StoreBusy({ operation: sql, waitedMs: 0 }))
            : opened.writer.run(sql, params)
        )
    }
    const batch = yield* Batch.make({ ...opened, writer }, Quarantine.make(), shapes, Duration.decode(patience))
    const commit = C.commitOf({ sessionId: session, runtimeId, incarnation: 1, basis: 0 })
    const write = Effect.zipRight(
      batch.begin((self) => self),
      batch.write([{ _tag: "Open", runtimeId, bytes: 0, decide: () => Either.right(commit) }])
    )
    const [first] = yield* write
    const rows = yield* opened.writer.all("SELECT revision FROM runtime")
    left = 0
    const [again] = yield* write
    return { first, rows: rows.map((row) => row["revision"]), again }
  }).pipe(Effect.scoped, Effect.provide([NodeFileSystem.layer, NodePath.layer]))

describe("a COMMIT that meets a busy file", () => {
  it.live("B3 is retried and applied once", () =>
    Effect.gen(function*() {
      const { again, first, rows } = yield* busyAtCommit(2, "30 seconds")
      assert.isTrue(first !== undefined && Exit.isSuccess(first), String(first))
      assert.deepStrictEqual(rows, [1])
      assert.isTrue(again !== undefined && Exit.isSuccess(again) && again.value.replayed, String(again))
    }))

  it.live("B3 is given up after its patience with nothing written, and the next commit works", () =>
    Effect.gen(function*() {
      const { again, first, rows } = yield* busyAtCommit(1_000_000, "100 millis")
      assert.isTrue(
        first !== undefined && Exit.isFailure(first) && String(first.cause).includes("StoreBusy"),
        String(first)
      )
      assert.deepStrictEqual(rows, [])
      assert.isTrue(again !== undefined && Exit.isSuccess(again) && !again.value.replayed, String(again))
    }))
})

/** Creates a store with one ended input. */
const written = Effect.gen(function*() {
  const filename = file()
  const done = C.recordOf(0, { key: "done" })
  yield* using(
    filename,
    Effect.gen(function*() {
      const { at } = yield* C.open(session)
      const next = yield* C.commit(at, { inputs: [C.insert(done)] })
      yield* C.commit(next, C.boundary(done, C.noBody))
    })
  )
  return { filename, done }
})

it.live("R7 a receipt that names an input it did not end is quarantined", () =>
  Effect.gen(function*() {
    const { done, filename } = yield* written
    const db = new Sqlite(filename)
    db.prepare("UPDATE ended SET doc = replace(doc, ?, ?)").run(
      `"contributingInputIds":["${done.inputId}"]`,
      `"contributingInputIds":["${C.inputId()}"]`
    )
    db.close()
    const [receipts, aside] = yield* using(
      filename,
      Effect.flatMap(RuntimeStore, (store) =>
        Effect.all([Stream.runCollect(store.receipts(runtimeId)), store.quarantined]))
    )
    assert.strictEqual(receipts.length, 0)
    assert.deepStrictEqual(
      aside.map(({ table }) =>
        table
      ),
      ["ended"]
    )
  }))

it.live("P6 an older copy in the place of a store is refused", () =>
  Effect.gen(function*() {
    const { filename } = yield* written
    const copy = file()
    fs.copyFileSync(filename, copy)
    yield* using(filename, Effect.flatMap(C.open(session), ({ at }) => C.commit(at, {})))
    const rows = (path: string) => {
      const db = new Sqlite(path, { readonly: true })
      const row = db.prepare("SELECT store_id, writer_token FROM store_meta").raw().get()
      db.close()
      return Array.isArray(row) ? row : []
    }
    const [theirs, ours] = [rows(copy), rows(filename)]
    assert.strictEqual(theirs[0], ours[0])
    assert.notStrictEqual(theirs[1], ours[1])
    fs.copyFileSync(`${filename}.anchor`, `${copy}.anchor`)
    const exit = yield* Effect.exit(using(copy, Effect.void))
    assert.isTrue(Exit.isFailure(exit) && String(exit.cause).includes("StoreRegressed"), String(exit))
  }))
