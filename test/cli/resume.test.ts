/** `meerkat resume` over inputs and sessions of which some fail or are damaged. */
import { assert, describe, it } from "@effect/vitest"
import Database from "better-sqlite3"
import * as Effect from "effect/Effect"
import { SessionId } from "../../src/domain/Ids.js"
import * as Cli from "../support/cli.js"
import * as Library from "../support/library.js"

const idOf = ({ stdout }: Cli.Ended): string => stdout.trim()

/** Kills the program with SIGKILL while its agent works. */
const crash = (cli: Cli.Cli, args: ReadonlyArray<string>) =>
  Effect.scoped(Effect.gen(function*() {
    const before = cli.lines("runs").length
    const running = yield* cli.start([...args, "--exec", "echo $$ >> runs; sleep 60"])
    yield* Cli.until(() => cli.lines("runs").length > before)
    yield* Cli.untilStaged(cli, "h")
    yield* running.kill("SIGKILL")
    yield* running.ended
    yield* Cli.until(() => !Cli.isAlive(Number(cli.lines("runs")[before])))
  }))

const crashes = (cli: Cli.Cli) => Effect.forEach([1, 2, 3], () => crash(cli, ["resume"]))

/** Retires a session whose only input runs. The orderly end of the process queues the input again. */
const retire = (cli: Cli.Cli, name: string) =>
  Library.on(cli.path("meerkat.db"), (machine) =>
    Effect.gen(function*() {
      const id = SessionId.make(name)
      const started = yield* Effect.makeLatch()
      yield* machine.ensureSessionWithExecutor(id, { apply: () => Effect.zipRight(started.open, Effect.never) })
      yield* started.await
      yield* machine.session(id).retire
    }))

/** Changes the digest of one open input in the file. */
const damage = (cli: Cli.Cli) =>
  Effect.sync(() => {
    const db = new Database(cli.path("meerkat.db"))
    const { changes } = db.prepare(
      "UPDATE input_open SET digest = zeroblob(length(digest)) WHERE key = (SELECT min(key) FROM input_open)"
    ).run()
    db.close()
    assert.strictEqual(changes, 1)
  })

