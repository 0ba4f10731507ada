/** Supervised commands: how they start, read, write and end, and what they leave behind when their parent is killed. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Either, Exit, Fiber, Schedule } from "effect"
import { spawn } from "node:child_process"
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { pathToFileURL } from "node:url"
import { type CommandOptions, run, stdoutText } from "../../layers/internal/commandProcess.js"

type Overrides = Partial<Omit<CommandOptions, "command">>

const runIn = (command: CommandOptions["command"], options: Overrides) =>
  run({
    command,
    stdin: "",
    env: { PATH: process.env["PATH"] ?? "" },
    graceMs: 2_000,
    maxOutputBytes: 64 * 1024 * 1024,
    stderrTailBytes: 4096,
    ...options
  })
const sh = (shell: string, options: Overrides = {}) => runIn({ shell }, options)
const argv = (words: ReadonlyArray<string>, options: Overrides = {}) => runIn({ argv: words }, options)

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(path.join(tmpdir(), "meerkat-command-"))),
  (dir) => Effect.sync(() => rmSync(dir, { recursive: true, force: true }))
)

/** Waits for a condition that other processes bring about. Dies after ten seconds. */
const eventually = (what: string, condition: () => boolean) =>
  Effect.suspend(() => condition() ? Effect.void : Effect.fail("not yet")).pipe(
    Effect.retry({ schedule: Schedule.spaced("5 millis") }),
    Effect.timeoutFail({ duration: "10 seconds", onTimeout: () => new Error(`never: ${what}`) }),
    Effect.orDie
  )

/** The last line that a command wrote to a file. */
const read = (file: string) => existsSync(file) ? readFileSync(file, "utf8").trim() : ""

const pidsIn = (dir: string, names: ReadonlyArray<string>) =>
  Effect.as(eventually(`${names} started`, () => names.every((name) => read(path.join(dir, name)) !== "")), dir).pipe(
    Effect.map(() => names.map((name) => Number(read(path.join(dir, name)))))
  )

/** Whether a process runs. A zombie counts as ended: only its parent has not collected it yet. */
const lives = (pid: number) => {
  const exists = Either.isRight(Either.try(() => process.kill(pid, 0)))
  const stat = exists && process.platform === "linux" ? read(`/proc/${pid}/stat`) : ""
  return exists && !/\) [ZX] /.test(stat)
}
const living = (pids: ReadonlyArray<number>) => pids.filter(lives)

const ignoring = "trap '' TERM"

/** For tests that need `/proc` or programs of Linux. */
const onLinux = it.live.skipIf(process.platform !== "linux")

