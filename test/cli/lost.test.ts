// @effect-diagnostics nodeBuiltinImport:off
/** A store whose file is removed during a turn: the program reports the loss and saves the contents of the store. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import { dirname } from "node:path"
import { type Cli, documents, type Ended, make } from "../support/cli.js"

const rescuedOf = (cli: Cli, { stderr }: Ended): string => {
  const path = /saved as (\S+?\.rescued-\d+)/.exec(stderr)?.[1] ?? ""
  assert.isTrue(path.startsWith(cli.folder) && fs.existsSync(path), stderr)
  return path
}

/** Returns the answers in the history of a session. */
const answers = (cli: Cli, db: string) =>
  Effect.map(cli.run(["history", "s", "--db", db, "--json"]), (ended) => {
    assert.strictEqual(ended.code, 0, ended.stderr)
    return documents(ended).filter(({ role }) => role === "assistant").map((message) => JSON.stringify(message))
  })

/** Runs two turns; the agent of the second one damages the store. */
const turns = (cli: Cli, db: string, damage: string) =>
  Effect.gen(function*() {
    fs.mkdirSync(dirname(cli.path(db)), { recursive: true })
    const first = yield* cli.run(["run", "--session", "s", "--db", db, "--exec", "echo answer 1", "question 1"])
    assert.strictEqual(first.code, 0, first.stderr)
    return yield* cli.run(["run", "--session", "s", "--db", db, "--exec", `${damage}; echo answer 2`, "question 2"])
  })

const damages: ReadonlyArray<readonly [what: string, db: string, damage: string]> = [
  ["the file is removed", "meerkat.db", "rm meerkat.db"],
  ["the file and all beside it are removed", "meerkat.db", "rm -f meerkat.db*"],
  ["the log is removed", "meerkat.db", "rm meerkat.db-wal"],
  ["the folder is renamed while the agent works", "in/side/meerkat.db", "mv in/side in/other; sleep 1"]
]

describe("a store that goes away during a turn", () => {
  for (const [what, db, damage] of damages) {
    it.scopedLive(`ends the program with 7 and is saved when ${what}`, () =>
      Effect.gen(function*() {
        const cli = yield* make
        const ended = yield* turns(cli, db, damage)
        assert.deepStrictEqual([ended.code, ended.stdout], [7, ""], ended.stderr)
        const rescued = rescuedOf(cli, ended)
        // the turn is in it, with its answer or as one that runs again
        const resumed = yield* cli.run(["resume", "--db", rescued, "--exec", "echo answer 2"])
        assert.strictEqual(resumed.code, 0, resumed.stderr)
        const kept = yield* answers(cli, rescued)
        assert.deepStrictEqual(
          [1, 2].map((n) => kept.filter((text) => text.includes(`answer ${n}`)).length),
          [1, 1],
          kept.join("\n")
        )
      }), 120_000)
  }
})

describe("a store that is missing where one was", () => {
  it.scopedLive(
    "is refused by every command with the name of the rescued file, and works when that file is moved back",
    () =>
      Effect.gen(function*() {
        const cli = yield* make
        const rescued = rescuedOf(cli, yield* turns(cli, "meerkat.db", "rm meerkat.db"))
        const before = cli.bytes()
        const commands = [
          ["run", "--session", "s", "--exec", "echo no", "question"],
          ["send", "s", "question"],
          ["resume", "--exec", "echo no"],
          ["sessions"]
        ]
        for (const command of commands) {
          const refused = yield* cli.run(command)
          assert.strictEqual(refused.code, 7, `${command.join(" ")}: ${refused.stderr}`)
          for (const word of ["missing", `${cli.path("meerkat.db")}.anchor`, rescued, "--accept-loss"]) {
            assert.include(refused.stderr, word)
          }
        }
        assert.deepStrictEqual(cli.bytes(), before)
        fs.renameSync(rescued, cli.path("meerkat.db"))
        const next = yield* cli.run(["run", "--session", "s", "--exec", "echo answer 4", "question 4"])
        assert.deepStrictEqual([next.code, next.stdout], [0, "answer 4\n"], next.stderr)
        assert.strictEqual((yield* answers(cli, "meerkat.db")).length, 3)
      }),
    120_000
  )

  it.scopedLive("begins again with --accept-loss, once", () =>
    Effect.gen(function*() {
      const cli = yield* make
      yield* turns(cli, "meerkat.db", "rm meerkat.db")
      const command = ["run", "--session", "s", "--exec", "echo fresh", "question"]
      const accepted = yield* cli.run(["run", "--accept-loss", ...command.slice(1)])
      assert.deepStrictEqual([accepted.code, accepted.stdout], [0, "fresh\n"], accepted.stderr)
      const next = yield* cli.run(command)
      assert.deepStrictEqual([next.code, next.stdout], [0, "fresh\n"], next.stderr)
      assert.strictEqual((yield* answers(cli, "meerkat.db")).length, 2)
    }), 120_000)

  it.scopedLive("is no loss when nothing of it is left", () =>
    Effect.gen(function*() {
      const cli = yield* make
      yield* turns(cli, "meerkat.db", "rm -f meerkat.db*")
      const next = yield* cli.run(["run", "--session", "s", "--exec", "echo fresh", "question"])
      assert.deepStrictEqual([next.code, next.stdout], [0, "fresh\n"], next.stderr)
    }), 120_000)
})
