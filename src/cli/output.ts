/**
 * The output of the program: answers and data on standard output, everything else on standard error. Every command prints
 * through this module. Text of agents cannot control the terminal.
 *
 * @since 0.1.0
 */
import * as Console from "effect/Console"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import { wellFormedJson } from "../domain/Text.js"
import { type CliFailure, readerGone, unwritable } from "./failure.js"
import { colours, condensed } from "./help.js"

/** Writes a line of data, and completes when it is written. Fails when the reader is gone or the write fails. @since 0.1.0 @category output */
export const line = (text: string): Effect.Effect<void, CliFailure> =>
  Effect.async((resume) => {
    process.stdout.write(`${text}\n`, (error) =>
      resume(
        error === null || error === undefined
          ? Effect.void
          : Effect.fail(isBrokenPipe(error) ? readerGone : unwritable(error.message))
      ))
  })

/** Writes one JSON document on its own line. @since 0.1.0 @category output */
export const json = (value: unknown): Effect.Effect<void, CliFailure> => line(wellFormedJson(JSON.stringify(value)))

/** Writes a line for people on standard error. @since 0.1.0 @category output */
export const note = (text: string): Effect.Effect<void> =>
  Effect.sync(() => void process.stderr.write(`${visible(text)}\n`))

/**
 * Replaces the control characters of a text by visible ones. The output of an agent could otherwise move the cursor of
 * the terminal, or change its colours or title. Line ends and tabs stay.
 *
 * @since 0.1.0
 * @category output
 */
export const visible = (text: string): string =>
  text.replace(control, (char) => {
    const code = char.charCodeAt(0)
    if (code === 0x7f) return "\u2421"
    return code < 0x20 ? String.fromCharCode(0x2400 + code) : `\\x${code.toString(16)}`
  })

/**
 * Prevents a stack trace when standard output or standard error breaks. `line` reports a broken standard output itself.
 * A broken standard error cannot be reported, and the work continues.
 *
 * @since 0.1.0
 * @category output
 */
export const listenForBrokenStreams = (): void => {
  process.stdout.on("error", () => {})
  process.stderr.on("error", () => {})
}

/** Writes rows with aligned columns. @since 0.1.0 @category output */
export const table = (
  header: ReadonlyArray<string>,
  rows: ReadonlyArray<ReadonlyArray<string>>
): Effect.Effect<void, CliFailure> => line(aligned(header, rows))

/** Returns the text of a table. @since 0.1.0 @category output */
export const aligned = (header: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const all = [header, ...rows.map((row) => row.map(visible))]
  const widths = header.map((_, column) => all.reduce((most, row) => Math.max(most, (row[column] ?? "").length), 0))
  const text = all.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ").trimEnd())
  return text.join("\n")
}

/** Formats epoch milliseconds as date and time in UTC. @since 0.1.0 @category output */
export const time = (at: number): string => DateTime.formatIso(DateTime.unsafeMake(at)).replace("T", " ").slice(0, 19)

/** Returns the beginning of a text on one line. @since 0.1.0 @category output */
export const brief = (text: string, limit = 60): string => {
  const flat = text.replace(/\s+/g, " ").trim()
  return flat.length > limit ? `${flat.slice(0, limit - 1).replace(halfPair, "")}…` : flat
}

/** Condenses the help texts, and removes colours when the output is not a terminal. @since 0.1.0 @category output */
export const withHelpfulConsole = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Console.consoleWith((console) =>
    Effect.withConsole(self, {
      ...console,
      log: (...args) => console.log(...plain(process.stdout.isTTY, args)),
      error: (...args) => console.error(...plain(process.stderr.isTTY, args))
    })
  )

// --- internal ---

/** Control characters other than tabs and ends of lines. */
const control = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]|\r(?!\n)/g

/** The first half of a surrogate pair at the end of a text. */
const halfPair = /[\ud800-\udbff]$/

const isBrokenPipe = (error: Error): boolean => Predicate.hasProperty(error, "code") && error.code === "EPIPE"

const plain = (isTerminal: boolean, args: ReadonlyArray<unknown>): ReadonlyArray<unknown> =>
  args.map((arg) => typeof arg !== "string" ? arg : isTerminal && hasColours() ? condensed(arg) : bare(arg))

const hasColours = (): boolean => process.env["NO_COLOR"] === undefined

const bare = (text: string): string => condensed(text).replace(colours, "").trimEnd()
