/** @since 0.1.0 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { type CliFailure, usage } from "./failure.js"

/**
 * What followed `--` on the command line, as it is: a program and its arguments, or words of a prompt that look like
 * options. The command-line parser would mix them with the rest.
 *
 * @since 0.1.0
 * @category references
 */
export class LastArgv extends Context.Reference<LastArgv>()("effect-meerkat/src/cli/argv/LastArgv", {
  defaultValue: (): ReadonlyArray<string> | null => null
}) {}

/** For commands that take nothing after `--`. @since 0.1.0 @category parsing */
export const nothingLast: Effect.Effect<void, CliFailure> = Effect.flatMap(
  LastArgv,
  (argv) => argv === null ? Effect.void : Effect.fail(usage("This command takes nothing after --."))
)

/** The command line before the first `--`, and what followed it. @since 0.1.0 @category parsing */
export const split = (argv: ReadonlyArray<string>): {
  readonly own: ReadonlyArray<string>
  readonly last: ReadonlyArray<string> | null
} => {
  const at = argv.indexOf("--")
  return at < 0 ? { own: argv, last: null } : { own: argv.slice(0, at), last: argv.slice(at + 1) }
}
