/**
 * Reads the prompt from arguments or standard input. `run` and `send` call it.
 *
 * @since 0.1.0
 */
import * as NodeStream from "@effect/platform-node/NodeStream"
import * as Effect from "effect/Effect"
import { withoutLineEnds } from "../../layers/internal/lineEnds.js"
import { type CliFailure, usage } from "./failure.js"

/**
 * Refuses a word that looks like an unknown option, because a typing error must not become a prompt.
 *
 * @since 0.1.0
 * @category parsing
 */
export const noStrayOption = (words: ReadonlyArray<string>, how: string): Effect.Effect<void, CliFailure> => {
  const stray = words.find((word) => /^--?[A-Za-z][\w-]*(?:=.*)?$/.test(word))
  return stray === undefined ? Effect.void : Effect.fail(usage(
    `There is no option ${stray.replace(/=.*/, "")}. A prompt that begins with a dash ${how}`
  ))
}

/**
 * Returns the words of the command line and those after `--`; a single dash reads standard input. Fails if the prompt
 * is empty.
 *
 * @since 0.1.0
 * @category parsing
 */
export const promptOf = (
  words: ReadonlyArray<string>,
  last: ReadonlyArray<string> | null
): Effect.Effect<string, CliFailure> =>
  Effect.flatMap(
    words.length === 1 && words[0] === "-" && last === null
      ? standardInput
      : Effect.succeed([...words, ...(last ?? [])].join(" ")),
    (text) =>
      text.trim() === ""
        ? Effect.fail(usage("The prompt is empty. Give it as arguments, or - to read it from standard input."))
        : Effect.succeed(text)
  )

// --- internal ---

/** Standard input without the line end that `echo` and editors add. */
const standardInput: Effect.Effect<string, CliFailure> = NodeStream.toString(() => process.stdin, {
  onFailure: (cause) => usage(`Standard input cannot be read: ${String(cause)}`)
}).pipe(Effect.map(withoutLineEnds))
