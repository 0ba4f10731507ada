/**
 * The failures of the program: an exit code, and a message of one or two sentences that ends with the next step. The
 * commands fail with them, and the entry point prints the message and exits with the code.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Predicate from "effect/Predicate"
import type { CompletionOutcome } from "../domain/Completion.js"
import { describe } from "../domain/Completion.js"
import type { RuntimeDriverError } from "../domain/Errors.js"
import type { InputId, SessionId } from "../domain/Ids.js"
import type { OpenError, ReadError, StoreLost } from "../domain/StoreErrors.js"

/** The exit codes of the program. @since 0.1.0 @category constructors */
export const exitCodes = {
  answer: 0,
  failed: 1,
  usage: 2,
  locked: 3,
  unusable: 4,
  refused: 5,
  lost: 7,
  timeout: 124,
  interrupted: 130
} as const

/** One of the exit codes. @since 0.1.0 @category models */
export type ExitCode = typeof exitCodes[keyof typeof exitCodes]

/** Ends the program. An empty message means that the program has printed everything. @since 0.1.0 @category errors */
export class CliFailure extends Data.TaggedError("CliFailure")<{
  readonly code: ExitCode
  readonly message: string
}> {}

/** The command line is wrong; the program opened and wrote nothing. @since 0.1.0 @category constructors */
export const usage = (message: string): CliFailure => new CliFailure({ code: exitCodes.usage, message })

/**
 * The reader of standard output closed it. A program that only prints ends with success; a program that runs inputs ends
 * with the code of their outcomes.
 *
 * @since 0.1.0
 * @category constructors
 */
export const readerGone: CliFailure = new CliFailure({ code: exitCodes.answer, message: "" })

/** Whether the failure is `readerGone`. @since 0.1.0 @category refinements */
export const isReaderGone = (failure: CliFailure): boolean => failure.code === exitCodes.answer

/** A write to standard output failed, for example on a full disk. @since 0.1.0 @category constructors */
export const unwritable = (detail: string): CliFailure =>
  new CliFailure({ code: exitCodes.failed, message: `Standard output cannot be written: ${sentence(detail)}` })

/** Appends to the message of a failure what the program has done. @since 0.1.0 @category combinators */
export const adding = (done: string) => (failure: CliFailure): CliFailure =>
  isReaderGone(failure) ? failure : new CliFailure({ code: failure.code, message: `${failure.message} ${done}` })

/** The file was removed, renamed or replaced while it was open, or is missing where a store was. @since 0.1.0 @category constructors */
export const ofLost = ({ detail, path, rescued }: StoreLost): CliFailure =>
  new CliFailure({
    code: exitCodes.lost,
    message: `The store ${path} ${sentence(detail)} ${
      rescued === undefined
        ? `Put the file back, with its log if there is one, or begin again with --accept-loss.`
        : `All that it held was saved as ${rescued}: use it with --db ${rescued}, or move it back to ${path}. ` +
          `Run its open inputs with: meerkat resume --db ${rescued}. ` +
          "To begin again without it, use --accept-loss."
    }`
  })

/** The store could not be opened. @since 0.1.0 @category constructors */
export const ofOpenError = (db: string) => (error: OpenError): CliFailure =>
  error._tag === "StoreLost"
    ? ofLost(error)
    : error._tag === "StoreLocked"
    ? new CliFailure({
      code: exitCodes.locked,
      message: `${error.path} is locked by ${error.holder}; nothing was written. Wait for that process to end, ` +
        "or name another file with --db."
    })
    : new CliFailure({ code: exitCodes.unusable, message: openSentence(db, error) })

/** The store could not be read. @since 0.1.0 @category constructors */
export const ofReadError = (db: string) => (error: ReadError): CliFailure =>
  error._tag === "StoreLost"
    ? ofLost(error)
    : error._tag === "BodyReplaced"
    ? new CliFailure({
      code: exitCodes.failed,
      message: "The conversation was replaced while it was read, and the rest of the old one is gone. " +
        "Run the same command again."
    })
    : new CliFailure({ code: exitCodes.unusable, message: `${db} cannot be read: ${detailOf(error)}` })

/** The store file does not exist, and the command does not create one. @since 0.1.0 @category constructors */
export const noStore = (path: string): CliFailure =>
  new CliFailure({
    code: exitCodes.unusable,
    message: `There is no store at ${path}. Name one with --db, or in MEERKAT_DB.`
  })

/** The store has no session of this name. @since 0.1.0 @category constructors */
export const noSession = (db: string, sessionId: string): CliFailure =>
  new CliFailure({
    code: exitCodes.failed,
    message: `There is no session "${sessionId}" in ${db}. See: meerkat sessions --db ${db}`
  })

