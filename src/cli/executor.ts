/**
 * The executor that the command line describes. `run` and `resume` make one.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as CoreExecutorCommand from "../../layers/CoreExecutorCommand.js"
import { findProgram } from "../../layers/internal/findProgram.js"
import type { CoreExecutor } from "../../services/CoreExecutor.js"
import { LastArgv } from "./argv.js"
import { type CliFailure, usage } from "./failure.js"
import type { ExecutorFlags } from "./options.js"

/**
 * Returns the program of `--exec` or after `--`. A missing program is refused here, before a store is opened. The
 * content of a shell command is checked only by the shell, when it runs.
 *
 * @since 0.1.0
 * @category parsing
 */
export const command = (exec: Option.Option<string>): Effect.Effect<CoreExecutorCommand.CommandLine, CliFailure> =>
  Effect.flatMap(LastArgv, (argv): Effect.Effect<CoreExecutorCommand.CommandLine, CliFailure> => {
    const shell = Option.getOrNull(exec)
    if (shell !== null && argv !== null) {
      return Effect.fail(usage("Give the program once: --exec CMD, or -- PROGRAM ARG…"))
    }
    if (shell === null && argv === null) {
      return Effect.fail(
        usage("Which program should answer? Give --exec CMD, or -- PROGRAM ARG… at the end of the line.")
      )
    }
    if (shell !== null) return shell.trim() === "" ? Effect.fail(usage("--exec is empty.")) : Effect.succeed({ shell })
    return present(argv ?? [])
  })

/** Makes the executor that the options describe. @since 0.1.0 @category constructors */
export const make = (
  line: CoreExecutorCommand.CommandLine,
  flags: ExecutorFlags,
  onStderr: ((text: string) => void) | null
): CoreExecutor =>
  CoreExecutorCommand.make({
    command: line,
    input: flags.input,
    output: flags.output,
    allowEmpty: flags.allowEmpty,
    maxOutput: flags.maxOutput,
    ...(Option.isSome(flags.timeout) ? { timeout: flags.timeout.value } : {}),
    ...(onStderr === null ? {} : { onStderr })
  })

// --- internal ---

const present = (argv: ReadonlyArray<string>) => {
  const [program] = argv
  if (program === undefined || program === "") return Effect.fail(usage("There is no program after --."))
  return findProgram(program, process.env["PATH"], undefined).pipe(
    Effect.mapBoth({
      onFailure: ({ detail }) => usage(`The program "${program}" cannot be run: ${detail}.`),
      onSuccess: () => ({ argv })
    })
  )
}
