// @effect-diagnostics nodeBuiltinImport:off
/** Looking into a store: beside its holder, without leaving traces, and where nothing may be written. */
import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as RuntimeStoreReaderSqlite from "../../layers/RuntimeStoreReaderSqlite.js"
import * as RuntimeStoreSqlite from "../../layers/RuntimeStoreSqlite.js"
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

/** A process that holds the store, having committed three inputs. */
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
  it.scopedLive("P5 works beside the process that holds the store, stopped or not", () =>
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

  it.live("P5 sees what its own process commits meanwhile, and drops none of its locks", () =>
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

  it.live("leaves the folder of a closed store as it was", () =>
    Effect.gen(function*() {
      const filename = file()
      yield* written(filename)
      const before = fs.readdirSync(join(filename, "..")).sort()
      assert.strictEqual(yield* reading(filename, Effect.map(RuntimeStoreReader, ({ source }) => source)), "store")
      assert.strictEqual(yield* reading(filename, inputs), 1)
      assert.deepStrictEqual(fs.readdirSync(join(filename, "..")).sort(), before)
    }))

  it.live("makes nothing where there is no store", () =>
    Effect.gen(function*() {
      const filename = file()
      assert.strictEqual((yield* Effect.flip(reading(filename, inputs)))._tag, "StoreUnavailable")
      assert.deepStrictEqual(fs.readdirSync(join(filename, "..")), [])
      fs.writeFileSync(filename, "")
      assert.strictEqual((yield* Effect.flip(reading(filename, inputs)))._tag, "StoreUnavailable")
    }))
})