/** The session refused the command. @since 0.1.0 @category constructors */
export const ofDriverError = (error: RuntimeDriverError): CliFailure => {
  switch (error._tag) {
    case "NotReady":
    case "Destroyed":
      return new CliFailure({ code: exitCodes.refused, message: `${sentence(error.message)} Use another --session.` })
    case "ValidationFailed":
      return usage(sentence(error.message))
    case "RecoveryCorruption":
      return new CliFailure({ code: exitCodes.unusable, message: sentence(error.message) })
    case "Internal":
      return new CliFailure({
        code: exitCodes.unusable,
        message: `${sentence(error.message)}${error.retryable ? " Run the same command again." : ""}`
      })
  }
}

/** The state of an input that only rides along with others. @since 0.1.0 @category constructors */
export const isHeld = "is held: it waits for another input"

/** The input waits for another input, and the session has no other input to run. @since 0.1.0 @category constructors */
export const heldBack = (inputId: InputId, sessionId: SessionId): CliFailure =>
  new CliFailure({
    code: exitCodes.refused,
    message: `Input ${inputId}, which has this key, ${isHeld} of session "${sessionId}".`
  })

/** A session or its store failed. @since 0.1.0 @category constructors */
export const ofSessionError = (db: string) => (error: RuntimeDriverError | ReadError): CliFailure => {
  switch (error._tag) {
    case "BodyReplaced":
    case "StoreBusy":
    case "StoreClosed":
    case "StoreCorrupt":
    case "StoreIo":
    case "StoreLost":
      return ofReadError(db)(error)
    default:
      return ofDriverError(error)
  }
}

/** Returns the more severe of two codes; the program ends with the most severe one. @since 0.1.0 @category combinators */
export const worse = (one: ExitCode, other: ExitCode): ExitCode => {
  const order: ReadonlyArray<ExitCode> = [exitCodes.answer, exitCodes.timeout, exitCodes.failed]
  const rank = (code: ExitCode) => order.includes(code) ? order.indexOf(code) : order.length
  return rank(other) > rank(one) ? other : one
}

/** Returns the exit code of an outcome. @since 0.1.0 @category accessors */
export const codeOf = (outcome: CompletionOutcome): ExitCode => {
  switch (outcome._tag) {
    case "Completed":
    case "CompletedWithoutResult":
      return exitCodes.answer
    case "CompletedWithFinalizationFailure":
    case "RuntimeTerminated":
      return exitCodes.unusable
    case "AbandonedWithError":
      return outcome.error.kind === "time_budget_exceeded" ? exitCodes.timeout : exitCodes.failed
    case "CallbackPending":
    case "Cancelled":
    case "Abandoned":
      return exitCodes.failed
  }
}

/** Returns the reason why an input has no answer, for a message. @since 0.1.0 @category accessors */
export const whyOf = (outcome: CompletionOutcome): string =>
  outcome._tag === "Abandoned" || outcome._tag === "AbandonedWithError"
    ? outcome.reason.replace(/^apply failed: /, "")
    : describe(outcome)

// --- internal ---

const sentence = (text: string): string => /[.!?]$/.test(text) ? text : `${text}.`

const detailOf = (error: ReadError | OpenError): string =>
  Predicate.hasProperty(error, "detail") && typeof error.detail === "string" ? error.detail : error._tag

const openSentence = (
  db: string,
  error: Exclude<OpenError, { readonly _tag: "StoreLocked" | "StoreLost" }>
): string => {
  switch (error._tag) {
    case "StoreUnavailable":
      return `${error.path} cannot be used as a store: ${sentence(error.detail)} Name another file with --db.`
    case "SchemaUnsupported":
      return `${error.path} is not a store of meerkat: ${sentence(error.detail)} It was left as it is; name another ` +
        "file with --db."
    case "SchemaFromFuture":
      return `${error.path} was written by a newer version of meerkat (schema ${error.found}, this one knows ` +
        `${error.supported}). It was left as it is; upgrade meerkat to use it.`
    case "StoreRegressed":
      return `${error.path} is older than what it acknowledged (commit ${error.found} instead of ` +
        `${error.acknowledged}): it was restored from a copy, moved, or lost its log. It was left as it is; put the ` +
        "newer file back, or continue from this file with --accept-loss."
    case "StoreCorrupt":
      return `${db} is damaged (${error.table} ${error.key}: ${error.detail}). It was left as it is.`
    case "StoreBusy":
      return `${db} is held by another program (${error.operation}, waited ${error.waitedMs} ms). Try again later.`
    case "StoreFull":
      return `There is no space left for ${db}: ${sentence(error.detail)} Nothing was written.`
    case "StoreIo":
      return `${db} cannot be opened: ${error.operation} failed with ${error.code}: ${sentence(error.detail)}`
  }
}
