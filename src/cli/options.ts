/**
 * The options and arguments that several commands share, with their help texts. An invalid value fails with the accepted
 * form.
 *
 * @since 0.1.0
 */
import * as Args from "@effect/cli/Args"
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as Options from "@effect/cli/Options"
import * as ValidationError from "@effect/cli/ValidationError"
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { SessionId } from "../domain/Ids.js"

/** `--db`. @since 0.1.0 @category options */
export const db = Options.text("db").pipe(
  Options.withPseudoName("FILE"),
  Options.withFallbackConfig(Config.string("MEERKAT_DB")),
  Options.withDefault("meerkat.db"),
  Options.withDescription("The store. Default: $MEERKAT_DB, else meerkat.db in the working directory.")
)

/** `--accept-loss`. @since 0.1.0 @category options */
export const acceptLoss = Options.boolean("accept-loss").pipe(
  Options.withDescription(
    "Start although the store is missing or older than what it acknowledged: continue from the present file, or " +
      "create a missing one."
  )
)

/** `--json`. @since 0.1.0 @category options */
export const json = Options.boolean("json").pipe(
  Options.withDescription("Print JSON documents, one per line.")
)

/** Returns the id of a session; fails with the accepted form. @since 0.1.0 @category parsing */
export const sessionId = (what: string, name: string): Effect.Effect<SessionId, string> =>
  Effect.mapError(
    Schema.decode(SessionId)(name).pipe(Effect.filterOrFail(isUtf8)),
    () => `${what} takes a name of 1 to 200 characters without control characters, in UTF-8.`
  )

/** The argument `session`. @since 0.1.0 @category options */
export const session = Args.text({ name: "session" }).pipe(
  Args.withDescription("Name of the session."),
  Args.mapEffect((name) => Effect.mapError(sessionId("A session", name), HelpDoc.p))
)

/** The argument `prompt`. @since 0.1.0 @category options */
export const prompt = Args.text({ name: "prompt" }).pipe(
  Args.repeated,
  Args.withDescription("The prompt; - reads it from standard input.")
)

/** `--key`. @since 0.1.0 @category options */
export const key = Options.text("key").pipe(
  Options.withPseudoName("KEY"),
  // an empty key, for example from an unset variable, would give every input the same key
  Options.mapEffect((text) =>
    parsed(
      "key",
      text.trim() === "" || !isUtf8(text) ? Option.none() : Option.some(text),
      "a non-empty name in UTF-8"
    )
  ),
  Options.optional,
  Options.withDescription(
    "Names this input within its session: once it has an outcome, the same key prints the outcome and runs nothing."
  )
)

/** The options of commands that run a program as executor. @since 0.1.0 @category options */
export const executor = {
  exec: Options.text("exec").pipe(
    Options.withPseudoName("CMD"),
    Options.optional,
    Options.withDescription(
      "The agent: a shell command that reads the prompt on standard input and writes its answer to standard output. " +
        "Instead: -- PROGRAM ARG… at the end of the line, without a shell."
    )
  ),
  input: Options.choice("input", ["text", "json"]).pipe(
    Options.withDefault("text"),
    Options.withDescription("The program's input: the prompt, or the complete turn with its history as JSON.")
  ),
  output: Options.choice("output", ["text", "json"]).pipe(
    Options.withDefault("text"),
    Options.withDescription(
      "The program's output: the answer, or a JSON document {\"text\": …, \"data\"?: …, \"usage\"?: …}."
    )
  ),
  timeout: Options.text("timeout").pipe(
    Options.withPseudoName("DURATION"),
    Options.mapEffect((text) => parsed("timeout", durationOf(text), "a duration such as 90, 90s, 500ms, 5m or 2h")),
    Options.optional,
    Options.withDescription("The time limit of one attempt (90 or 90s, 500ms, 5m, 2h). Default: none.")
  ),
  attempts: Options.integer("attempts").pipe(
    Options.withPseudoName("N"),
    Options.withFallbackConfig(Config.integer("MEERKAT_MAX_ATTEMPTS")),
    Options.mapEffect((n) => parsed("attempts", n >= 1 ? Option.some(n) : Option.none(), "a number of at least 1")),
    Options.withDefault(1),
    Options.withDescription(
      "The number of attempts before an input is abandoned. Default: $MEERKAT_MAX_ATTEMPTS, else 1."
    )
  ),
  allowEmpty: Options.boolean("allow-empty").pipe(
    Options.withDescription("Accept an empty answer.")
  ),
  maxOutput: Options.text("max-output").pipe(
    Options.withPseudoName("SIZE"),
    Options.mapEffect((text) => parsed("max-output", sizeOf(text), "a size such as 1000, 64KiB or 16MiB")),
    Options.withDefault(16 * 1024 * 1024),
    Options.withDescription("The limit of the program's output (bytes, KiB, MiB). Default: 16MiB.")
  )
}

/** The parsed options of an executor. @since 0.1.0 @category models */
export interface ExecutorFlags {
  readonly exec: Option.Option<string>
  readonly input: "text" | "json"
  readonly output: "text" | "json"
  readonly timeout: Option.Option<Duration.Duration>
  readonly attempts: number
  readonly allowEmpty: boolean
  readonly maxOutput: number
}

// --- internal ---

/** Node replaces invalid UTF-8 in arguments by U+FFFD, so that two different names could become equal. */
const isUtf8 = (name: string): boolean => !name.includes("\ufffd")

const parsed = <A>(
  name: string,
  value: Option.Option<A>,
  wanted: string
): Effect.Effect<A, ValidationError.ValidationError> =>
  Effect.mapError(value, () => ValidationError.invalidValue(HelpDoc.p(`--${name} takes ${wanted}`)))

const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const sizes = { b: 1, k: 1024, kib: 1024, m: 1024 ** 2, mib: 1024 ** 2, g: 1024 ** 3, gib: 1024 ** 3 }

/** Parses a number with a unit. Returns the amount in the base unit, if it is positive and a safe integer. */
const amount = (text: string, factors: Readonly<Record<string, number>>, plain: string): Option.Option<number> => {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text.trim())
  const unit = match?.[2]?.toLowerCase()
  const factor = factors[unit === undefined || unit === "" ? plain : unit]
  return Option.fromNullable(match?.[1]).pipe(
    Option.flatMap((digits) => factor === undefined ? Option.none() : Option.some(Math.round(Number(digits) * factor))),
    Option.filter((n) => n > 0 && Number.isSafeInteger(n))
  )
}

const durationOf = (text: string): Option.Option<Duration.Duration> =>
  Option.map(amount(text, units, "s"), Duration.millis)

const sizeOf = (text: string): Option.Option<number> => amount(text, sizes, "b")
