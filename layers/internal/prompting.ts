/**
 * `prompt`, `steer` and `ask`: they admit a prompt and wait for its answer, within an optional deadline. The machine
 * and the session handle call it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { CurrentSession } from "../../services/CoreExecutor.js"
import type {
  AskOptions,
  Deadline,
  NoDeadline,
  Prompted,
  PromptOptions,
  SteerOptions
} from "../../services/MeerkatMachine.js"
import { DeadlineExceeded } from "../../services/MeerkatMachine.js"
import type { RunResult, TurnFailed } from "../../src/domain/Completion.js"
import { toEffect } from "../../src/domain/Completion.js"
import type { RuntimeDriverError } from "../../src/domain/Errors.js"
import type { SessionId } from "../../src/domain/Ids.js"
import type { AcceptOptions, AdmissionNote } from "./admission.js"
import * as Admission from "./admission.js"
import { invalid } from "./driverError.js"
import type { MachineParts, Resolve } from "./machineParts.js"
import { within } from "./race.js"

type Options = PromptOptions & Pick<SteerOptions, "expectedRunId">

/** Makes the record of what is known of an input when its deadline passes. */
const noted = (): AdmissionNote => ({ admission: "notAdmitted" })

const inTime = <A, E>(
  effect: Effect.Effect<A, E>,
  note: AdmissionNote,
  deadline: AskOptions["deadline"]
): Effect.Effect<A, E | DeadlineExceeded> =>
  deadline === undefined
    ? effect
    : Effect.flatMap(within(deadline)(effect), (done) =>
      Option.isSome(done) ? Effect.succeed(done.value) : Effect.fail(new DeadlineExceeded(note)))

const admitted = (
  parts: MachineParts,
  resolve: Resolve,
  text: string,
  options: Options,
  steer: boolean,
  note: AdmissionNote
): Effect.Effect<Prompted, RuntimeDriverError> =>
  Effect.gen(function*() {
    const entry = yield* resolve
    const input = yield* Admission.promptInput(parts, text, options, steer)
    const given: AcceptOptions = {
      wake: options.hold !== true,
      completion: true,
      fresh: true,
      note,
      ...(options.expectedRunId === undefined ? {} : { expectedRunId: options.expectedRunId })
    }
    return yield* Admission.withCompletion(parts, entry, yield* Admission.admit(parts, entry, input, given))
  }).pipe(Effect.withSpan("MeerkatMachine.prompt", { captureStackTrace: false }))

/** Makes `prompt` or `steer`: it admits a prompt to its lane, durable when the call returns. */
export const prompting = (parts: MachineParts, resolve: Resolve, steer: boolean) => {
  function prompt(text: string, options?: Options & NoDeadline): Effect.Effect<Prompted, RuntimeDriverError>
  function prompt(
    text: string,
    options: Options & Partial<Deadline>
  ): Effect.Effect<Prompted, RuntimeDriverError | DeadlineExceeded>
  function prompt(text: string, options: Options & Partial<Deadline> = {}) {
    return Effect.suspend(() => {
      const note = noted()
      return inTime(admitted(parts, resolve, text, options, steer, note), note, options.deadline)
    })
  }
  return prompt
}

/** Fails inside a run of the same session, because that run would have to end before it gets the answer. */
const notFromInside = (sessionId: SessionId): Effect.Effect<void, RuntimeDriverError> =>
  Effect.flatMap(
    CurrentSession,
    (current) =>
      current !== null && current.sessionId === sessionId && current.role === "run"
        ? Effect.fail(
          invalid({ _tag: "WouldDeadlock", detail: "ask was called from inside a run of the same session" })
        )
        : Effect.void
  )

/** Admits a prompt and waits for its answer; one deadline covers both. */
export const ask = (
  parts: MachineParts,
  sessionId: SessionId,
  resolve: Resolve,
  text: string,
  options: AskOptions
): Effect.Effect<RunResult, RuntimeDriverError | TurnFailed | DeadlineExceeded> =>
  Effect.suspend(() => {
    const note = noted()
    const answer = Effect.flatMap(
      admitted(parts, resolve, text, options, false, note),
      ({ completion }) => Effect.flatMap(completion.wait, toEffect)
    )
    return inTime(Effect.zipRight(notFromInside(sessionId), answer), note, options.deadline)
  })
