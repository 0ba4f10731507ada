/** @since 0.1.0 */
import * as Context from "effect/Context"

/**
 * What followed `--` on the command line: a program and its arguments, as they are. The command-line parser would mix
 * them with the prompt.
 *
 * @since 0.1.0
 * @category references
 */
export class ProgramArgv extends Context.Reference<ProgramArgv>()("effect-meerkat/src/cli/argv/ProgramArgv", {
  defaultValue: (): ReadonlyArray<string> | null => null
}) {}

/** The command line before the first `--`, and what followed it. @since 0.1.0 @category parsing */
export const split = (argv: ReadonlyArray<string>): {
  readonly own: ReadonlyArray<string>
  readonly program: ReadonlyArray<string> | null
} => {
  const at = argv.indexOf("--")
  return at < 0 ? { own: argv, program: null } : { own: argv.slice(0, at), program: argv.slice(at + 1) }
}
