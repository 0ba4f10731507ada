/** What happens to the running input when the program is asked to end. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Cli from "../support/cli.js"

/** An agent that records each request to end, and ignores it. */
const stubborn = "trap 'echo x >> asked' TERM; echo $$ >> runs; while :; do sleep 60; done"

/** Starts a resume and asks it once to end. Its agent keeps it from ending. */
const asked = (cli: Cli.Cli, signal: "SIGHUP" | "SIGINT") =>
  Effect.gen(function*() {
    yield* cli.run(["send", "h", "precious"])
    const running = yield* cli.start(["resume", "--exec", stubborn])
    yield* Cli.until(() => cli.lines("runs").length === 1)
    yield* Cli.untilStaged(cli, "h")
    yield* running.kill(signal)
    yield* Cli.until(() => cli.lines("asked").length > 0)
    return running
  })

describe.concurrent("signals", () => {
  it.scopedLive("a hangup ends the program in order, keeps the input and counts nothing", () =>
    Effect.gen(function*() {
      const cli = yield* Cli.make
      yield* cli.run(["send", "h", "precious"])
      const running = yield* cli.start(["resume", "--exec", "echo $$ >> runs; sleep 60"])
      yield* Cli.until(() => cli.lines("runs").length === 1)
      yield* running.kill("SIGHUP")
      assert.strictEqual((yield* running.ended).code, 130)
      assert.isFalse(Cli.isAlive(Number(cli.lines("runs")[0])))
      const input = JSON.parse((yield* cli.run(["inputs", "h", "--json"])).stdout)
      assert.deepStrictEqual([input.phase, input.charged, input.crashed], ["queued", 0, 0])
    }), 60_000)

  const seconds = [
    ["a second hangup changes nothing", "SIGHUP", { code: 130, signal: null }, 0],
    ["a second Ctrl-C ends the program at once and counts as a crash", "SIGINT", { code: null, signal: "SIGINT" }, 1]
  ] as const
  for (const [name, signal, end, crashedAttempts] of seconds) {
    it.scopedLive(name, () =>
      Effect.gen(function*() {
        const cli = yield* Cli.make
        const running = yield* asked(cli, signal)
        yield* running.kill(signal)
        assert.deepInclude(yield* running.ended, end)
        const [ended] = Cli.documents(yield* cli.run(["resume", "--json", "--exec", "cat"]))
        assert.deepInclude(ended, { status: "completed", crashedAttempts })
      }), 60_000)
  }
})
