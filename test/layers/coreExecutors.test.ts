/** The executors of the package, run through a machine in memory. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as CoreExecutorCommand from "../../layers/CoreExecutorCommand.js"
import * as CoreExecutorEcho from "../../layers/CoreExecutorEcho.js"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import type { CoreExecutor } from "../../services/CoreExecutor.js"
import * as CoreExecutors from "../../services/CoreExecutor.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import * as Turn from "../../services/Turn.js"
import { describe as inWords } from "../../src/domain/Completion.js"

/** Prompts a fresh session. Returns the outcome in words, the answer and the number of attempts. */
const ask = (executor: CoreExecutor, text: string) =>
  Effect.gen(function*() {
    const machine = yield* MeerkatMachine
    const session = yield* machine.sessionScoped("s", executor)
    const { completion } = yield* session.prompt(text)
    const outcome = yield* completion.wait
    const state = yield* machine.inputState(session.sessionId, completion.inputId)
    const answer = outcome._tag === "Completed" ? outcome.result : null
    return { answer, words: inWords(outcome), attempts: state._tag === "Some" ? state.value.attempts : 0 }
  }).pipe(Effect.scoped, Effect.provide(Layer.fresh(MeerkatMachineLive.layerEphemeral)))

const shell = (line: string, options: Partial<CoreExecutorCommand.CommandExecutorOptions> = {}) =>
  CoreExecutorCommand.make({ command: { shell: line }, ...options })

describe("CoreExecutor.make", () => {
  it.live("releases the resources of a turn at the end of the turn", () =>
    Effect.gen(function*() {
      let open = 0
      const resource = Effect.acquireRelease(Effect.sync(() => ++open), () => Effect.sync(() => --open))
      const machine = yield* MeerkatMachine
      const executor = CoreExecutors.make(() => Effect.map(resource, (now) => Turn.reply(`${now}`)))
      const session = yield* machine.sessionScoped("s", executor)
      for (let i = 0; i < 3; i++) assert.deepStrictEqual(yield* session.ask("x"), { text: "1" })
      assert.strictEqual(open, 0)
    }).pipe(Effect.scoped, Effect.provide(Layer.fresh(MeerkatMachineLive.layerEphemeral))))
})

describe("CoreExecutorEcho", () => {
  it.live("answers with the text of the turn", () =>
    Effect.map(ask(CoreExecutorEcho.make, "a\nb"), ({ answer }) => assert.deepStrictEqual(answer, { text: "a\nb" })))
})

describe("CoreExecutorCommand", () => {
  it.live("passes the prompt unchanged and removes only line ends from the answer", () =>
    Effect.gen(function*() {
      const { answer } = yield* ask(shell("cat; echo; echo"), "  a\tß\n\nb")
      assert.deepStrictEqual(answer, { text: "  a\tß\n\nb" })
    }))

  it.live("sets session, run and attempt in the environment, beside the given variables", () =>
    Effect.gen(function*() {
      const line = "echo $MEERKAT_SESSION $MEERKAT_ATTEMPT ${#MEERKAT_RUN} $EXTRA"
      const { answer } = yield* ask(shell(line, { env: { EXTRA: "more" } }), "x")
      assert.deepStrictEqual(answer, { text: "s 1 36 more" })
    }))

  it.live("inherits the environment", () =>
    Effect.gen(function*() {
      const { answer } = yield* ask(shell("printenv PATH"), "x")
      assert.deepStrictEqual(answer, { text: process.env["PATH"] ?? "" })
    }))

  it.live("reports only the exit code when standard error is empty", () =>
    Effect.gen(function*() {
      const { words } = yield* ask(shell("exit 3"), "x")
      assert.match(words, /exited with code 3$/)
    }))

  it.live("parses a JSON answer, and shows the beginning of any other answer", () =>
    Effect.gen(function*() {
      const json = { output: "json" } as const
      const good = yield* ask(shell(`echo '{"text": "t", "data": [1]}'`, json), "x")
      assert.deepStrictEqual(good.answer, { text: "t", data: [1] })
      const short = yield* ask(shell("printf %080d 0", json), "x")
      assert.match(short.words, /: 0{80}$/)
      const long = yield* ask(shell("printf %081d 0", json), "x")
      assert.match(long.words, /: 0{80}…$/)
    }), 20_000)

  it.live("does not retry a program that does not exist", () =>
    Effect.gen(function*() {
      const { attempts, words } = yield* ask(CoreExecutorCommand.make({ command: { argv: ["no-such-program"] } }), "x")
      assert.match(words, /no-such-program did not start/)
      assert.strictEqual(attempts, 1)
    }))

  it.live("retries after an exit code, a timeout and an empty answer", () =>
    Effect.gen(function*() {
      const results = yield* Effect.all([
        ask(shell("echo why >&2; exit 2"), "x"),
        ask(shell("sleep 60", { timeout: "50 millis", grace: 0 }), "x"),
        ask(shell("true"), "x")
      ], { concurrency: 3 })
      assert.deepStrictEqual(results.map(({ attempts }) => attempts), [3, 3, 3])
      const [exited, timedOut, empty] = results.map(({ words }) => words)
      assert.match(exited ?? "", /exited with code 2: why/)
      assert.match(timedOut ?? "", /timed out after 50ms/)
      assert.match(empty ?? "", /empty answer/)
    }), 20_000)

  it.live("passes standard error of the program to onStderr", () =>
    Effect.gen(function*() {
      const heard: Array<string> = []
      yield* ask(shell("echo working >&2; cat", { onStderr: (text) => void heard.push(text) }), "x")
      assert.strictEqual(heard.join(""), "working\n")
    }))
})

describe("a supervised command", () => {
  it.live("returns its output, or fails with its exit code or signal", () =>
    Effect.gen(function*() {
      const shell = (text: string, env = {}) => CoreExecutorCommand.output({ command: { shell: text }, env })
      assert.strictEqual(yield* shell("echo \"$WORD\"; echo; echo", { WORD: "hello" }), "hello")
      const failed = yield* Effect.flip(shell("echo broken >&2; exit 3"))
      assert.deepInclude(failed, { _tag: "CommandFailed", exitCode: 3, signal: null })
      assert.strictEqual(failed.message, "exited with 3: broken")
      const killed = yield* Effect.flip(shell("kill -KILL $$"))
      assert.strictEqual(killed.message, "ended by signal SIGKILL")
      const missing = yield* Effect.flip(CoreExecutorCommand.output({ command: { argv: ["no-such-program"] } }))
      assert.strictEqual(missing._tag, "CommandNotStarted")
      assert.strictEqual((yield* CoreExecutorCommand.runCommand({ command: { shell: "exit 3" } })).exitCode, 3)
    }))
})
