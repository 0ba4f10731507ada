/** `meerkat run` from the outside: a real process, a real file, and programs of all kinds. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { existsSync } from "node:fs"
import * as Cli from "../support/cli.js"

const said = ({ code, stderr, stdout }: Cli.Ended) => ({ code, stdout, stderr })

/** Checks the exit code, and that the error is words without a stack trace or an answer. */
const plainly = (ended: Cli.Ended, code: number, words: RegExp) => {
  assert.strictEqual(ended.code, code, ended.stderr)
  assert.match(ended.stderr, words)
  assert.notMatch(ended.stderr, /\n\s+at /)
  assert.strictEqual(ended.stdout, "")
}

describe.concurrent("run", () => {
  it.scopedLive("answers through SQLite and continues the same session", () =>
    Effect.gen(function*() {
      const cli = yield* Cli.make
      const first = yield* cli.run(["run", "--session", "demo", "--exec", "cat", "hello"])
      const second = yield* cli.run(["run", "--session", "demo", "--exec", "cat", "again"])
      assert.deepStrictEqual([said(first), said(second)], [
        { code: 0, stdout: "hello\n", stderr: "" },
        { code: 0, stdout: "again\n", stderr: "" }
      ])
      const history = yield* cli.run(["history", "demo"])
      assert.strictEqual(history.stdout, "user: hello\nassistant: hello\nuser: again\nassistant: again\n")
    }), 60_000)

  it.scopedLive("accepts a prompt of nearly only empty lines", () =>
    Effect.gen(function*() {
      const cli = yield* Cli.make
      const args = ["run", "--session", "demo", "--exec", "wc -c | tr -d ' '", "-"]
      const ended = yield* cli.run(args, { stdin: `${"\n".repeat(200_000)}x\n\n` })
      assert.deepStrictEqual(said(ended), { code: 0, stdout: "200001\n", stderr: "" })
    }), 30_000)

  it.scopedLive.skipIf(!existsSync(Cli.builtMain))("answers as `npm install` built it", () =>
    Effect.gen(function*() {
      const cli = yield* Cli.make
      const ended = yield* cli.run(["run", "--session", "demo", "--exec", "tr a-z A-Z", "hello"], { built: true })
      assert.deepStrictEqual(said(ended), { code: 0, stdout: "HELLO\n", stderr: "" })
    }), 60_000)

  it.scopedLive(
    "prints the stored outcome of a known key, also of a failure, without running the program",
    () =>
      Effect.gen(function*() {
        const cli = yield* Cli.make
        const ok = ["run", "--session", "s", "--key", "k", "--exec", "echo x >> runs; cat", "hello"]
        const bad = ["run", "--session", "s", "--key", "bad", "--exec", "echo x >> runs; exit 3", "hello"]
        assert.strictEqual((yield* cli.run(ok)).stdout, "hello\n")
        assert.strictEqual((yield* cli.run(ok)).stdout, "hello\n")
        assert.strictEqual((yield* cli.run([...ok, "--json"])).stdout.includes("\"stored\":true"), true)
        plainly(yield* cli.run(bad), 1, /exited with code 3/)
        plainly(yield* cli.run(bad), 1, /exited with code 3/)
        assert.deepStrictEqual(cli.lines("runs"), ["x", "x"])
      }),
    60_000
  )

  it.scopedLive("runs the input once more after kill -9 and commits it once", () =>
    Effect.gen(function*() {
      const cli = yield* Cli.make
      cli.write("agent.sh", "echo $$ >> runs\n[ \"$MEERKAT_ATTEMPT\" = 1 ] && sleep 60\ncat\n")
      const command = ["run", "--session", "s", "--key", "k", "--json", "--exec", "sh agent.sh", "hello"]
      const first = yield* cli.start(command)
      yield* Cli.until(() => cli.lines("runs").length === 1)
      yield* Cli.untilStaged(cli, "s")
      yield* first.kill("SIGKILL")
      assert.strictEqual((yield* first.ended).signal, "SIGKILL")
      const agent = Number(cli.lines("runs")[0])
      yield* Cli.until(() => !Cli.isAlive(agent))
      const second = yield* cli.run(command)
      const { attempts, crashedAttempts, failedAttempts, status, text } = JSON.parse(second.stdout)
      assert.deepStrictEqual(
        { attempts, crashedAttempts, failedAttempts, status, text },
        { attempts: 2, crashedAttempts: 1, failedAttempts: 0, status: "completed", text: "hello" }
      )
      const third = yield* cli.run(command)
      assert.strictEqual(JSON.parse(third.stdout).text, "hello")
      assert.strictEqual(cli.lines("runs").length, 2)
      const receipts = (yield* cli.run(["receipts", "s", "--json"])).stdout.trim().split("\n")
      assert.strictEqual(receipts.length, 1)
      assert.strictEqual((yield* cli.run(["history", "s"])).stdout, "user: hello\nassistant: hello\n")
    }), 60_000)

  it.scopedLive(
    "ends the program's group on Ctrl-C, keeps the input, and the next run does it first",
    () =>
      Effect.gen(function*() {
        const cli = yield* Cli.make
        const agent = "echo $$ >> runs; sleep 60"
        const first = yield* cli.start(["run", "--session", "s", "--exec", agent, "one"])
        yield* Cli.until(() => cli.lines("runs").length === 1)
        yield* first.kill("SIGINT")
        const ended = yield* first.ended
        assert.strictEqual(ended.code, 130)
        assert.match(ended.stderr, /interrupted: the input is kept in session "s"/)
        assert.isFalse(Cli.isAlive(Number(cli.lines("runs")[0])))
        const input = JSON.parse((yield* cli.run(["inputs", "s", "--json"])).stdout)
        assert.deepStrictEqual([input.phase, input.charged, input.crashed], ["queued", 0, 0])
        const second = yield* cli.run(["run", "--session", "s", "--exec", "cat", "two"])
        assert.strictEqual(second.stdout, "two\n")
        assert.match(second.stderr, /^pending input \S+: one\n$/)
      }),
    60_000
  )

  it.scopedLive("repeats failed attempts as often as --attempts allows", () =>
    Effect.gen(function*() {
      const cli = yield* Cli.make
      const agent = "if [ $MEERKAT_ATTEMPT -lt 3 ]; then echo no >&2; exit 7; fi; cat"
      const ended = yield* cli.run(["run", "--session", "s", "--attempts", "3", "--json", "--exec", agent, "x"])
      const { attempts, failedAttempts, text } = JSON.parse(ended.stdout)
      assert.deepStrictEqual({ attempts, failedAttempts, text }, { attempts: 3, failedAttempts: 2, text: "x" })
    }), 60_000)

  it.scopedLive(
    "reads the prompt from standard input and runs a program without a shell",
    () =>
      Effect.gen(function*() {
        const cli = yield* Cli.make
        const ended = yield* cli.run(["run", "--session", "s", "-", "--", "tr", "a-z", "A-Z"], { stdin: "--well\n" })
        assert.deepStrictEqual(said(ended), { code: 0, stdout: "--WELL\n", stderr: "" })
      }),
    60_000
  )

  it.scopedLive("prints the name of a session that it makes", () =>
    Effect.gen(function*() {
      const cli = yield* Cli.make
      const ended = yield* cli.run(["run", "--exec", "printf %s \"$MEERKAT_SESSION\"", "x"])
      assert.strictEqual(ended.stderr, `session: ${ended.stdout}`)
    }), 60_000)

  it.scopedLive("hands the whole turn to the program as JSON and reads a JSON answer", () =>
    Effect.gen(function*() {
      const cli = yield* Cli.make
      const json = ["run", "--session", "s", "--input", "json"]
      yield* cli.run(["run", "--session", "s", "--exec", "cat", "before"])
      const turn = JSON.parse((yield* cli.run([...json, "--exec", "cat", "now"])).stdout)
      assert.deepStrictEqual([turn.session, turn.attempt, turn.text], ["s", 1, "now"])
      assert.deepStrictEqual(
        turn.history.map((message: { readonly role: string }) => message.role),
        ["user", "assistant"]
      )
      const answer = "printf '{\"text\":\"T\",\"data\":{\"n\":1},\"usage\":{\"inputTokens\":2}}'"
      const ended = yield* cli.run([...json, "--output", "json", "--json", "--exec", answer, "x"])
      const { data, text, usage } = JSON.parse(ended.stdout)
      assert.deepStrictEqual({ data, text, usage }, { data: { n: 1 }, text: "T", usage: { inputTokens: 2 } })
      plainly(yield* cli.run([...json, "--output", "json", "--exec", "echo text", "x"]), 1, /not a JSON document/)
    }), 60_000)
})

