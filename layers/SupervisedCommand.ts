/**
 * Runs one supervised external command, for background operations and other callers. `effect-meerkat/command` exports it
 * too. Invariant: no process of the command's group outlives the effect or this process.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { CommandFailure, CommandLine, CommandResult } from "../src/domain/ExternalCommand.js"
import { run as runProcess, stdoutText } from "./internal/commandProcess.js"
import { inheritedEnvironment } from "./internal/environment.js"
import { withoutLineEnds } from "./internal/lineEnds.js"

export type {
  /** Why a command did not run to its end. @since 0.1.0 @category errors */
  CommandFailure,
  /** Text for `/bin/sh -c`, or a program with its arguments. @since 0.1.0 @category models */
  CommandLine,
  /** How a command ended, and what it wrote. @since 0.1.0 @category models */
  CommandResult
} from "../src/domain/ExternalCommand.js"

/** The options of a supervised command. @since 0.1.0 @category models */
export interface SupervisedOptions {
  readonly command: CommandLine
  /** written to its standard input, which is then closed. Default empty */
  readonly stdin?: string | Uint8Array
  /** added to the environment of this process */
  readonly env?: Readonly<Record<string, string>>
  /** working directory, by default that of this process */
  readonly cwd?: string
  /** time between SIGTERM and SIGKILL. Default 5 s */
  readonly grace?: Duration.DurationInput
  /** the most bytes that the command may write to its standard output. Default 16 MiB */
  readonly maxOutput?: number
  /** receives the text of standard error as it arrives */
  readonly onStderr?: (text: string) => void
}

/** The command ended with a signal, or with an exit code other than 0. @since 0.1.0 @category errors */
export class CommandFailed extends Schema.TaggedError<CommandFailed>()("CommandFailed", {
  /** null if a signal ended it */
  exitCode: Schema.NullOr(Schema.Number),
  signal: Schema.NullOr(Schema.String),
  /** the end of its standard error */
  stderr: Schema.String
}) {
  override get message(): string {
    const how = this.exitCode === null ? `ended by signal ${this.signal ?? "unknown"}` : `exited with ${this.exitCode}`
    const tail = this.stderr.trim()
    return tail === "" ? how : `${how}: ${tail}`
  }
}

/**
 * Runs a command to its end and returns how it ended; every exit code and signal is a result.
 *
 * Fails `CommandNotStarted` if the program does not exist or no process can be started, and `OutputTooLarge` beyond
 * `maxOutput`. The command runs in its own process group, with a watcher. An interruption of this effect, or any end of
 * this process, ends the group with SIGTERM and, after the grace, SIGKILL. A process that leaves the group (`setsid`)
 * is not ended.
 *
 * @since 0.1.0
 * @category running
 */
export const run = (options: SupervisedOptions): Effect.Effect<CommandResult, CommandFailure> =>
  Effect.suspend(() =>
    runProcess({
      command: options.command,
      stdin: options.stdin ?? "",
      env: { ...inheritedEnvironment(), ...options.env },
      cwd: options.cwd,
      graceMs: Duration.toMillis(options.grace ?? "5 seconds"),
      maxOutputBytes: options.maxOutput ?? 16 * 1024 * 1024,
      stderrTailBytes: 2048,
      onStderr: options.onStderr
    })
  )

/**
 * Runs a command to its end and returns its output without trailing newlines, for example for `turn.operations.run`.
 * Fails `CommandFailed` unless the exit code is 0.
 *
 * @example
 * ```ts
 * import * as CoreExecutor from "effect-meerkat/services/CoreExecutor"
 * import * as Turn from "effect-meerkat/services/Turn"
 * import { output } from "effect-meerkat/command"
 * import * as Effect from "effect/Effect"
 *
 * const builder = CoreExecutor.make((turn) =>
 *   turn.operations.run(output({ command: { shell: "npm run build" } }), { displayName: "build" }).pipe(
 *     Effect.orDie,
 *     Effect.as(Turn.reply("the build is under way"))
 *   )
 * )
 * ```
 *
 * @since 0.1.0
 * @category running
 */
export const output = (options: SupervisedOptions): Effect.Effect<string, CommandFailure | CommandFailed> =>
  Effect.flatMap(run(options), (result) =>
    result.exitCode === 0
      ? Effect.succeed(withoutLineEnds(stdoutText(result)))
      : Effect.fail(
        new CommandFailed({ exitCode: result.exitCode, signal: result.signal, stderr: result.stderrTail })
      ))
