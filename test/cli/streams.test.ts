/** What the program does when its output cannot be written: the reader has gone, or the disk is full. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as Cli from "../support/cli.js"

/** Runs a script whose output goes to a reader that has gone. Returns the exit code and standard error. */
const unread = (cli: Cli.Cli, script: string) =>
  Effect.map(
    cli.shell(`{ until [ -e gone ]; do sleep 0.02; done; ${script}; echo $? > code; } | { exec <&-; touch gone; }`),
    ({ stderr }) => ({ code: Number(cli.read("code")), stderr })
  )

describe.concurrent("standard output", () => {
  it.scopedLive.skipIf(!fs.existsSync("/dev/full"))(
    "the program fails and keeps the answer when it cannot be written (where there is /dev/full)",
    () =>
      Effect.gen(function*() {
        const cli = yield* Cli.make
        const run = yield* cli.shell("meerkat run --session s --exec cat hello > /dev/full")
        assert.strictEqual(run.code, 1)
        assert.match(run.stderr, /Standard output cannot be written: ENOSPC.* is stored. See: meerkat inputs s/)
        assert.strictEqual((yield* cli.run(["history", "s"])).stdout, "user: hello\nassistant: hello\n")
        const look = yield* cli.shell("meerkat history s > /dev/full")
        assert.strictEqual(look.code, 1)
        const send = yield* cli.shell("meerkat send s later > /dev/full")
        assert.strictEqual(send.code, 1)
        assert.match(send.stderr, /The prompt is queued as input [0-9a-f-]{36}/)
        assert.strictEqual((yield* cli.shell("meerkat resume --exec cat > /dev/full")).code, 1)
      }),
    60_000
  )

  it.scopedLive("a failed turn stays a failure when the reader has gone", () =>
    Effect.gen(function*() {
      const cli = yield* Cli.make
      const failed = yield* unread(cli, "meerkat run --session s --json --exec 'exit 3' hi")
      assert.strictEqual(failed.code, 1)
      assert.match(failed.stderr, /exited with code 3/)
      assert.deepStrictEqual(yield* unread(cli, "meerkat run --session s --exec cat hi"), { code: 0, stderr: "" })
      assert.deepStrictEqual(yield* unread(cli, "meerkat history s"), { code: 0, stderr: "" })
    }), 60_000)

  it.scopedLive("resume stops and says so when its reader has gone", () =>
    Effect.gen(function*() {
      const cli = yield* Cli.make
      for (const session of ["a", "b", "c"]) yield* cli.run(["send", session, session])
      const resumed = yield* unread(cli, "meerkat resume --exec cat")
      assert.strictEqual(resumed.code, 130)
      assert.match(resumed.stderr, /interrupted: what has not ended is kept/)
      assert.strictEqual((yield* cli.run(["resume", "--exec", "cat"])).stdout, "b: b\nc: c\n")
    }), 60_000)
})

describe.concurrent("standard error", () => {
  const broken: ReadonlyArray<readonly [string, string]> = [
    ["is full", "meerkat run --exec 'sleep 0.2; cat' hi 2> /dev/full"],
    [
      "has no reader",
      `exec 3>&1
      { until [ -e gone ]; do sleep 0.02; done; meerkat run --exec 'sleep 0.2; cat' hi 2>&1 >&3; echo $? > code; } |
        { exec <&-; touch gone; }
      exit $(cat code)`
    ]
  ]
  for (const [name, script] of broken) {
    it.scopedLive.skipIf(!fs.existsSync("/dev/full"))(
      `the work continues when it ${name} (where there is /dev/full)`,
      () =>
        Effect.gen(function*() {
          const cli = yield* Cli.make
          const { code, stdout } = yield* cli.shell(script)
          assert.deepStrictEqual({ code, stdout }, { code: 0, stdout: "hi\n" })
        }),
      60_000
    )
  }
})