describe.concurrent("a program that fails", () => {
  const failures: ReadonlyArray<readonly [string, ReadonlyArray<string>, number, RegExp]> = [
    ["exits 3", ["--exec", "echo broken >&2; exit 3"], 1, /exited with code 3: broken/],
    ["is unknown to the shell", ["--exec", "no-such-program-at-all"], 1, /exited with code 127: .*not found/],
    ["kills itself", ["--exec", "kill -9 $$"], 1, /ended by signal SIGKILL/],
    ["prints nothing", ["--exec", "true"], 1, /empty answer/],
    ["prints 50 MiB", ["--exec", "head -c 52428800 /dev/zero"], 1, /more than 16777216 bytes/],
    ["never ends", ["--timeout", "500ms", "--exec", "sleep 600"], 124, /timed out after 500ms/]
  ]
  for (const [name, args, code, words] of failures) {
    it.scopedLive(name, () =>
      Effect.gen(function*() {
        const cli = yield* Cli.make
        plainly(yield* cli.run(["run", "--session", "s", ...args, "x"]), code, words)
        const [input] = Cli.documents(yield* cli.run(["inputs", "s", "--json"]))
        assert.deepStrictEqual([input.phase, input.attempts], ["abandoned", 1])
        const after = yield* cli.run(["run", "--session", "s", "--exec", "cat", "sound"])
        assert.deepStrictEqual(said(after), { code: 0, stdout: "sound\n", stderr: "" })
      }), 60_000)
  }

  it.scopedLive("succeeds with an empty answer when --allow-empty is set", () =>
    Effect.gen(function*() {
      const cli = yield* Cli.make
      const ended = yield* cli.run(["run", "--session", "s", "--allow-empty", "--exec", "true", "x"])
      assert.deepStrictEqual(said(ended), { code: 0, stdout: "\n", stderr: "" })
    }), 60_000)
})