describe.concurrent("resume", () => {
  it.scopedLive(
    "reports an input as failed when its crashes used up the budget",
    () =>
      Effect.gen(function*() {
        const cli = yield* Cli.make
        const lost = idOf(yield* cli.run(["send", "h", "precious"]))
        yield* crashes(cli)
        const resumed = yield* cli.run(["resume", "--exec", "cat"])
        assert.deepStrictEqual([resumed.code, resumed.stdout], [1, ""])
        assert.match(resumed.stderr, new RegExp(`h: ${lost} failed: its run ended with the process 3 times`))
        assert.strictEqual((yield* cli.run(["resume", "--exec", "cat"])).stderr, "nothing is pending\n")
      }),
    120_000
  )

  it.scopedLive("run reports such an input too, beside its own answer", () =>
    Effect.gen(function*() {
      const cli = yield* Cli.make
      const lost = idOf(yield* cli.run(["send", "h", "precious"]))
      yield* crashes(cli)
      const run = yield* cli.run(["run", "--session", "h", "--exec", "cat", "next"])
      assert.deepStrictEqual([run.code, run.stdout], [0, "next\n"])
      assert.match(run.stderr, new RegExp(`pending input ${lost}: failed: its run ended with the process 3 times`))
    }), 120_000)

  it.scopedLive("reports the last input of a retired session when it is given up", () =>
    Effect.gen(function*() {
      const cli = yield* Cli.make
      const lost = idOf(yield* cli.run(["send", "h", "precious"]))
      yield* retire(cli, "h")
      yield* crashes(cli)
      const resumed = yield* cli.run(["resume", "--json", "--exec", "cat"])
      assert.strictEqual(resumed.code, 1, resumed.stderr)
      assert.deepStrictEqual(Cli.documents(resumed).map(({ input, status }) => [input, status]), [[lost, "failed"]])
    }), 120_000)

  it.scopedLive("names a damaged session and runs the others", () =>
    Effect.gen(function*() {
      const cli = yield* Cli.make
      for (const session of ["a", "b", "c"]) yield* cli.run(["send", session, session])
      yield* damage(cli)
      const resumed = yield* cli.run(["resume", "--exec", "cat"])
      assert.deepStrictEqual([resumed.code, resumed.stdout], [4, "b: b\nc: c\n"])
      assert.match(resumed.stderr, /^a: .*input_open/m)
    }), 60_000)

  it.scopedLive(
    "names a session that cannot be listed, as sessions does, and runs the others",
    () =>
      Effect.gen(function*() {
        const cli = yield* Cli.make
        for (const session of ["a", "b", "c"]) yield* cli.run(["send", session, session])
        const db = new Database(cli.path("meerkat.db"))
        db.prepare("UPDATE runtime SET updated_at = updated_at + 1 WHERE session_id = 'a'").run()
        db.close()
        for (const args of [["sessions"], ["sessions", "--json"], ["resume", "--exec", "cat"]]) {
          const told = yield* cli.run(args)
          assert.strictEqual(told.code, 4)
          const shown = ["a", "b", "c"].filter((name) =>
            new RegExp(`^(${name}\\b|.*"sessionId":"${name}")`, "m").test(told.stdout)
          )
          assert.deepStrictEqual(shown, ["b", "c"])
          assert.match(told.stderr, /rt:session:a: the sum does not match/)
        }
      }),
    60_000
  )

  it.scopedLive("runs a session whose name is a prefix of the name of a damaged one", () =>
    Effect.gen(function*() {
      const cli = yield* Cli.make
      for (const session of ["job-10", "job-1"]) yield* cli.run(["send", session, session])
      const db = new Database(cli.path("meerkat.db"))
      db.prepare("UPDATE runtime SET updated_at = updated_at + 1 WHERE session_id = 'job-10'").run()
      db.close()
      assert.match((yield* cli.run(["show", "job-1"])).stdout, /inputs +1, 1 of them open/)
      const resumed = yield* cli.run(["resume", "--exec", "cat", "job-1"])
      assert.deepStrictEqual([resumed.code, resumed.stdout], [0, "job-1: job-1\n"], resumed.stderr)
      const other = yield* cli.run(["show", "job-10"])
      assert.deepStrictEqual([other.code, other.stdout], [4, ""])
      assert.match(other.stderr, /the sum does not match/)
    }), 60_000)

  it.scopedLive("names a session that does not exist and runs the others", () =>
    Effect.gen(function*() {
      const cli = yield* Cli.make
      yield* cli.run(["send", "b", "b"])
      const resumed = yield* cli.run(["resume", "--exec", "cat", "nosuch", "b"])
      assert.deepStrictEqual([resumed.code, resumed.stdout], [1, "b: b\n"])
      assert.match(resumed.stderr, /There is no session "nosuch" in meerkat.db/)
    }), 60_000)

  it.scopedLive("does not create a missing store", () =>
    Effect.gen(function*() {
      const cli = yield* Cli.make
      const resumed = yield* cli.run(["resume", "--db", "typo.db", "--exec", "cat"])
      assert.strictEqual(resumed.code, 4)
      assert.match(resumed.stderr, /There is no store at .*typo.db/)
      assert.deepStrictEqual(cli.bytes(), {})
    }), 60_000)
})

// These tests run alone, since they move many bytes.
describe("resume of large inputs", () => {
  it.scopedLive(
    "names the session of an input above the limit and runs the others",
    () =>
      Effect.gen(function*() {
        const cli = yield* Cli.make
        const big = yield* cli.start([
          "run",
          "--session",
          "a",
          "--max-output",
          "4MiB",
          "--exec",
          "echo $$ >> runs; sleep 60",
          "-"
        ], {
          stdin: "x".repeat(18_000_000)
        })
        yield* Cli.until(() => cli.lines("runs").length === 1)
        yield* big.kill("SIGINT")
        yield* big.ended
        yield* cli.run(["send", "b", "small"])
        const resumed = yield* cli.run(["resume", "--max-output", "1000", "--exec", "wc -c"])
        assert.deepStrictEqual([resumed.code, resumed.stdout], [2, "b: 5\n"], resumed.stderr)
        assert.match(resumed.stderr, /^a: .*bytes/m)
      }),
    60_000
  )
})
