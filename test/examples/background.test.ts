// @effect-diagnostics nodeBuiltinImport:off
/** The example of background work as a real program, which is killed and started again on the same file. */
import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { buildSync } from "esbuild"
import { type ChildProcess, spawn } from "node:child_process"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import * as RuntimeStoreSqlite from "../../layers/RuntimeStoreSqlite.js"
import { RuntimeStore } from "../../services/RuntimeStore.js"
import { runtimeIdOf, SessionId } from "../../src/domain/Ids.js"
import { textOf } from "../../src/domain/Message.js"
import { isAlive } from "../support/cli.js"

const root = fileURLToPath(new URL("../..", import.meta.url))
const runtimeId = runtimeIdOf(SessionId.make("jobs"))

/**
 * Bundles the example into one file of the project, where the native driver is found. Imports by name resolve to the
 * sources.
 */
const bundled = Effect.acquireRelease(
  Effect.sync(() => {
    const outdir = path.join(root, "node_modules", ".cache", "meerkat-example", String(process.pid))
    buildSync({
      entryPoints: [path.join(root, "examples/background/main.ts")],
      outdir,
      bundle: true,
      format: "esm",
      platform: "node",
      target: "node20",
      external: ["better-sqlite3"],
      tsconfig: path.join(root, "tsconfig.json"),
      banner: { js: "import { createRequire as r } from 'node:module'; const require = r(import.meta.url);" }
    })
    return path.join(outdir, "main.js")
  }),
  (file) => Effect.sync(() => fs.rmSync(path.dirname(file), { recursive: true, force: true }))
)

const folder = Effect.acquireRelease(
  Effect.sync(() => fs.realpathSync(fs.mkdtempSync(path.join(tmpdir(), "meerkat-background-")))),
  (dir) => Effect.sync(() => fs.rmSync(dir, { recursive: true, force: true }))
)

const eventually = (what: string, condition: () => boolean, seen: () => string = () => "") =>
  Effect.suspend(() => condition() ? Effect.void : Effect.fail("not yet")).pipe(
    Effect.retry({ schedule: Schedule.spaced("20 millis") }),
    Effect.timeoutFail({ duration: "60 seconds", onTimeout: () => new Error(`never: ${what}\n${seen()}`) }),
    Effect.orDie
  )

interface Running {
  readonly child: ChildProcess
  readonly said: () => string
  /** waits until the output contains the text */
  readonly says: (text: string) => Effect.Effect<void>
  readonly ended: Effect.Effect<string>
}

const start = (main: string, cwd: string, args: ReadonlyArray<string>) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => spawn(process.execPath, [main, ...args], { cwd, stdio: ["pipe", "pipe", "pipe"] })),
      (child) => Effect.sync(() => void child.kill("SIGKILL"))
    ),
    (child): Running => {
      const output = { text: "", ended: "" }
      child.stdout.on("data", (chunk: unknown) => void (output.text += String(chunk)))
      child.stderr.on("data", (chunk: unknown) => void (output.text += String(chunk)))
      child.on("close", (code, signal) => void (output.ended = String(signal ?? code)))
      const said = () => output.text
      return {
        child,
        said,
        says: (text) => eventually(text, () => output.text.includes(text), said),
        ended: Effect.map(eventually("its end", () => output.ended !== "", said), () => output.ended)
      }
    }
  )

/** What the file holds while no program has it open. */
const stored = (filename: string) =>
  Effect.scoped(Effect.gen(function*() {
    const store = Context.get(yield* Layer.build(RuntimeStoreSqlite.layer({ filename })), RuntimeStore)
    const list = <A, E>(stream: Stream.Stream<A, E>) => Effect.map(Stream.runCollect(stream), Chunk.toReadonlyArray)
    const operations = yield* list(store.operations(runtimeId))
    return {
      operations: Object.fromEntries(operations.map((record) => [record.spec.displayName, record])),
      feed: yield* store.feed(runtimeId, 0),
      inputs: (yield* list(store.inputs(runtimeId))).map(({ kind, phase }) => `${kind} ${phase}`),
      answers: (yield* list(store.history(runtimeId)))
        .filter(({ role }) => role === "assistant")
        .map(({ blocks }) => textOf(blocks))
    }
  }))

