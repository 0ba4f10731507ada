/**
 * What the program says: answers and data on standard output, everything else on standard error.
 *
 * @since 0.1.0
 */
import * as Console from "effect/Console"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import { colours, condensed } from "./help.js"

/** A line of data. @since 0.1.0 @category output */
export const line = (text: string): Effect.Effect<void> => Effect.sync(() => void process.stdout.write(`${text}\n`))

/** One JSON document on a line of its own. @since 0.1.0 @category output */
export const json = (value: unknown): Effect.Effect<void> => line(JSON.stringify(value))

/** A line for the person who watches. @since 0.1.0 @category output */
export const note = (text: string): Effect.Effect<void> => Effect.sync(() => void process.stderr.write(`${text}\n`))

/** Rows with aligned columns. @since 0.1.0 @category output */
export const table = (
  header: ReadonlyArray<string>,
  rows: ReadonlyArray<ReadonlyArray<string>>
): Effect.Effect<void> => {
  const all = [header, ...rows]
  const widths = header.map((_, column) => Math.max(...all.map((row) => (row[column] ?? "").length)))
  const text = all.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ").trimEnd())
  return Effect.forEach(text, line, { discard: true })
}

/** Epoch milliseconds as people read them. @since 0.1.0 @category output */
export const time = (at: number): string => DateTime.formatIso(DateTime.unsafeMake(at)).replace("T", " ").slice(0, 19)

/** The beginning of a text, on one line. @since 0.1.0 @category output */
export const brief = (text: string, limit = 60): string => {
  const flat = text.replace(/\s+/g, " ").trim()
  return flat.length > limit ? `${flat.slice(0, limit - 1)}…` : flat
}

/** Help condensed, and without colours where nobody sees them. @since 0.1.0 @category output */
export const withHelpfulConsole = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Console.consoleWith((console) =>
    Effect.withConsole(self, {
      ...console,
      log: (...args) => console.log(...plain(process.stdout.isTTY, args)),
      error: (...args) => console.error(...plain(process.stderr.isTTY, args))
    })
  )

// --- internal ---

const plain = (isTerminal: boolean, args: ReadonlyArray<unknown>): ReadonlyArray<unknown> =>
  args.map((arg) => typeof arg !== "string" ? arg : isTerminal && hasColours() ? condensed(arg) : bare(arg))

const hasColours = (): boolean => process.env["NO_COLOR"] === undefined

const bare = (text: string): string => condensed(text).replace(colours, "").trimEnd()
