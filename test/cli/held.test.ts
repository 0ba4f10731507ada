/** The program over held inputs, which run only along with other inputs. Processes of the library leave them behind. */
import { assert, describe, it } from "@effect/vitest"
import Database from "better-sqlite3"
import * as Effect from "effect/Effect"
import type { MeerkatMachineService } from "../../services/MeerkatMachine.js"
import { InputId, SessionId } from "../../src/domain/Ids.js"
import type { Input } from "../../src/domain/Input.js"
import * as Cli from "../support/cli.js"
import * as Library from "../support/library.js"

const s = SessionId.make("s")

/** Registers session `s` in a process of the library, uses the machine, and ends the process. */
const leaves = <A, E>(cli: Cli.Cli, use: (machine: MeerkatMachineService) => Effect.Effect<A, E>) =>
  Library.on(cli.path("meerkat.db"), (machine) => Effect.zipRight(machine.registerSession(s), use(machine)))

const prompts = (text: string, options: { readonly hold?: boolean; readonly idempotencyKey?: string }) =>
(
  machine: MeerkatMachineService
) => Effect.map(machine.session(s).prompt(text, options), ({ completion }) => completion.inputId)

const progress: Input = {
  _tag: "Peer",
  header: {
    id: InputId.make("11111111-1111-7111-8111-111111111111"),
    timestamp: 0,
    source: { type: "peer", peerId: "p" },
    durability: "durable",
    visibility: { transcriptEligible: true, operatorEligible: true }
  },
  convention: { type: "response_progress", requestId: "r", phase: "in_progress" },
  body: "half of it"
}

/** An agent that waits for a file `go`, then answers with its prompt. */
const waits = "echo $$ >> runs; until test -e go; do sleep 0.05; done; cat"

/** Runs the program, whose store refuses every end of an input from its first answer on. */
const unstored = (cli: Cli.Cli, args: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const running = yield* cli.start([...args, "--json", "--exec", waits])
    yield* Cli.until(() => cli.lines("runs").length === 1)
    yield* Cli.untilStaged(cli, "s")
    const db = new Database(cli.path("meerkat.db"))
    db.exec("CREATE TRIGGER refused BEFORE INSERT ON ended BEGIN SELECT raise(ABORT, 'refused'); END")
    db.close()
    cli.write("go", "")
    return yield* running.ended
  })

describe.concurrent("resume of held inputs", () => {
  it.scopedLive(
    "reports them as waiting for another input and continues with the next session",
    () =>
      Effect.gen(function*() {
        const cli = yield* Cli.make
        const held = yield* leaves(cli, prompts("note this", { hold: true }))
        yield* leaves(cli, (machine) => machine.acceptInput(s, progress))
        yield* cli.run(["send", "t", "other"])
        const resumed = yield* cli.run(["resume", "--exec", "cat"])
        assert.deepStrictEqual([resumed.code, resumed.stdout], [0, "t: other\n"])
        assert.include(resumed.stderr, `s: ${held} is held: it waits for another input\n`)
        assert.include(resumed.stderr, `s: ${progress.header.id} is held: it waits for another input\n`)
        const again = yield* cli.run(["resume", "--json", "--exec", "exit 9", "s"])
        assert.strictEqual(again.code, 0)
        assert.sameDeepMembers(
          Cli.documents(again),
          [held, progress.header.id].map((input) => ({ session: "s", input, status: "held" }))
        )
      }),
    60_000
  )

  it.scopedLive("runs them along with a driving input and reports those that are left", () =>
    Effect.gen(function*() {
      const cli = yield* Cli.make
      yield* leaves(cli, prompts("first", { hold: true }))
      yield* cli.run(["send", "s", "second"])
      const last = yield* leaves(cli, prompts("third", { hold: true }))
      const resumed = yield* cli.run(["resume", "--exec", "cat"])
      assert.deepStrictEqual([resumed.code, resumed.stdout], [0, "s: first\ns: second\n"])
      assert.strictEqual(resumed.stderr, `s: ${last} is held: it waits for another input\n`)
    }), 60_000)

  it.scopedLive(
    "runs them along with the wake of background work that ended with its process",
    () =>
      Effect.gen(function*() {
        const cli = yield* Cli.make
        yield* leaves(cli, (machine) =>
          Effect.zipRight(
            machine.acceptInput(s, progress),
            machine.session(s).operations.run(Effect.never, { displayName: "work" })
          ))
        const resumed = yield* cli.run(["resume", "--exec", "echo done"])
        assert.deepStrictEqual([resumed.code, resumed.stdout], [0, "s: done\ns: done\n"], resumed.stderr)
        assert.strictEqual((yield* cli.run(["resume", "--exec", "cat"])).stderr, "nothing is pending\n")
      }),
    60_000
  )

  it.scopedLive("run does not wait for a held input that its key names", () =>
    Effect.gen(function*() {
      const cli = yield* Cli.make
      const held = yield* leaves(cli, prompts("note this", { hold: true, idempotencyKey: "k" }))
      const named = ["run", "--session", "s", "--key", "k", "--exec", "cat", "note this"]
      const run = yield* cli.run(named)
      assert.deepStrictEqual([run.code, run.stdout], [5, ""])
      assert.match(run.stderr, new RegExp(`${held}, which has this key, is held: it waits for another input`))
      yield* cli.run(["send", "s", "second"])
      const along = yield* cli.run(named)
      assert.deepStrictEqual([along.code, along.stdout], [0, "note this\n"])
    }), 60_000)
  it.scopedLive(
    "run prints the answer of a held input that its key names, also when it could not be stored",
    () =>
      Effect.gen(function*() {
        const cli = yield* Cli.make
        const held = yield* leaves(cli, prompts("note this", { hold: true, idempotencyKey: "k" }))
        yield* cli.run(["send", "s", "second"])
        const run = yield* unstored(cli, ["run", "--session", "s", "--key", "k", "note this"])
        const [{ input, status, text }] = Cli.documents(run)
        assert.deepStrictEqual([run.code, input, status, text], [4, held, "unfinished", "note this"], run.stderr)
      }),
    60_000
  )

  it.scopedLive(
    "resume reports a held input as unfinished when its session can run nothing more",
    () =>
      Effect.gen(function*() {
        const cli = yield* Cli.make
        yield* cli.run(["send", "s", "first"])
        yield* leaves(cli, prompts("second", { hold: true }))
        const resumed = yield* unstored(cli, ["resume"])
        const statuses = Cli.documents(resumed).map(({ status }) => status)
        assert.deepStrictEqual([resumed.code, statuses], [4, ["unfinished", "unfinished"]], resumed.stderr)
      }),
    60_000
  )
})
