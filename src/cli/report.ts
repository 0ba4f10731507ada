/**
 * Reports how an input ended: as text for people, as JSON for programs, and as exit code. `run` and `resume` call it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { RuntimeStore } from "../../services/RuntimeStore.js"
import type { CompletionOutcome } from "../domain/Completion.js"
import type { InputId, SessionId } from "../domain/Ids.js"
import { runtimeIdOf } from "../domain/Ids.js"
import { adding, CliFailure, codeOf, exitCodes, isReaderGone, whyOf } from "./failure.js"
import { json, line } from "./output.js"

/** One ended input. @since 0.1.0 @category models */
export interface Ended {
  readonly sessionId: SessionId
  readonly inputId: InputId
  readonly outcome: CompletionOutcome
  readonly key?: string
  /** true: the outcome was stored before, and nothing ran */
  readonly stored?: boolean
}

/** Makes the JSON document of an ended input. @since 0.1.0 @category models */
export const document = (store: RuntimeStore["Type"], ended: Ended): Effect.Effect<object> =>
  store.terminalInput(runtimeIdOf(ended.sessionId), ended.inputId).pipe(
    Effect.orElseSucceed(() => Option.none()),
    Effect.map((row) => ({
      session: ended.sessionId,
      input: ended.inputId,
      ...(ended.key === undefined ? {} : { key: ended.key }),
      ...answer(ended.outcome),
      ...(Option.isSome(row)
        ? {
          attempts: row.value.attempts,
          failedAttempts: row.value.charged,
          crashedAttempts: row.value.crashed,
          ...(row.value.lastRunId === undefined ? {} : { run: row.value.lastRunId })
        }
        : {}),
      stored: ended.stored === true
    }))
  )

/** Prints the answer, or fails with the exit code and sentence of the outcome. @since 0.1.0 @category output */
export const finish = (
  store: RuntimeStore["Type"],
  ended: Ended,
  asJson: boolean
): Effect.Effect<void, CliFailure> =>
  Effect.gen(function*() {
    const { outcome } = ended
    const code = codeOf(outcome)
    yield* print(store, ended, asJson)
    if (code !== exitCodes.answer) return yield* new CliFailure({ code, message: sentence(ended) })
  })

// --- internal ---

/** Prints the outcome. A reader that closed the pipe does not change how the turn ended. */
const print = (store: RuntimeStore["Type"], ended: Ended, asJson: boolean) => {
  const { outcome, sessionId } = ended
  const printed = asJson
    ? Effect.flatMap(document(store, ended), json)
    : outcome._tag === "Completed"
    ? line(outcome.result.text)
    : Effect.void
  return printed.pipe(
    Effect.catchIf(isReaderGone, () => Effect.void),
    Effect.mapError(adding(`The outcome of the turn is stored. See: meerkat inputs ${sessionId}`))
  )
}

const answer = (outcome: CompletionOutcome): object => {
  switch (outcome._tag) {
    case "Completed":
      return { status: "completed", ...outcome.result }
    case "CompletedWithoutResult":
      return { status: "completed", text: "" }
    case "CompletedWithFinalizationFailure":
      return { status: "unfinished", ...outcome.result, error: whyOf(outcome) }
    case "RuntimeTerminated":
      return { status: "unfinished", error: whyOf(outcome) }
    default:
      return { status: "failed", error: whyOf(outcome) }
  }
}

const sentence = ({ outcome, sessionId, stored }: Ended): string => {
  const why = whyOf(outcome)
  switch (outcome._tag) {
    case "RuntimeTerminated":
    case "CompletedWithFinalizationFailure":
      return `No answer was stored in session "${sessionId}": ${why}. The input is kept and runs again with ` +
        "meerkat resume, or the same command with the same --key."
    default:
      return `No answer from the program${stored === true ? " (stored outcome)" : ""}: ${why}`
  }
}
