/**
 * Runs one external command for one attempt. `SupervisedCommand` and `CoreExecutorCommand` call it. Invariant: no process
 * of the command's group outlives the effect or this process; `processGroup.ts` explains how, and names the limits.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import { Buffer } from "node:buffer"
import { StringDecoder } from "node:string_decoder"
import {
  type CommandFailure,
  type CommandLine,
  CommandNotStarted,
  type CommandResult,
  OutputTooLarge
} from "../../src/domain/ExternalCommand.js"
import { type Collector, makeCollector, makeTail, type Tail } from "./commandOutput.js"
import { findProgram } from "./findProgram.js"
import { type ProcessGroup, start } from "./processGroup.js"

/** What a command runs with. @since 0.1.0 @category models */
export interface CommandOptions {
  readonly command: CommandLine
  /** written to standard input, which is then closed; the program need not read it */
  readonly stdin: string | Uint8Array
  /** the complete environment. A program without a slash is searched in its `PATH`. */
  readonly env: Readonly<Record<string, string>>
  /** working directory, by default that of this process */
  readonly cwd?: string | undefined
  /** milliseconds between SIGTERM and SIGKILL; 0 kills at once */
  readonly graceMs: number
  /** the most bytes of standard output */
  readonly maxOutputBytes: number
  /** the number of bytes that are kept of the end of standard error */
  readonly stderrTailBytes: number
  /** receives standard error as it arrives, in whole characters; if it throws, `run` dies with that defect */
  readonly onStderr?: ((text: string) => void) | undefined
}

/** Standard output as text; invalid UTF-8 is replaced. @since 0.1.0 @category accessors */
export const stdoutText = (result: CommandResult): string => Buffer.from(result.stdout).toString("utf8")

/**
 * Runs a command to its end. Every exit code and signal is a result, also 126 and 127 of a shell.
 *
 * Fails with `CommandNotStarted` if the program is not found (`ENOENT`) or not executable (`EACCES`), or if no process
 * can be started, and with `OutputTooLarge`.
 *
 * When the command ends, the remaining processes of its group get SIGTERM and, after the grace, SIGKILL. An interruption
 * does the same to the whole group, waits for its end, and takes at most the grace and a few seconds. Times are measured
 * with the real clock, not with the provided one, because processes run in real time.
 *
 * @since 0.1.0
 * @category running
 */
export const run = (options: CommandOptions): Effect.Effect<CommandResult, CommandFailure> =>
  Effect.gen(function*() {
    const startedAt = yield* Clock.currentTimeNanos
    const argv = yield* argvOf(options)
    const attempt = yield* Effect.acquireUseRelease(
      Effect.map(start({ ...options, argv }), (group) => listen(group, options)),
      (attempt) => Effect.as(attempt.group.exited, attempt),
      (attempt) => Effect.suspend(() => attempt.group.terminate(Option.isSome(attempt.cutBy()) ? 0 : options.graceMs))
    )
    const endedAt = yield* Clock.currentTimeNanos
    return yield* resultOf(attempt, argv, Number(endedAt - startedAt) / 1e6)
  }).pipe(Effect.withClock(wallClock))

// --- internal ---

const wallClock = Clock.make()

const argvOf = (options: CommandOptions): Effect.Effect<ReadonlyArray<string>, CommandNotStarted> => {
  if ("shell" in options.command) return Effect.succeed(["/bin/sh", "-c", options.command.shell])
  const [program = "", ...rest] = options.command.argv
  return findProgram(program, options.env["PATH"], options.cwd).pipe(
    Effect.map((path) => [path, ...rest]),
    Effect.mapError(({ code, detail }) => new CommandNotStarted({ program, code, detail }))
  )
}

/** Why a command is killed before its end. */
type Cut = Cause.Cause<OutputTooLarge>

interface Attempt {
  readonly group: ProcessGroup
  readonly stdout: Collector
  readonly stderr: Tail
  readonly cutBy: () => Option.Option<Cut>
}

const listen = (group: ProcessGroup, options: CommandOptions): Attempt => {
  const stdout = makeCollector(options.maxOutputBytes)
  const stderr = makeTail(options.stderrTailBytes)
  let cut = Option.none<Cut>()
  const cutShort = (cause: Cut) => {
    if (Option.isSome(cut)) return
    cut = Option.some(cause)
    group.kill()
  }
  const tooLarge = (): Cut => Cause.fail(new OutputTooLarge({ limit: options.maxOutputBytes }))
  group.stdout.on("data", (chunk: Buffer) => {
    if (!stdout.push(chunk)) cutShort(tooLarge())
  })
  const tell = teller(options.onStderr, (defect) => cutShort(Cause.die(defect)))
  group.stderr.on("data", (chunk: Buffer) => {
    stderr.push(chunk)
    tell.push(chunk)
  })
  group.stderr.once("end", tell.end)
  group.stdin.end(options.stdin)
  return { group, stdout, stderr, cutBy: () => cut }
}

/** Decodes chunks for a listener, so that it gets whole characters. */
const teller = (onText: CommandOptions["onStderr"], onDefect: (defect: unknown) => void) => {
  if (onText === undefined) return { push: () => {}, end: () => {} }
  const decoder = new StringDecoder("utf8")
  const pass = (text: string) => {
    if (text === "") return
    const told = Either.try({ try: () => onText(text), catch: (defect) => defect })
    if (Either.isLeft(told)) onDefect(told.left)
  }
  return { push: (chunk: Buffer) => pass(decoder.write(chunk)), end: () => pass(decoder.end()) }
}

const resultOf = (
  attempt: Attempt,
  argv: ReadonlyArray<string>,
  durationMs: number
): Effect.Effect<CommandResult, CommandFailure> =>
  Effect.gen(function*() {
    const cut = attempt.cutBy()
    if (Option.isSome(cut)) return yield* Effect.failCause(cut.value)
    const stderrTail = attempt.stderr.text()
    if (!attempt.group.wasGuarded()) {
      return yield* new CommandNotStarted({
        program: argv[0] ?? "",
        code: "EAGAIN",
        detail: `no supervisor could be started: ${stderrTail}`
      })
    }
    const exit = yield* attempt.group.exited
    return { ...exit, stdout: attempt.stdout.bytes(), stderrTail, durationMs }
  })