describe("a command that ends", () => {
  it.live("reads its input and writes its answer", () =>
    Effect.gen(function*() {
      const result = yield* sh("cat; echo done >&2", { stdin: "hällo" })
      assert.deepStrictEqual([stdoutText(result), result.stderrTail, result.exitCode, result.signal], [
        "hällo",
        "done\n",
        0,
        null
      ])
    }))

  it.live("reports its exit code or signal as the kernel does", () =>
    Effect.gen(function*() {
      const ends = yield* Effect.forEach(
        [
          "exit 3",
          "exit 255",
          "exit 143",
          "exit 126",
          "no-such-program",
          "kill -TERM $$",
          "kill -KILL $$",
          "kill -INT $$"
        ],
        (command) => Effect.map(sh(command), ({ exitCode, signal }) => exitCode ?? signal)
      )
      assert.deepStrictEqual(ends, [3, 255, 143, 126, 127, "SIGTERM", "SIGKILL", "SIGINT"])
    }))

  it.live("receives its arguments and its environment unchanged", () =>
    Effect.gen(function*() {
      const words = ["printf", "%s|", "", "a b", "$HOME", "*", "-n", "it's \"so\"\n"]
      assert.strictEqual(stdoutText(yield* argv(words)), "|a b|$HOME|*|-n|it's \"so\"\n|")
      const env = { PATH: process.env["PATH"] ?? "", MEERKAT_ATTEMPT: "2 of 3" }
      const { stdout } = yield* argv(["env"], { env })
      const lines = Buffer.from(stdout).toString().split("\n").filter((line) => /^(MEERKAT|PATH)/.test(line))
      assert.deepStrictEqual(lines.sort(), [`MEERKAT_ATTEMPT=2 of 3`, `PATH=${env.PATH}`])
    }))

  it.live("may leave its input unread and close its streams", () =>
    Effect.gen(function*() {
      const deaf = yield* sh("exit 0", { stdin: new Uint8Array(8 * 1024 * 1024) })
      assert.strictEqual(deaf.exitCode, 0)
      const closed = yield* sh("exec <&- >&- 2>&-; sleep 0.05; exit 4", { stdin: new Uint8Array(1024 * 1024) })
      assert.deepStrictEqual([closed.exitCode, closed.stdout.length], [4, 0])
    }))

  it.live("has all of a large output read", () =>
    Effect.gen(function*() {
      const limit = 50 * 1024 * 1024
      const { stdout } = yield* sh(`head -c ${limit} /dev/zero`, { maxOutputBytes: limit })
      assert.strictEqual(stdout.length, limit)
    }))

  it.live("may write a character in two parts", () =>
    Effect.gen(function*() {
      const told: Array<string> = []
      const pause = "sleep 0.03"
      const { stderrTail, stdout } = yield* sh(
        `printf '\\303'; printf 'a\\342' >&2; ${pause}; printf '\\251'; printf '\\202' >&2; ${pause}; printf '\\254b' >&2`,
        { onStderr: (text) => told.push(text), stderrTailBytes: 3 }
      )
      assert.strictEqual(Buffer.from(stdout).toString(), "é")
      assert.deepStrictEqual(told, ["a", "€b"])
      // The last three bytes begin inside the character.
      assert.strictEqual(stderrTail, "b")
    }))

  it.live("keeps only the end of its standard error", () =>
    Effect.gen(function*() {
      const result = yield* sh("seq 1 200000 >&2; exit 3", { stderrTailBytes: 14 })
      assert.deepStrictEqual([result.stderrTail, result.exitCode], ["199999\n200000\n", 3])
    }))

  it.effect("measures its duration in real time, whichever clock the program uses", () =>
    Effect.gen(function*() {
      const { durationMs } = yield* sh(`(${ignoring}; sleep 60) & sleep 0.1`, { graceMs: 50 })
      assert.isAtLeast(durationMs, 150)
    }))
})

describe("a command that cannot run", () => {
  it.live("fails with the reason when it cannot be started", () =>
    Effect.scoped(Effect.gen(function*() {
      const dir = yield* folder
      const plain = path.join(dir, "plain")
      writeFileSync(plain, "#!/bin/sh\n")
      chmodSync(plain, 0o644)
      const starts = [
        argv(["no-such-program"]),
        argv([path.join(dir, "missing")]),
        argv(["./plain"], { cwd: dir }),
        argv(["plain"], { env: { PATH: `/nowhere:${dir}` } }),
        argv([dir]),
        argv([]),
        sh("exit 0", { cwd: path.join(dir, "missing") }),
        sh("exit 0", { env: { LONG: "x".repeat(4 * 1024 * 1024) } }),
        sh("a\0b")
      ]
      const codes = yield* Effect.forEach(starts, (start) =>
        Effect.map(Effect.flip(start), (failure) => "code" in failure ? failure.code : failure._tag))
      assert.deepStrictEqual(codes, [
        "ENOENT",
        "ENOENT",
        "EACCES",
        "EACCES",
        "EACCES",
        "ENOENT",
        "ENOENT",
        "E2BIG",
        "ERR_INVALID_ARG_VALUE"
      ])
    })))

  it.live("is killed at once when it exceeds the output limit", () =>
    Effect.scoped(Effect.gen(function*() {
      const dir = yield* folder
      const limit = 1024 * 1024
      const failure = yield* Effect.flip(sh(`${ignoring}; echo $$ > pid; cat /dev/zero`, {
        cwd: dir,
        graceMs: 60_000,
        maxOutputBytes: limit
      }))
      assert.deepInclude(failure, { _tag: "OutputTooLarge", limit })
      assert.isEmpty(living(yield* pidsIn(dir, ["pid"])))
    })))

  it.live("dies with the defect of a listener that throws", () =>
    Effect.gen(function*() {
      const onStderr = () => {
        throw new Error("deaf")
      }
      const exit = yield* Effect.exit(sh("echo x >&2; sleep 60", { onStderr }))
      assert.deepStrictEqual(exit, Exit.die(new Error("deaf")))
    }))
})

