/**
 * The executor that answers with the text of its inputs. Examples and tests attach it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { CoreExecutor } from "../services/CoreExecutor.js"
import * as Turn from "../services/Turn.js"
import { promptOf } from "./internal/turnText.js"

/**
 * Answers each turn with the text of its inputs.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as CoreExecutorEcho from "effect-meerkat/layers/CoreExecutorEcho"
 * import { MeerkatMachine } from "effect-meerkat/services/MeerkatMachine"
 *
 * const program = Effect.gen(function*() {
 *   const machine = yield* MeerkatMachine
 *   const session = yield* machine.sessionScoped("demo", CoreExecutorEcho.make)
 *   return yield* session.ask("hello") // { text: "hello" }
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: CoreExecutor = {
  apply: (turn) => Effect.succeed(Turn.reply(promptOf(turn)))
}
