/**
 * The body of `meerkat send`: stores a prompt without running it, and prints the id of its input.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import type { SessionId } from "../domain/Ids.js"
import { LastArgv } from "./argv.js"
import { adding, type CliFailure, ofDriverError } from "./failure.js"
import * as Machine from "./machine.js"
import { json, line } from "./output.js"
import { noStrayOption, promptOf } from "./prompt.js"

/** The parsed options of `meerkat send`. @since 0.1.0 @category models */
export interface SendFlags {
  readonly db: string
  readonly acceptLoss: boolean
  readonly session: SessionId
  readonly key: Option.Option<string>
  readonly json: boolean
  readonly prompt: ReadonlyArray<string>
}

/** Queues a prompt; prints the id of its input when the input is durable. @since 0.1.0 @category commands */
export const sendPrompt = (flags: SendFlags): Effect.Effect<void, CliFailure> =>
  Effect.gen(function*() {
    yield* noStrayOption(flags.prompt, "stands after --, or goes through standard input: -")
    const text = yield* promptOf(flags.prompt, yield* LastArgv)
    yield* Machine.provide({ db: flags.db, acceptLoss: flags.acceptLoss, attempts: 1, maxOutput: 0 })(
      queue(flags, text)
    )
  })

// --- internal ---

const queue = ({ json: asJson, key, session }: SendFlags, text: string) =>
  Effect.gen(function*() {
    const machine = yield* MeerkatMachine
    yield* machine.registerSession(session)
    const { completion, outcome } = yield* machine.session(session).prompt(
      text,
      Option.isSome(key) ? { idempotencyKey: key.value } : {}
    )
    const known = outcome._tag === "Deduplicated"
    const printed = asJson ? json({ session, input: completion.inputId, known }) : line(completion.inputId)
    yield* Effect.mapError(printed, adding(`The prompt is queued as input ${completion.inputId}.`))
  }).pipe(Effect.mapError((error) => error._tag === "CliFailure" ? error : ofDriverError(error)))