describe("a background process of a command", () => {
  it.live("is asked to end and waited for when the command ends", () =>
    Effect.scoped(Effect.gen(function*() {
      const dir = yield* folder
      const background =
        "(trap 'sleep 0.1; echo bye > bye; exit' TERM; echo ready > ready; while :; do sleep 0.01; done)"
      const result = yield* sh(
        `${background} >/dev/null 2>&1 & echo $! > pid; until [ -s ready ]; do sleep 0.01; done; exit 7`,
        { cwd: dir, graceMs: 10_000 }
      )
      assert.deepStrictEqual([result.exitCode, read(path.join(dir, "bye"))], [7, "bye"])
      assert.isBelow(result.durationMs, 8_000)
      assert.isEmpty(living(yield* pidsIn(dir, ["pid"])))
    })))

  it.live("is killed after the grace", () =>
    Effect.scoped(Effect.gen(function*() {
      const dir = yield* folder
      const background = (pid: string) => `sh -c "${ignoring}; echo \\$\\$ > ${pid}; exec sleep 60"`
      const result = yield* sh(
        `${background("one")} & ${background("two")} <&- >&- 2>&- & until [ -s one -a -s two ]; do sleep 0.01; done`,
        { cwd: dir, graceMs: 200 }
      )
      assert.strictEqual(result.exitCode, 0)
      assert.isAtLeast(result.durationMs, 200)
      assert.isEmpty(living(yield* pidsIn(dir, ["one", "two"])))
    })))

  onLinux(
    "is killed even if it stopped its whole group, the watcher included (where there is /proc)",
    () =>
      Effect.scoped(Effect.gen(function*() {
        const dir = yield* folder
        const background = `sh -c "${ignoring}; echo \\$\\$ > pid; sleep 0.5; kill -STOP 0; sleep 60"`
        yield* sh(`${background} & until [ -s pid ]; do sleep 0.01; done`, { cwd: dir, graceMs: 1_000 })
        assert.isEmpty(living(yield* pidsIn(dir, ["pid"])))
      }))
  )

  onLinux(
    "is not the watcher, which the command never sees (where there is /proc)",
    () =>
      Effect.gen(function*() {
        const result = yield* sh(
          "for n in 3 4; do [ -e /proc/$$/fd/$n ] && echo $n; done; cat /proc/thread-self/children; exec perl -e '1 while wait() != -1'",
          { graceMs: 0 }
        )
        assert.strictEqual(stdoutText(result).trim(), "")
      }).pipe(Effect.timeout("5 seconds"))
  )

  it.live("shares its group with the watcher, which survives TERM and HUP and ends with KILL", () =>
    Effect.gen(function*() {
      const spared = yield* sh("trap : TERM HUP; kill -TERM 0; kill -HUP 0; sleep 0.05; exit 5")
      assert.strictEqual(spared.exitCode, 5)
      const suicide = yield* sh("kill -KILL 0")
      assert.deepStrictEqual([suicide.exitCode, suicide.signal], [null, "SIGKILL"])
    }))
})

