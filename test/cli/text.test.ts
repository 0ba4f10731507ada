/** The program with texts and names that are invalid UTF-8 or contain half of a character. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Cli from "../support/cli.js"

/** Parses JSON like `serde_json` and `jq`: an escape of half a character is an error. */
const strictly = (text: string): unknown => {
  assert.notMatch(text.replaceAll("\\\\", ""), /\\ud[89a-f]/i)
  return JSON.parse(text)
}

describe.concurrent("texts", () => {
  it.scopedLive(
    "documents of later turns are well formed when an agent answered half of a character",
    () =>
      Effect.gen(function*() {
        const cli = yield* Cli.make
        // the text and a key of the data, as an escape
        cli.write("answer", "{\"text\":\"half \\ud83d\",\"data\":{\"\\ud83d\":\"\\ude00\"}}")
        const agent = ["--input", "json", "--output", "json", "--exec", "cat > turn; cat answer"]
        const first = yield* cli.run(["run", "--session", "s", "--key", "k", "--json", ...agent, "hello"])
        assert.strictEqual(first.code, 0, first.stderr)
        assert.include(JSON.stringify(strictly(first.stdout)), "half \ufffd")
        const second = yield* cli.run(["run", "--session", "s", ...agent, "again"])
        assert.strictEqual(second.code, 0, second.stderr)
        assert.include(JSON.stringify(strictly(cli.read("turn"))), "half \ufffd")
        for (const args of [["history", "s", "--json"], ["inputs", "s", "--json"], ["receipts", "s", "--json"]]) {
          const listed = yield* cli.run(args)
          assert.strictEqual(listed.code, 0, listed.stderr)
          for (const line of listed.stdout.trim().split("\n")) strictly(line)
        }
        const known = yield* cli.run(["run", "--session", "s", "--key", "k", "--json", ...agent, "hello"])
        assert.include(JSON.stringify(strictly(known.stdout)), "half \ufffd")
      }),
    60_000
  )

  it.scopedLive("a prompt is repaired when its bytes are no UTF-8", () =>
    Effect.gen(function*() {
      const cli = yield* Cli.make
      const said = yield* cli.shell("printf 'a\\377\\355\\240\\275b' | meerkat run --session s --exec cat -")
      assert.strictEqual(said.code, 0, said.stderr)
      assert.match(said.stdout, /^a\ufffd+b\n$/)
    }), 60_000)

  for (const [what, option] of [["--key", "--session s --key \"$name\""], ["--session", "--session \"$name\""]]) {
    it.scopedLive(`run refuses ${what} when its bytes are no UTF-8, and writes nothing`, () =>
      Effect.gen(function*() {
        const cli = yield* Cli.make
        const ended = yield* cli.shell(`name=$(printf 'k\\355\\240\\275'); meerkat run ${option} --exec cat hello`)
        assert.strictEqual(ended.code, 2, ended.stderr)
        assert.include(ended.stderr, "UTF-8")
        assert.deepStrictEqual(cli.bytes(), {})
      }), 60_000)
  }
})
