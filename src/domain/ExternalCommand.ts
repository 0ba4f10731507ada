/**
 * The command line, the result and the errors of an external command. The layers that run commands use it
 * (`effect-meerkat/command`). Invariant: an exit code or a signal is a result, never a failure.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/** Text for `/bin/sh -c`, or a program with its arguments. @since 0.1.0 @category models */
export type CommandLine = ShellCommand | ProgramCommand
/** Text for `/bin/sh -c`. @since 0.1.0 @category models */
export interface ShellCommand {
  readonly shell: string
}
/** A program with its arguments, without a shell. @since 0.1.0 @category models */
export interface ProgramCommand {
  readonly argv: ReadonlyArray<string>
}

/** How a command ended, and its output. @since 0.1.0 @category models */
export interface CommandResult {
  readonly stdout: Uint8Array
  /** 0–255, or null if a signal ended the command */
  readonly exitCode: number | null
  /** name of the signal that ended the command, or null */
  readonly signal: string | null
  /** the end of its standard error */
  readonly stderrTail: string
  /** milliseconds from the start to the end of the command and of the processes that it left behind */
  readonly durationMs: number
}

/**
 * The command never ran: its program, its folder or the supervising shell is missing or not allowed. `code` is the
 * system's name of the error (`ENOENT`, `EACCES`, `E2BIG`, …).
 *
 * @since 0.1.0
 * @category errors
 */
export class CommandNotStarted extends Schema.TaggedError<CommandNotStarted>()("CommandNotStarted", {
  program: Schema.String,
  code: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `${this.program} did not start: ${this.detail}`
  }
}

/**
 * Standard output exceeds `limit` bytes. The command is killed at once and its output is dropped.
 *
 * @since 0.1.0
 * @category errors
 */
export class OutputTooLarge extends Schema.TaggedError<OutputTooLarge>()("OutputTooLarge", {
  limit: Schema.Number
}) {
  override get message() {
    return `more than ${this.limit} bytes on standard output`
  }
}

/** Why a command did not run to its end. @since 0.1.0 @category errors */
export type CommandFailure = CommandNotStarted | OutputTooLarge
