#!/usr/bin/env node
/**
 * The `meerkat` program: parses the command line, runs the command, and maps failures to exit codes.
 *
 * @since 0.1.0
 */
import * as CliConfig from "@effect/cli/CliConfig"
import * as Command from "@effect/cli/Command"
import * as ValidationError from "@effect/cli/ValidationError"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeTerminal from "@effect/platform-node/NodeTerminal"
import type * as Runtime from "@effect/platform/Runtime"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Argv from "./argv.js"
import { meerkat } from "./commands.js"
import { CliFailure, type ExitCode, exitCodes } from "./failure.js"
import * as Help from "./help.js"
import * as NodeScheduler from "./nodeScheduler.js"
import { line, listenForBrokenStreams, note, withHelpfulConsole } from "./output.js"
import { version } from "./version.js"

/** Warnings of the machine go to standard error, so they are never part of an answer. */
const logger = Logger.make<unknown, void>(({ logLevel, message }) => {
  const text = Array.isArray(message) ? message.filter((part) => typeof part === "string").join(" ") : String(message)
  process.stderr.write(`meerkat: ${logLevel.label.toLowerCase()}: ${text}\n`)
})

const environment = Layer.mergeAll(
  NodeFileSystem.layer,
  NodePath.layer,
  NodeTerminal.layer,
  CliConfig.layer({ showBuiltIns: false }),
  Logger.replace(Logger.defaultLogger, logger)
)

/** Reports a failure once, as a sentence; an unexpected defect is reported as a bug. */
const say = (cause: Cause.Cause<CliFailure | ValidationError.ValidationError>): Effect.Effect<never, CliFailure> => {
  const failure = Cause.failureOption(cause)
  if (failure._tag === "Some") {
    const error = failure.value
    // the parser has already printed its message
    if (ValidationError.isValidationError(error)) return end(exitCodes.usage, "")
    return end(error.code, error.message)
  }
  return Cause.isInterruptedOnly(cause)
    ? Effect.interrupt
    : end(exitCodes.failed, `This is a bug in meerkat: ${Cause.squash(cause)}`)
}

const end = (code: ExitCode, message: string): Effect.Effect<never, CliFailure> =>
  Effect.zipRight(
    message === "" ? Effect.void : note(`meerkat: ${message}`),
    Effect.fail(new CliFailure({ code, message: "" }))
  )

const codeOf = <A, E>(exit: Exit.Exit<A, E>): ExitCode => {
  if (Exit.isSuccess(exit)) return exitCodes.answer
  const failure = Cause.failureOption(exit.cause)
  if (failure._tag === "Some" && failure.value instanceof CliFailure) return failure.value.code
  return Cause.isInterruptedOnly(exit.cause) ? exitCodes.interrupted : exitCodes.failed
}

const teardown: Runtime.Teardown = (exit, onExit) => onExit(codeOf(exit))

listenForBrokenStreams()

/**
 * A closed terminal ends the work as SIGTERM does: in order and uncharged. Shell and system may both send the signal;
 * only the first one has an effect.
 */
process.on("SIGHUP", () => process.emit("SIGTERM"))

const { last, own } = Argv.split(process.argv)

const main = Help.asksForOverview(own.slice(2))
  ? line(Help.overview)
  : Command.run(meerkat, { name: "meerkat", version })(own)

main.pipe(
  Effect.provideService(Argv.LastArgv, last),
  withHelpfulConsole,
  Effect.catchAllCause(say),
  Effect.provide(environment),
  Logger.withMinimumLogLevel(LogLevel.Warning),
  Effect.withScheduler(NodeScheduler.make(16)),
  NodeRuntime.runMain({ disableErrorReporting: true, disablePrettyLogger: true, teardown })
)
