/** What becomes of the input that runs when the program is asked to end. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Cli from "../support/cli.js"

const documents = ({ stdout }: Cli.Ended) => stdout.trim().split("\n").map((row) => JSON.parse(row))

/** An agent that says when it is asked to end, and does not. */
const stubborn = "trap 'echo x >> asked' TERM; echo $$ >> runs; while :; do sleep 60; done"

/** A resume that has been asked once to end, and has not ended yet. */
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
  it.scopedLive("a hangup ends it in order: the input is kept and nothing is counted", () =>
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

  it.scopedLive("a second hangup changes nothing", () =>
    Effect.gen(function*() {
      const cli = yield* Cli.make
      const running = yield* asked(cli, "SIGHUP")
      yield* running.kill("SIGHUP")
      assert.strictEqual((yield* running.ended).code, 130)
      const [ended] = documents(yield* cli.run(["resume", "--json", "--exec", "cat"]))
      assert.deepStrictEqual([ended.status, ended.crashedAttempts], ["completed", 0])
    }), 60_000)

  it.scopedLive("a second Ctrl-C ends it at once, and counts as a crash", () =>
    Effect.gen(function*() {
      const cli = yield* Cli.make
      const running = yield* asked(cli, "SIGINT")
      yield* running.kill("SIGINT")
      assert.strictEqual((yield* running.ended).signal, "SIGINT")
      const [ended] = documents(yield* cli.run(["resume", "--json", "--exec", "cat"]))
      assert.deepStrictEqual([ended.status, ended.crashedAttempts], ["completed", 1])
    }), 60_000)
})
