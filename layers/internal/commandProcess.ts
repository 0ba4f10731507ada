/**
 * Runs one external command for one attempt. Nothing it started in its process group outlives the effect, nor this
 * process, however that ends: see `processGroup.ts` for how, and for the limits.
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

/** @since 0.1.0 @category models */
export interface CommandOptions {
  readonly command: CommandLine
  /** written and closed; a program that does not read it is fine */
  readonly stdin: string | Uint8Array
  /** the whole environment: nothing is added to it. A program without a slash is searched in its `PATH`. */
  readonly env: Readonly<Record<string, string>>
  /** working directory, by default that of this process */
  readonly cwd?: string | undefined
  /** between SIGTERM and SIGKILL, in milliseconds; 0 kills at once */
  readonly graceMs: number
  /** most that standard output may hold, in bytes */
  readonly maxOutputBytes: number
  /** how much of the end of standard error is kept, in bytes */
  readonly stderrTailBytes: number
  /** told of standard error as it comes, in whole characters; what it throws is a defect of `run` */
  readonly onStderr?: ((text: string) => void) | undefined
}

/** Standard output as text; invalid UTF-8 is replaced. @since 0.1.0 @category accessors */
export const stdoutText = (result: CommandResult): string => Buffer.from(result.stdout).toString("utf8")

/**
 * Runs a command to its end. Every exit code and signal is a result, also 126 and 127 of a shell.
 *
 * When the command ends, what it left in its group gets SIGTERM and, after the grace, SIGKILL. Interruption does the
 * same to the command itself, and ends when the group is gone; it takes at most the grace and a few seconds. Time is
 * the machine's, whatever clock is provided: a process does not know of another.
 *
 * Fails with `CommandNotStarted` if the program is not found (`ENOENT`) or not executable (`EACCES`), or if no process
 * can be had, and with `OutputTooLarge`.
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

/** Whole characters for a listener, however the stream cuts them. */
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
