/**
 * One external command, supervised: for background operations and whatever else runs programs. Exported by
 * `effect-meerkat/command` as well.
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
  /** What can keep a command from running to its end. @since 0.1.0 @category errors */
  CommandFailure,
  /** Text for `/bin/sh -c`, or a program with its arguments. @since 0.1.0 @category models */
  CommandLine,
  /** How a command ended, and what it wrote. @since 0.1.0 @category models */
  CommandResult
} from "../src/domain/ExternalCommand.js"

/** @since 0.1.0 @category models */
export interface SupervisedOptions {
  readonly command: CommandLine
  /** written to its standard input, which is then closed. Default empty */
  readonly stdin?: string | Uint8Array
  /** added to the environment of this process */
  readonly env?: Readonly<Record<string, string>>
  /** working directory, by default that of this process */
  readonly cwd?: string
  /** between SIGTERM and SIGKILL when it has to end. Default 5 s */
  readonly grace?: Duration.DurationInput
  /** most that it may write to its standard output, in bytes. Default 16 MiB */
  readonly maxOutput?: number
  /** told of standard error as it comes */
  readonly onStderr?: (text: string) => void
}

/** The command ended otherwise than with exit code 0. @since 0.1.0 @category errors */
export class CommandFailed extends Schema.TaggedError<CommandFailed>()("CommandFailed", {
  /** null if a signal ended it */
  exitCode: Schema.NullOr(Schema.Number),
  signal: Schema.NullOr(Schema.String),
  /** the end of what it wrote to standard error */
  stderr: Schema.String
}) {
  override get message(): string {
    const how = this.exitCode === null ? `ended by signal ${this.signal ?? "unknown"}` : `exited with ${this.exitCode}`
    const tail = this.stderr.trim()
    return tail === "" ? how : `${how}: ${tail}`
  }
}

/**
 * Runs a command to its end; every exit code and signal is a result.
 *
 * It runs in a process group of its own, beside a watcher. Interrupting this effect ends the group: SIGTERM, and after
 * the grace SIGKILL; so does the end of this process, however it comes. What leaves the group on purpose (`setsid`)
 * escapes. Fails `CommandNotStarted` when there is no such program or no process can be had, `OutputTooLarge` beyond
 * `maxOutput`.
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
 * Runs a command to its end and gives what it wrote, without trailing newlines: what `turn.operations.run` takes. Fails
 * `CommandFailed` unless it exits with 0.
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
