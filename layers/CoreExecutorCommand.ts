/**
 * Makes an executor of any program: the turn goes to its standard input, and its standard output is the answer.
 *
 * Applications and the command line call it. Invariants: one attempt runs the program once; no process of its group
 * outlives the attempt.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ParseError } from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { CoreExecutor, Turn, TurnOutput } from "../services/CoreExecutor.js"
import * as Answer from "../services/Turn.js"
import { beginning } from "../src/domain/BoundedText.js"
import { RunResult } from "../src/domain/Completion.js"
import type { ExecutorError, ExecutorFault } from "../src/domain/Errors.js"
import { ApplyFailed, TerminalFailure } from "../src/domain/Errors.js"
import type { CommandFailure, CommandLine, CommandResult } from "../src/domain/ExternalCommand.js"
import { RunId, SessionId } from "../src/domain/Ids.js"
import { Input } from "../src/domain/Input.js"
import { Message } from "../src/domain/Message.js"
import { CompletionEntry } from "../src/domain/Operation.js"
import { wellFormedJson } from "../src/domain/Text.js"
import { ContextAppend, TurnMetadata } from "../src/domain/Turn.js"
import { run, stdoutText } from "./internal/commandProcess.js"
import { inheritedEnvironment } from "./internal/environment.js"
import { firstIssue } from "./internal/issues.js"
import { withoutLineEnds } from "./internal/lineEnds.js"
import { within } from "./internal/race.js"
import { promptOf } from "./internal/turnText.js"

export type {
  /** Text for `/bin/sh -c`, or a program with its arguments. @since 0.1.0 @category models */
  CommandLine
} from "../src/domain/ExternalCommand.js"

export {
  /** A command ended with a signal, or with an exit code other than 0. @since 0.1.0 @category errors */
  CommandFailed,
  /** Runs a supervised command and returns its output. @since 0.1.0 @category running */
  output,
  /** Runs a supervised command to its end. @since 0.1.0 @category running */
  run as runCommand
} from "./SupervisedCommand.js"

/** The options of a command executor. @since 0.1.0 @category models */
export interface CommandExecutorOptions {
  readonly command: CommandLine
  /** what the program reads: the text of the turn (default), or the whole turn as a `TurnDocument` in JSON */
  readonly input?: "text" | "json"
  /** what the program writes: the text of the answer (default), or a `RunResult` in JSON: `{"text", "data"?, "usage"?}` */
  readonly output?: "text" | "json"
  /** whether an empty answer is valid; if not, it fails the attempt with "empty answer". Default false */
  readonly allowEmpty?: boolean
  /** time limit of one attempt. Default none */
  readonly timeout?: Duration.DurationInput
  /** time between SIGTERM and SIGKILL. Default 5 s */
  readonly grace?: Duration.DurationInput
  /** the most bytes that the program may write to its standard output. Default 16 MiB */
  readonly maxOutput?: number
  /** added to the environment of this process, after `MEERKAT_SESSION`, `MEERKAT_RUN` and `MEERKAT_ATTEMPT` */
  readonly env?: Readonly<Record<string, string>>
  /** working directory, by default that of this process */
  readonly cwd?: string
  /** receives the text of standard error as it arrives */
  readonly onStderr?: (text: string) => void
}

/**
 * The document that a program reads with `input: "json"`: one JSON document, then the end of standard input.
 *
 * @since 0.1.0
 * @category schemas
 */
export const TurnDocument = Schema.Struct({
  session: SessionId,
  run: RunId,
  attempt: Schema.Int,
  /** the same text as with `input: "text"` */
  text: Schema.String,
  inputs: Schema.Array(Input),
  messages: Schema.Array(Message),
  contexts: Schema.Array(ContextAppend),
  metadata: TurnMetadata,
  completions: Schema.Array(CompletionEntry),
  /** the committed conversation so far, without this turn's messages */
  history: Schema.Array(Message)
})
/** The document that a program reads with `input: "json"`. @since 0.1.0 @category models */
export type TurnDocument = typeof TurnDocument.Type

/** The default of `maxOutput`, in bytes. @since 0.1.0 @category constructors */
export const defaultMaxOutput = 16 * 1024 * 1024

