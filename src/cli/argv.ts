/**
 * The part of the command line after `--`, kept away from the option parser. `main` sets it; the commands read it.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { type CliFailure, usage } from "./failure.js"

/**
 * The unparsed words after `--`: a program and its arguments, or words of a prompt that look like options. The parser
 * would mix them with its own arguments. Null without `--`.
 *
 * @since 0.1.0
 * @category references
 */
export class LastArgv extends Context.Reference<LastArgv>()("effect-meerkat/src/cli/argv/LastArgv", {
  defaultValue: (): ReadonlyArray<string> | null => null
}) {}

/** Fails if words follow `--`; for commands that take none. @since 0.1.0 @category parsing */
export const nothingLast: Effect.Effect<void, CliFailure> = Effect.flatMap(
  LastArgv,
  (argv) => argv === null ? Effect.void : Effect.fail(usage("This command takes nothing after --. Remove it."))
)

/** Splits the command line at the first `--`. @since 0.1.0 @category parsing */
export const split = (argv: ReadonlyArray<string>): {
  readonly own: ReadonlyArray<string>
  readonly last: ReadonlyArray<string> | null
} => {
  const at = argv.indexOf("--")
  return at < 0 ? { own: argv, last: null } : { own: argv.slice(0, at), last: argv.slice(at + 1) }
}
