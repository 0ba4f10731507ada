/** How the program refuses files that it cannot use, and what it shows of its stores. */
import { assert, describe, it } from "@effect/vitest"
import Database from "better-sqlite3"
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import { overview } from "../../src/cli/help.js"
import { version } from "../../src/cli/version.js"
import * as Cli from "../support/cli.js"

const refused = (ended: Cli.Ended, code: number, words: RegExp) => {
  assert.strictEqual(ended.code, code, ended.stderr)
  assert.match(ended.stderr, words)
  assert.notMatch(ended.stderr, /\n\s+at /)
  assert.strictEqual(ended.stdout, "")
}

const attempt = ["run", "--session", "other", "--exec", "cat", "x"]

describe.concurrent("stores", () => {
  it.scopedLive(
    "a second process is told which process holds the file, and writes nothing",
    () =>
      Effect.gen(function*() {
        const cli = yield* Cli.make
        const agent = "echo $$ > started; until [ -e go ]; do sleep 0.05; done; cat"
        const holder = yield* cli.start(["run", "--session", "s", "--exec", agent, "hello"])
        yield* Cli.until(() => cli.lines("started").length === 1)
        yield* Cli.untilStaged(cli, "s")
        const before = cli.bytes()
        const second = yield* cli.run(attempt)
        refused(second, 3, /is locked by process \d+/)
        assert.include(second.stderr, `process ${holder.pid} `)
        const beside = yield* cli.run(["sessions", "--json"])
        assert.deepStrictEqual(
          Cli.documents(beside).map(({ sessionId }) => sessionId),
          ["s"]
        )
        // The readers of a log may write the memory that they share.
        const { "meerkat.db-shm": _before, ...was } = before
        const { "meerkat.db-shm": _after, ...is } = cli.bytes()
        assert.deepStrictEqual(is, was)
        cli.write("go", "")
        assert.strictEqual((yield* holder.ended).stdout, "hello\n")
      }),
    60_000
  )

  it.scopedLive("a file of another format stays unchanged", () =>
    Effect.gen(function*() {
      const cli = yield* Cli.make
      cli.write("meerkat.db", "This is a letter and not a database, dear reader.\n".repeat(100))
      const before = cli.bytes()
      refused(yield* cli.run(attempt), 4, /not a store of meerkat: it is not a SQLite database/)
      refused(yield* cli.run(["sessions"]), 4, /not a store of meerkat/)
      assert.deepStrictEqual(cli.bytes(), before)
    }), 60_000)

  it.scopedLive("the database of another program stays unchanged", () =>
    Effect.gen(function*() {
      const cli = yield* Cli.make
      const db = new Database(cli.path("meerkat.db"))
      db.exec("CREATE TABLE letters (text TEXT)")
      db.close()
      const before = cli.bytes()
      refused(yield* cli.run(attempt), 4, /not a store of meerkat/)
      assert.deepStrictEqual(cli.bytes(), before)
    }), 60_000)

  it.scopedLive("a store of a newer version stays unchanged", () =>
    Effect.gen(function*() {
      const cli = yield* Cli.make
      yield* cli.run(attempt)
      const db = new Database(cli.path("meerkat.db"))
      db.pragma("user_version = 9999")
      db.close()
      const before = cli.bytes()
      refused(yield* cli.run(attempt), 4, /written by a newer version of meerkat \(schema 9999/)
      assert.deepStrictEqual(cli.bytes(), before)
    }), 60_000)

  it.scopedLive("a missing folder is not created", () =>
    Effect.gen(function*() {
      const cli = yield* Cli.make
      refused(yield* cli.run([...attempt, "--db", "nowhere/x.db"]), 4, /folder .*nowhere does not exist/)
      assert.deepStrictEqual(cli.bytes(), {})
    }), 60_000)

  // Root may write everywhere. Then the program runs as an unprivileged user; without such a user the tests are skipped.
  const user = Cli.plainUser()
  it.scopedLive.skipIf(user === null)(
    "a read-only folder stays unchanged (where permissions count)",
    () =>
      Effect.gen(function*() {
        const cli = yield* Cli.make
        fs.chmodSync(cli.folder, 0o555)
        refused(yield* cli.run(attempt, user ?? {}), 4, /folder .* is read-only/)
        assert.deepStrictEqual(cli.bytes(), {})
      }),
    60_000
  )

  it.scopedLive.skipIf(user === null)(
    "a store in a read-only folder is read from a copy, with a notice (where permissions count)",
    () =>
      Effect.gen(function*() {
        const cli = yield* Cli.make
        yield* cli.run(attempt)
        const before = Object.keys(cli.bytes())
        fs.chmodSync(cli.folder, 0o555)
        const read = yield* cli.run(["sessions", "--json"], user ?? {})
        assert.strictEqual(read.code, 0, read.stderr)
        assert.strictEqual(JSON.parse(read.stdout).sessionId, "other")
        assert.match(read.stderr, /folder of .* cannot be written: this is a copy/)
        assert.deepStrictEqual(Object.keys(cli.bytes()), before)
      }),
    60_000
  )

  it.scopedLive.skipIf(user === null)(
    "reading the file of another user leaves nothing beside it (where permissions count)",
    () =>
      Effect.gen(function*() {
        const cli = yield* Cli.make
        yield* cli.run(attempt)
        const before = Object.keys(cli.bytes())
        fs.chmodSync(cli.folder, 0o777)
        fs.chmodSync(cli.path("meerkat.db"), 0o444)
        const read = yield* cli.run(["sessions", "--json"], user ?? {})
        assert.strictEqual(read.code, 0, read.stderr)
        assert.strictEqual(JSON.parse(read.stdout).sessionId, "other")
        assert.match(read.stderr, /file .* cannot be written: this is a copy/)
        assert.deepStrictEqual(Object.keys(cli.bytes()), before)
        fs.chmodSync(cli.path("meerkat.db"), 0o644)
        assert.strictEqual((yield* cli.run(attempt)).code, 0)
      }),
    60_000
  )

  it.scopedLive("a file with two names is not written under either", () =>
    Effect.gen(function*() {
      const cli = yield* Cli.make
      yield* cli.run(attempt)
      fs.linkSync(cli.path("meerkat.db"), cli.path("hard.db"))
      const before = cli.bytes()
      refused(yield* cli.run(["send", "--db", "hard.db", "b", "x"]), 4, /has 2 names \(hard links\).*remove the others/)
      refused(yield* cli.run(attempt), 4, /has 2 names/)
      assert.deepStrictEqual(cli.bytes(), before)
      fs.rmSync(cli.path("hard.db"))
      assert.strictEqual((yield* cli.run(attempt)).code, 0)
    }), 60_000)

  it.scopedLive("MEERKAT_DB names the store, and --db overrides it", () =>
    Effect.gen(function*() {
      const cli = yield* Cli.make
      const env = { MEERKAT_DB: "named.db" }
      yield* cli.run(attempt, { env })
      yield* cli.run([...attempt, "--db", "other.db"], { env })
      assert.deepStrictEqual(Object.keys(cli.bytes()).filter((name) => name.endsWith(".db")), ["named.db", "other.db"])
    }), 60_000)
})

describe.concurrent("reading and queueing", () => {
  it.scopedLive("send queues inputs, sessions and show list them, resume runs them", () =>
    Effect.gen(function*() {
      const cli = yield* Cli.make
      const sent = yield* cli.run(["send", "q", "--key", "k", "first"])
      assert.match(sent.stdout, /^[0-9a-f-]{36}\n$/)
      assert.strictEqual((yield* cli.run(["send", "q", "--key", "k", "first"])).stdout, sent.stdout)
      yield* cli.run(["send", "q", "second"])
      const [session] = Cli.documents(yield* cli.run(["sessions", "--json"]))
      assert.deepStrictEqual([session.sessionId, session.pendingInputs], ["q", 2])
      assert.match((yield* cli.run(["show", "q"])).stdout, /inputs +2, 2 of them open/)
      const resumed = yield* cli.run(["resume", "--exec", "tr a-z A-Z"])
      assert.deepStrictEqual([resumed.code, resumed.stdout], [0, "q: FIRST\nq: SECOND\n"])
      assert.strictEqual((yield* cli.run(["resume", "--exec", "false"])).stderr, "nothing is pending\n")
      assert.match((yield* cli.run(["receipts", "q"])).stdout, /SECOND/)
    }), 60_000)

  it.scopedLive("resume reports an input without an answer", () =>
    Effect.gen(function*() {
      const cli = yield* Cli.make
      yield* cli.run(["send", "q", "first"])
      const resumed = yield* cli.run(["resume", "--exec", "exit 4", "q"])
      assert.strictEqual(resumed.code, 1)
      assert.match(resumed.stderr, /failed: exited with code 4/)
    }), 60_000)

  it.scopedLive("a missing session or store is named in the error", () =>
    Effect.gen(function*() {
      const cli = yield* Cli.make
      refused(yield* cli.run(["show", "s"]), 4, /There is no store at/)
      assert.deepStrictEqual(cli.bytes(), {})
      yield* cli.run(attempt)
      refused(yield* cli.run(["show", "s"]), 1, /no session "s"/)
      refused(yield* cli.run(["show"]), 2, /<session>/)
      refused(yield* cli.run(["sing"]), 2, /Invalid subcommand/)
    }), 60_000)

  it.scopedLive("help, version and completions are printed", () =>
    Effect.gen(function*() {
      const cli = yield* Cli.make
      assert.strictEqual((yield* cli.run([])).stdout, `${overview}\n`)
      assert.strictEqual((yield* cli.run(["--help"])).stdout, `${overview}\n`)
      assert.strictEqual((yield* cli.run(["--version"])).stdout, `${version}\n`)
      const help = (yield* cli.run(["run", "--help"])).stdout
      assert.match(help, /--session ID\n {2}The session to begin or to continue/)
      assert.notMatch(help, /user-defined piece of text/)
      assert.match((yield* cli.run(["--completions", "bash"])).stdout, /complete .* meerkat/)
      const manifest = fs.readFileSync(new URL("../../package.json", import.meta.url), "utf8")
      assert.strictEqual(JSON.parse(manifest).version, version)
    }), 60_000)
})