/**
 * Makes an executor that runs the command once per attempt.
 *
 * The program runs in its own process group and outlives neither the attempt nor this process. With exit code 0 its output
 * is the answer, without trailing newlines. Another exit code fails the attempt, with the end of standard error as the
 * reason. A signal, an empty answer, too much output and the timeout fail it too. The machine retries failed attempts
 * (`maxAttempts`), except for a program that cannot be found.
 *
 * @example
 * ```ts
 * import * as CoreExecutorCommand from "effect-meerkat/command"
 *
 * const executor = CoreExecutorCommand.make({ command: { shell: "llm -m gpt-5" }, timeout: "5 minutes" })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: CommandExecutorOptions): CoreExecutor => ({
  apply: (turn) =>
    Effect.gen(function*() {
      const stdin = options.input === "json" ? yield* documentOf(turn) : promptOf(turn)
      const result = yield* bounded(options, runOnce(options, turn, stdin))
      const output = yield* answerOf(options, result)
      // the process has ended: a later interruption must not lose its answer
      yield* turn.finish(output)
      return output
    })
})

// --- internal ---

const stderrTailBytes = 2048

const failed = (detail: string, retryable?: boolean): ExecutorError =>
  new ApplyFailed({ cause: "RuntimeTurn", detail, ...(retryable === undefined ? {} : { retryable }) })

const runOnce = (
  options: CommandExecutorOptions,
  turn: Turn,
  stdin: string
): Effect.Effect<CommandResult, ExecutorError> =>
  Effect.mapError(
    run({
      command: options.command,
      stdin,
      env: environment(options, turn),
      cwd: options.cwd,
      graceMs: Duration.toMillis(options.grace ?? "5 seconds"),
      maxOutputBytes: options.maxOutput ?? defaultMaxOutput,
      stderrTailBytes,
      onStderr: options.onStderr
    }),
    notRun
  )

/** Converts the failure of a command. A program or folder that is missing is not retried. */
const notRun = (error: CommandFailure): ExecutorError =>
  error._tag === "CommandNotStarted" && (error.code === "ENOENT" || error.code === "EACCES")
    ? failed(error.message, false)
    : failed(error.message)

const environment = (options: CommandExecutorOptions, turn: Turn): Record<string, string> => {
  return {
    ...inheritedEnvironment(),
    MEERKAT_SESSION: turn.sessionId,
    MEERKAT_RUN: turn.runId,
    MEERKAT_ATTEMPT: String(turn.attempt),
    ...options.env
  }
}

const bounded = <A>(
  { timeout }: CommandExecutorOptions,
  attempt: Effect.Effect<A, ExecutorError>
): Effect.Effect<A, ExecutorError> =>
  timeout === undefined ?
    attempt :
    Effect.flatMap(within(timeout)(attempt), (answer) =>
      Option.isSome(answer) ? Effect.succeed(answer.value) : Effect.fail(
        new TerminalFailure({
          outcome: "time_budget_exceeded",
          causeKind: "time_budget_exceeded",
          detail: `timed out after ${Duration.format(timeout)}`,
          retryable: true
        })
      ))

const encodeDocument = Schema.encode(Schema.parseJson(TurnDocument))

const documentOf = (turn: Turn): Effect.Effect<string, ExecutorError> =>
  Stream.runCollect(turn.history).pipe(
    Effect.flatMap((history) =>
      encodeDocument({
        session: turn.sessionId,
        run: turn.runId,
        attempt: turn.attempt,
        text: promptOf(turn),
        inputs: turn.inputs,
        messages: turn.appends,
        contexts: turn.contexts,
        metadata: turn.metadata,
        completions: turn.completions,
        history: Array.from(history)
      })
    ),
    Effect.mapBoth({
      onFailure: (error) => new ApplyFailed({ cause: "RuntimeContextApply", detail: wordsOf(error) }),
      onSuccess: wellFormedJson
    })
  )

const wordsOf = (error: ParseError | ExecutorFault): string =>
  error._tag === "ParseError" ? firstIssue(error) : error.message

const answerOf = (
  options: CommandExecutorOptions,
  result: CommandResult
): Effect.Effect<TurnOutput, ExecutorError> => {
  if (result.exitCode !== 0) return Effect.fail(failed(howItEnded(result)))
  const text = withoutLineEnds(stdoutText(result))
  if (text === "" && options.allowEmpty !== true) return Effect.fail(failed("empty answer"))
  return options.output === "json" && text !== "" ? documentAnswer(options, text) : Effect.succeed(Answer.reply(text))
}

const howItEnded = ({ exitCode, signal, stderrTail }: CommandResult): string => {
  const how = exitCode === null ? `ended by signal ${signal ?? "unknown"}` : `exited with code ${exitCode}`
  const tail = stderrTail.trim()
  return tail === "" ? how : `${how}: ${tail}`
}

const decodeAnswer = Schema.decodeOption(Schema.parseJson(RunResult))

const documentAnswer = (
  options: CommandExecutorOptions,
  text: string
): Effect.Effect<TurnOutput, ExecutorError> => {
  const decoded = decodeAnswer(text)
  if (Option.isNone(decoded)) {
    const seen = text.length > 80 ? `${beginning(text, 80)}…` : text
    return Effect.fail(failed(`the answer is not a JSON document of the form {"text": "…"}: ${seen}`))
  }
  const { text: answer, ...extra } = decoded.value
  return answer === "" && extra.data === undefined && options.allowEmpty !== true
    ? Effect.fail(failed("empty answer"))
    : Effect.succeed(Answer.reply(answer, extra))
}
