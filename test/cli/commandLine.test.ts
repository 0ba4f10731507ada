/** The arguments of the command line, and how the program prints texts that agents wrote. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { ofReadError } from "../../src/cli/failure.js"
import { aligned, brief } from "../../src/cli/output.js"
import { runtimeIdOf, SessionId } from "../../src/domain/Ids.js"
import { BodyReplaced, StoreCorrupt } from "../../src/domain/StoreErrors.js"
import * as Cli from "../support/cli.js"

describe.concurrent("the command line", () => {
  it.scopedLive("send takes the words after -- as part of the prompt", () =>
    Effect.gen(function*() {
      const cli = yield* Cli.make
      yield* cli.run(["send", "demo", "hello", "--", "world"])
      yield* cli.run(["send", "demo", "--", "--dry-run", "-"])
      const inputs = Cli.documents(yield* cli.run(["inputs", "demo", "--json"]))
      assert.deepStrictEqual(inputs.map(({ input }) => input.text), ["hello world", "--dry-run -"])
      const stray = yield* cli.run(["send", "demo", "--dry-run"])
      assert.strictEqual(stray.code, 2)
      assert.match(stray.stderr, /A prompt that begins with a dash stands after --/)
    }), 60_000)

  it.scopedLive("a command that takes nothing after -- refuses such words", () =>
    Effect.gen(function*() {
      const cli = yield* Cli.make
      for (const command of [["sessions"], ["show", "demo"], ["history", "demo"]]) {
        const ended = yield* cli.run([...command, "--", "junk"])
        assert.strictEqual(ended.code, 2)
        assert.match(ended.stderr, /takes nothing after --/)
      }
    }), 60_000)

  it.scopedLive("an invalid session name is refused with a full sentence", () =>
    Effect.gen(function*() {
      const cli = yield* Cli.make
      const ended = yield* cli.run(["send", "n".repeat(201), "hello"])
      assert.strictEqual(ended.code, 2)
      assert.match(ended.stderr, /A session takes a name of 1 to 200 characters without control characters, in UTF-8\./)
      assert.notMatch(ended.stderr, /Predicate|SessionId/)
    }), 60_000)

  it.scopedLive("an empty key is refused and nothing is queued", () =>
    Effect.gen(function*() {
      const cli = yield* Cli.make
      for (const command of [["send", "demo"], ["run", "--session", "demo", "--exec", "cat"]]) {
        for (const key of ["", " "]) {
          const ended = yield* cli.run([...command, "--key", key, "hello"])
          assert.deepStrictEqual([ended.code, ended.stdout], [2, ""])
          assert.match(ended.stderr, /--key/)
        }
      }
      assert.deepStrictEqual(cli.bytes(), {})
    }), 60_000)

  it.scopedLive(
    "MEERKAT_MAX_ATTEMPTS sets the attempts of an input, and --attempts overrides it",
    () =>
      Effect.gen(function*() {
        const cli = yield* Cli.make
        const env = { MEERKAT_MAX_ATTEMPTS: "2" }
        const agent = ["--exec", "exit 7", "--json", "x"]
        const [two] = Cli.documents(yield* cli.run(["run", ...agent], { env }))
        const [one] = Cli.documents(yield* cli.run(["run", "--attempts", "1", ...agent], { env }))
        assert.deepStrictEqual([two.attempts, one.attempts], [2, 1])
        const wrong = yield* cli.run(["run", ...agent], { env: { MEERKAT_MAX_ATTEMPTS: "many" } })
        assert.strictEqual(wrong.code, 2, wrong.stderr)
      }),
    60_000
  )
})

describe.concurrent("texts of agents", () => {
  it.scopedLive(
    "are printed without control characters in tables and histories, but unchanged as an answer",
    () =>
      Effect.gen(function*() {
        const cli = yield* Cli.make
        const answer = "\u001b]0;title\u0007red\u009b31m\ttab\nline"
        cli.write("answer", answer)
        const run = yield* cli.run(["run", "--session", "s", "--exec", "cat answer", "hello"])
        assert.strictEqual(run.stdout, `${answer}\n`)
        const history = yield* cli.run(["history", "s"])
        assert.strictEqual(history.stdout, "user: hello\nassistant: ␛]0;title␇red\\x9b31m\ttab\nline\n")
        assert.match((yield* cli.run(["inputs", "s"])).stdout, /␛\]0;title␇red\\x9b31m tab line/)
        assert.strictEqual(Cli.documents(yield* cli.run(["history", "s", "--json"]))[1].blocks[0].text, answer)
      }),
    60_000
  )

  it("are cut between characters, not inside one", () => {
    assert.strictEqual(brief(`${"x".repeat(58)}😀😀`), `${"x".repeat(58)}…`)
  })

  it("are listed in full, however many there are", () => {
    const rows = Array.from({ length: 200_000 }, (_, n) => [String(n), "x"])
    assert.match(aligned(["N", "WHAT"], rows), /^N {7}WHAT\n0 {7}x\n[^]*\n199999 {2}x$/)
  })
})

describe("an error of a history", () => {
  it("asks to repeat the command when the body was replaced meanwhile, instead of reporting damage", () => {
    const runtimeId = runtimeIdOf(SessionId.make("s"))
    const replaced = ofReadError("jobs.db")(new BodyReplaced({ runtimeId }))
    assert.strictEqual(replaced.code, 1)
    assert.match(replaced.message, /replaced while it was read.*Run the same command again/)
    const damaged = ofReadError("jobs.db")(new StoreCorrupt({ table: "message", key: "1", detail: "missing" }))
    assert.deepStrictEqual([damaged.code, damaged.message], [4, "jobs.db cannot be read: missing"])
  })
})
