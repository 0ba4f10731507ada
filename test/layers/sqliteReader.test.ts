// @effect-diagnostics nodeBuiltinImport:off
/** Reading a store: beside the process that holds it, without leaving traces, and in folders that cannot be written. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as FileSystem from "@effect/platform/FileSystem"
import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Attach from "../../layers/internal/sqlite/attach.js"
import * as Quarantine from "../../layers/internal/sqlite/quarantine.js"
import * as Reads from "../../layers/internal/sqlite/reads.js"
import * as RuntimeStoreReaderSqlite from "../../layers/RuntimeStoreReaderSqlite.js"
import * as RuntimeStoreSqlite from "../../layers/RuntimeStoreSqlite.js"
import { RuntimeStore } from "../../services/RuntimeStore.js"
import { RuntimeStoreReader } from "../../services/RuntimeStoreReader.js"
import { runtimeIdOf, SessionId } from "../../src/domain/Ids.js"
import * as C from "../support/commits.js"

const session = SessionId.make("child")

const file = () => join(fs.mkdtempSync(join(tmpdir(), "meerkat-reader-")), "s.db")

const inputs = Effect.flatMap(
  RuntimeStoreReader,
  (reader) => Effect.map(Stream.runCollect(reader.inputs(runtimeIdOf(session))), Chunk.size)
)

const reading = <A, E, R>(filename: string, self: Effect.Effect<A, E, R>) =>
  Effect.provide(self, RuntimeStoreReaderSqlite.layer({ filename }))

const written = (filename: string) =>
  C.open(session).pipe(
    Effect.flatMap(({ at }) => C.commit(at, { inputs: [C.insert(C.recordOf(0))] })),
    Effect.provide(RuntimeStoreSqlite.layer({ filename }))
  )

/** A process that holds the store, after it committed three inputs. */
const holder = (filename: string) =>
  Effect.acquireRelease(
    Effect.async<ReturnType<typeof spawn>, string>((resume) => {
      const script = new URL("../support/storeChild.ts", import.meta.url).pathname
      const child = spawn(process.execPath, ["--import", "tsx", script, filename, "3", "0"])
      child.stdout.on("data", (data: Buffer) =>
        resume(data.toString().startsWith("ready") ? Effect.succeed(child) : Effect.fail(data.toString())))
      child.on("exit", (code) =>
        resume(Effect.fail(`ended with ${String(code)}`)))
    }),
    (child) =>
      Effect.sync(() => child.kill("SIGKILL"))
  )

describe("a reader", () => {
  it.scopedLive("P5 works beside the process that holds the store, also while that process is stopped", () =>
    Effect.gen(function*() {
      const filename = file()
      const child = yield* holder(filename)
      const names = fs.readdirSync(join(filename, "..")).sort()
      assert.strictEqual(yield* reading(filename, inputs), 3)
      child.kill("SIGSTOP")
      assert.strictEqual(yield* reading(filename, inputs), 3)
      child.kill("SIGCONT")
      assert.deepStrictEqual(fs.readdirSync(join(filename, "..")).sort(), names)
    }))

  it.live("P5 sees the commits of its own process and drops none of its locks", () =>
    Effect.gen(function*() {
      const filename = file()
      const read = reading(
        filename,
        Effect.gen(function*() {
          const { at } = yield* C.open(session)
          assert.strictEqual(yield* inputs, 0)
          yield* C.commit(at, { inputs: [C.insert(C.recordOf(0))] })
          return yield* inputs
        })
      )
      const both = Effect.gen(function*() {
        yield* C.open(SessionId.make("other"))
        assert.strictEqual(yield* read, 1)
        return yield* Effect.flip(Effect.provide(Effect.void, RuntimeStoreSqlite.layer({ filename })))
      })
      const error = yield* Effect.provide(both, RuntimeStoreSqlite.layer({ filename }))
      assert.strictEqual(error._tag, "StoreLocked")
    }))

  it.live("finds one session without scanning the others", () =>
    Effect.gen(function*() {
      const filename = file()
      yield* written(filename)
      const { database } = yield* Attach.attach(filename)
      const plans: Array<string> = []
      const all: typeof database.all = (sql, params) =>
        Effect.zipRight(
          Effect.map(database.all(`EXPLAIN QUERY PLAN ${sql}`, params), (rows) => {
            for (const row of rows) plans.push(String(row["detail"]))
          }),
          database.all(sql, params)
        )
      const reads = Reads.make({ ...database, all }, Quarantine.make())
      assert.isTrue(Option.isSome(yield* reads.session(runtimeIdOf(session))))
      assert.isTrue(Option.isNone(yield* reads.session(runtimeIdOf(SessionId.make("chil")))))
      assert.isNotEmpty(plans)
      assert.deepStrictEqual(plans.filter((step) => /SCAN (?!j|n|CONSTANT)/.test(step)), [])
    }).pipe(Effect.scoped, Effect.provide([NodeFileSystem.layer, NodePath.layer])))

  it.live("returns none, not an error, when an input is evicted while its end is read", () => {
    const filename = file()
    return Effect.gen(function*() {
      for (const many of [1, 40]) {
        const run = C.runId()
        const records = Array.from({ length: many }, (_, seq) => C.recordOf(seq))
        const [first = C.recordOf(0)] = records
        const { at } = yield* C.open(SessionId.make(`of ${many}`))
        const put = yield* C.commit(at, { inputs: records.map(C.insert) })
        const ended = yield* C.commit(put, {
          ...C.boundary(first, C.noBody, "Paris.", run),
          inputs: records.map((record) => ({ _tag: "Terminal" as const, row: C.terminalOf(record, run) }))
        })
        const { database } = yield* Attach.attach(filename)
        const store = yield* RuntimeStore
        let isForgotten = false
        const forget = Effect.suspend(() => {
          if (isForgotten) return Effect.void
          isForgotten = true
          return Effect.ignore(C.commit(ended, { retainTerminal: 0 }))
        }).pipe(Effect.provideService(RuntimeStore, store))
        const all: typeof database.all = (sql, params) => Effect.zipLeft(database.all(sql, params), forget)
        const reads = Reads.make({ ...database, all }, Quarantine.make())
        const last = records[many - 1]?.inputId ?? first.inputId
        const read = yield* reads.terminalInput(at.runtimeId, last)
        assert.isTrue(Option.isNone(read) || read.value.outcome._tag === "Completed", String(many))
        assert.isTrue(isForgotten)
        assert.isTrue(Option.isNone(yield* reads.terminalInput(at.runtimeId, last)))
      }
    }).pipe(
      Effect.scoped,
      Effect.provide([NodeFileSystem.layer, NodePath.layer]),
      Effect.provide(RuntimeStoreSqlite.layer({ filename }))
    )
  })

  it.live("leaves the folder of a closed store unchanged", () =>
    Effect.gen(function*() {
      const filename = file()
      yield* written(filename)
      const before = fs.readdirSync(join(filename, "..")).sort()
      assert.strictEqual(yield* reading(filename, Effect.map(RuntimeStoreReader, ({ source }) => source)), "store")
      assert.strictEqual(yield* reading(filename, inputs), 1)
      assert.deepStrictEqual(fs.readdirSync(join(filename, "..")).sort(), before)
    }))

  it.live("creates no file where there is no store", () =>
    Effect.gen(function*() {
      const filename = file()
      assert.strictEqual((yield* Effect.flip(reading(filename, inputs)))._tag, "StoreUnavailable")
      assert.deepStrictEqual(fs.readdirSync(join(filename, "..")), [])
      fs.writeFileSync(filename, "")
      assert.strictEqual((yield* Effect.flip(reading(filename, inputs)))._tag, "StoreUnavailable")
    }))
})