describe.concurrent("an invalid command line leaves no file:", () => {
  const mistakes: ReadonlyArray<readonly [string, ReadonlyArray<string>, RegExp]> = [
    ["no program", ["x"], /Which program should answer/],
    ["two programs", ["--exec", "cat", "x", "--", "cat"], /program once/],
    ["a missing program", ["x", "--", "no-such-program-at-all"], /cannot be run: it is not in PATH/],
    ["an empty prompt", ["--exec", "cat", " "], /prompt is empty/],
    ["no prompt", ["--exec", "cat"], /prompt is empty/],
    ["an empty prompt on standard input", ["--exec", "cat", "-"], /prompt is empty/],
    ["a misspelled option", ["--sesion", "demo", "--exec", "cat", "x"], /no option --sesion/],
    ["a bad name", ["--session", "", "--exec", "cat", "x"], /--session takes a name/],
    ["a bad duration", ["--timeout", "soon", "--exec", "cat", "x"], /--timeout takes a duration/],
    ["no attempts", ["--attempts", "0", "--exec", "cat", "x"], /--attempts takes a number/],
    ["a bad size", ["--max-output", "-1", "--exec", "cat", "x"], /--max-output takes a size/],
    ["a bad choice", ["--input", "yaml", "--exec", "cat", "x"], /text, json/]
  ]
  for (const [name, args, words] of mistakes) {
    it.scopedLive(name, () =>
      Effect.gen(function*() {
        const cli = yield* Cli.make
        plainly(yield* cli.run(["run", ...args]), 2, words)
        assert.deepStrictEqual(cli.bytes(), {})
      }), 60_000)
  }
})