/** A child that ends when the file `gate` exists. */
const tests = "echo $$ > tests.pid; until [ -e gate ]; do sleep 0.05; done; echo 42 passed"
/** A child that never ends by itself. */
const build = "echo $$ > build.pid; while :; do sleep 0.2; done"

const count = (text: string, part: string) => text.split(part).length - 1

describe("examples/background", () => {
  it.scopedLive("goes idle, is woken, is killed, and tells every end once", () =>
    Effect.gen(function*() {
      const main = yield* bundled
      const dir = yield* folder
      const at = (name: string) => path.join(dir, name)
      const pid = (name: string) => Number(fs.existsSync(at(name)) ? fs.readFileSync(at(name), "utf8") : 0)

      // The program starts two children and an external operation. The turn ends, and the session is idle.
      const first = yield* start(main, dir, ["jobs.db", tests, build])
      yield* first.says("3 to go")
      yield* eventually("both children", () => pid("tests.pid") > 0 && pid("build.pid") > 0)
      assert.isTrue(isAlive(pid("tests.pid")) && isAlive(pid("build.pid")))

      // One child ends and wakes the session.
      fs.writeFileSync(at("gate"), "")
      yield* first.says("42 passed")
      yield* first.says("2 to go")
      assert.isFalse(isAlive(pid("tests.pid")))

      // The program is killed, and the other child ends with it.
      first.child.kill("SIGKILL")
      assert.strictEqual(yield* first.ended, "SIGKILL")
      yield* eventually("the end of the other child", () => !isAlive(pid("build.pid")))
      const between = yield* stored(at("jobs.db"))
      assert.deepStrictEqual(between.inputs, ["prompt consumed", "continuation consumed"])
      assert.deepStrictEqual(
        [tests, build, "review"].map((name) => between.operations[name]?.status),
        ["completed", "running", "running"]
      )
      assert.deepStrictEqual(between.feed.entries.map(({ displayName }) => displayName), [tests])

      // The next process reports the lost child as terminated, and receives the external result by id.
      fs.rmSync(at("tests.pid"))
      const second = yield* start(main, dir, ["jobs.db", tests, build])
      yield* second.says("is terminated: runtime restarted")
      yield* second.says("1 to go")
      second.child.stdin?.write(`${between.operations["review"]?.spec.id} looks good\n`)
      assert.strictEqual(yield* second.ended, "0")
      assert.include(second.said(), "review: looks good\nnothing is left")
      assert.isFalse(fs.existsSync(at("tests.pid")), "no child is started again")

      const { answers, feed, inputs, operations } = yield* stored(at("jobs.db"))
      assert.deepStrictEqual(
        feed.entries.map(({ displayName, outcome, seq }) => [
          seq,
          displayName,
          outcome._tag === "Completed" ? outcome.result.content : outcome
        ]),
        [
          [1, tests, "42 passed"],
          [2, build, { _tag: "Terminated", reason: "runtime restarted" }],
          [3, "review", "looks good"]
        ]
      )
      assert.deepStrictEqual(Object.keys(operations).length, 3)
      assert.deepStrictEqual([inputs[0], new Set(inputs.slice(1))], [
        "prompt consumed",
        new Set(["continuation consumed"])
      ])
      const everything = answers.join("\n")
      for (const end of [": 42 passed", "is terminated: runtime restarted", "review: looks good"]) {
        assert.strictEqual(count(everything, end), 1, end)
      }
      assert.strictEqual(answers.length, 4)
      assert.isTrue(answers[3]?.endsWith("nothing is left"))
    }), 180_000)
})