/**
 * Puts a dangling link where the shared memory of the log belongs. The link is not followed, so that memory cannot be
 * created.
 */
const unshareable = (filename: string) => fs.symlinkSync("elsewhere", `${filename}-shm`)

describe("a store whose readers cannot share memory", () => {
  it.live("is copied, with its log", () =>
    Effect.gen(function*() {
      const filename = file()
      yield* written(filename)
      unshareable(filename)
      const [source, count] = yield* reading(
        filename,
        Effect.all([Effect.map(RuntimeStoreReader, (reader) => reader.source), inputs])
      )
      assert.deepStrictEqual([source, count], ["copy", 1])
    }))

  it.live("is copied again when it changed during the copy, and nothing of the first copy remains", () =>
    Effect.gen(function*() {
      const live = file()
      const filename = file()
      yield* Effect.gen(function*() {
        const { at } = yield* C.open(session)
        const next = yield* C.commit(at, { inputs: [C.insert(C.recordOf(0))] })
        // A file as a killed holder leaves it.
        for (const suffix of ["", "-wal"]) fs.copyFileSync(live + suffix, filename + suffix)
        yield* C.commit(next, { inputs: [C.insert(C.recordOf(1)), C.insert(C.recordOf(2))] })
      }).pipe(Effect.provide(RuntimeStoreSqlite.layer({ filename: live })))
      assert.isAbove(fs.statSync(`${filename}-wal`).size, 0)
      assert.isFalse(fs.existsSync(`${live}-wal`))
      unshareable(filename)
      let copies = 0
      const changing = Layer.effect(
        FileSystem.FileSystem,
        Effect.map(FileSystem.FileSystem, (inner) =>
          FileSystem.FileSystem.of({
            ...inner,
            copyFile: (from, to) =>
              Effect.tap(inner.copyFile(from, to), () =>
                Effect.sync(() => {
                  if (!from.endsWith("-wal") || copies++ > 0) return
                  fs.copyFileSync(live, filename)
                  fs.rmSync(`${filename}-wal`)
                }))
          }))
      ).pipe(Layer.provideMerge(Layer.merge(NodeFileSystem.layer, NodePath.layer)))
      const { found, source } = yield* Effect.gen(function*() {
        const attached = yield* Attach.attach(filename)
        const rows = yield* attached.database.all("SELECT count(*) AS n FROM input_open")
        return { source: attached.source, found: rows[0]?.["n"] }
      }).pipe(Effect.scoped, Effect.provide(changing))
      assert.deepStrictEqual([source, found, copies], ["copy", 3, 1])
    }))
})