describe("interruption", () => {
  it.live("lets the command end by itself within the grace", () =>
    Effect.scoped(Effect.gen(function*() {
      const dir = yield* folder
      const command = "trap 'echo bye > bye; exit 0' TERM; echo $$ > pid; while :; do sleep 0.01; done"
      const fiber = yield* Effect.fork(sh(command, { cwd: dir, graceMs: 10_000 }))
      const pids = yield* pidsIn(dir, ["pid"])
      const [took] = yield* Effect.timed(Fiber.interrupt(fiber))
      assert.strictEqual(read(path.join(dir, "bye")), "bye")
      assert.isBelow(Duration.toMillis(took), 8_000)
      assert.isEmpty(living(pids))
    })))

  it.live("kills the command and its children after the grace, and returns only then", () =>
    Effect.scoped(Effect.gen(function*() {
      const dir = yield* folder
      const command = `${ignoring}; echo $$ > parent; (sleep 60 & echo $! > child; wait)`
      const fiber = yield* Effect.fork(sh(command, { cwd: dir, graceMs: 200 }))
      const pids = yield* pidsIn(dir, ["parent", "child"])
      const exit = yield* Fiber.interrupt(fiber)
      assert.isTrue(Exit.isInterrupted(exit))
      assert.isEmpty(living(pids))
    })))

  it.live("leaves no process behind at any moment of the start", () =>
    Effect.scoped(Effect.gen(function*() {
      const dir = yield* folder
      yield* Effect.forEach(Array.from({ length: 30 }, (_, step) => step), (step) =>
        Effect.gen(function*() {
          const fiber = yield* Effect.fork(sh(`echo $$ > pid${step}; exec sleep 60`, { cwd: dir, graceMs: 10_000 }))
          yield* Effect.sleep(step / 5)
          const begun = process.hrtime.bigint()
          yield* Fiber.interrupt(fiber)
          assert.isBelow(Number(process.hrtime.bigint() - begun) / 1e6, 5_000)
          assert.isEmpty(living([Number(read(path.join(dir, `pid${step}`)))].filter((pid) => pid > 0)))
        }))
    })), 20_000)
})

describe("killing the parent", () => {
  const parent = (dir: string, graceMs: number, commands: ReadonlyArray<string>) =>
    Effect.acquireRelease(
      Effect.sync(() =>
        spawn(
          process.execPath,
          [
            "--import",
            pathToFileURL(path.resolve("node_modules/tsx/dist/loader.mjs")).href,
            path.resolve("test/support/commandParent.ts"),
            String(graceMs),
            ...commands
          ],
          { cwd: dir, stdio: "ignore" }
        )
      ),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )

  it.live("ends every command that it ran", () =>
    Effect.scoped(Effect.gen(function*() {
      const dir = yield* folder
      const child = yield* parent(dir, 1_000, [
        // A shell that cannot report its killed child would end by SIGPIPE before its trap.
        "exec 2>/dev/null; trap 'sleep 0.1; echo bye > bye; exit 0' TERM; echo $$ > polite; while :; do sleep 0.01; done",
        `${ignoring}; echo $$ > stubborn; (sleep 60 & echo $! > grandchild; wait)`,
        "exec <&- >&- 2>&-; sleep 60 & echo $! > quiet; wait",
        "sleep 60 & echo $! > background; sh -c 'trap \"\" TERM; echo $$ > orphan; exec sleep 60' & sleep 60"
      ])
      const pids = yield* pidsIn(dir, ["polite", "stubborn", "grandchild", "quiet", "background", "orphan"])
      assert.sameMembers(living(pids), pids)
      child.kill("SIGKILL")
      yield* eventually("the commands ended", () => living(pids).length === 0)
      assert.strictEqual(read(path.join(dir, "bye")), "bye")
    })), 30_000)

  onLinux(
    "does not wait for the parent's other children (where there is /proc)",
    () =>
      Effect.scoped(Effect.gen(function*() {
        const dir = yield* folder
        // The second command leaves its group. It must not hold the lifeline of the first, though it started later.
        const child = yield* parent(dir, 100, [
          "echo $$ > first; exec sleep 60",
          "until [ -s first ]; do sleep 0.01; done; setsid sh -c 'echo $$ > second; exec sleep 60' & wait"
        ])
        const [first = 0, second = 0] = yield* pidsIn(dir, ["first", "second"])
        yield* Effect.addFinalizer(() => Effect.sync(() => lives(second) && process.kill(second, "SIGKILL")))
        child.kill("SIGKILL")
        yield* eventually("the command ended", () => !lives(first))
        // A process that calls setsid cannot be reached, as documented.
        assert.isTrue(lives(second))
      })),
    30_000
  )
})
