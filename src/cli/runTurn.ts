/**
 * The body of `meerkat run`: adds one prompt to a session, runs the session, and prints the answer. With `--key` a stored
 * outcome is printed without a run.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import type { Completion, MeerkatMachineService } from "../../services/MeerkatMachine.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import { RuntimeStore } from "../../services/RuntimeStore.js"
import type { CompletionOutcome } from "../domain/Completion.js"
import { type InputId, runtimeIdOf, SessionId } from "../domain/Ids.js"
import * as Executor from "./executor.js"
import { type CliFailure, codeOf, exitCodes, heldBack, ofReadError, ofSessionError, usage, whyOf } from "./failure.js"
import * as Machine from "./machine.js"
import { type ExecutorFlags, sessionId } from "./options.js"
import { note } from "./output.js"
import { ended, type Open, register } from "./pending.js"
import * as Progress from "./progress.js"
import { noStrayOption, promptOf } from "./prompt.js"
import * as Report from "./report.js"

/** The parsed options of `meerkat run`. @since 0.1.0 @category models */
export interface RunFlags extends ExecutorFlags {
  readonly db: string
  readonly acceptLoss: boolean
  readonly session: Option.Option<string>
  readonly key: Option.Option<string>
  readonly json: boolean
  readonly prompt: ReadonlyArray<string>
}

/** Runs one turn and prints its answer. @since 0.1.0 @category commands */
export const runTurn = (flags: RunFlags): Effect.Effect<void, CliFailure> =>
  Effect.gen(function*() {
    yield* noStrayOption(flags.prompt, "goes through standard input: -")
    const command = yield* Executor.command(flags.exec)
    const sessionId = yield* sessionOf(flags.session)
    const text = yield* promptOf(flags.prompt, null)
    const job: Job = { flags, command, sessionId, key: Option.getOrNull(flags.key), text, admitted: false }
    yield* turn(job).pipe(
      Machine.provide(flags),
      Effect.onInterrupt(() => note(farewell(job)))
    )
  })

// --- internal ---

interface Job {
  readonly flags: RunFlags
  readonly command: Parameters<typeof Executor.make>[0]
  readonly sessionId: SessionId
  readonly key: string | null
  readonly text: string
  /** Whether the input is durable. */
  admitted: boolean
}

const sessionOf = (given: Option.Option<string>): Effect.Effect<SessionId, CliFailure> =>
  Option.isSome(given)
    ? Effect.mapError(sessionId("--session", given.value), usage)
    : Effect.gen(function*() {
      const now = yield* Clock.currentTimeMillis
      const random = yield* Random.nextIntBetween(0, 36 ** 4)
      return SessionId.make(`run-${now.toString(36)}${random.toString(36).padStart(4, "0")}`)
    })

const farewell = ({ admitted, sessionId }: Job): string =>
  admitted
    ? `interrupted: the input is kept in session "${sessionId}" and runs with the next run or resume there`
    : "interrupted: nothing was added"

const turn = (job: Job) =>
  Effect.gen(function*() {
    const store = yield* RuntimeStore
    if (Option.isNone(job.flags.session)) yield* note(`session: ${job.sessionId}`)
    const stored = yield* storedOutcome(job)
    const last = Option.isSome(stored) ? stored.value : yield* fresh(job)
    return yield* Report.finish(store, { ...last, ...(job.key === null ? {} : { key: job.key }) }, job.flags.json)
  })

/** Returns the outcome that the store holds for `--key`, if any; the session may be in any state. */
const storedOutcome = ({ flags, key, sessionId }: Job) =>
  Effect.gen(function*() {
    if (key === null) return Option.none<Report.Ended>()
    const store = yield* RuntimeStore
    const runtimeId = runtimeIdOf(sessionId)
    const owner = yield* store.findKey(runtimeId, key)
    if (Option.isNone(owner) || owner.value.completedAt === null) return Option.none<Report.Ended>()
    const { inputId } = owner.value
    const row = yield* store.terminalInput(runtimeId, inputId)
    return Option.map(row, ({ outcome }): Report.Ended => ({ sessionId, inputId, outcome, stored: true }))
  }).pipe(Effect.mapError(ofReadError(flags.db)))

/** Adds the input, runs the session, and waits for the outcome of the input. */
const fresh = (job: Job) =>
  Effect.scoped(Effect.gen(function*() {
    const { flags, key, sessionId } = job
    const machine = yield* MeerkatMachine
    const progress = yield* Progress.make
    const { gone, open } = yield* register(machine, yield* RuntimeStore, sessionId)
    const options = key === null ? {} : { idempotencyKey: key }
    const { completion } = yield* Effect.uninterruptible(Effect.tap(
      machine.session(sessionId).prompt(job.text, options),
      () =>
        Effect.sync(() => {
          job.admitted = true
        })
    ))
    yield* progress.follow(machine, sessionId)
    const isOther = ({ inputId }: { readonly inputId: InputId }) => inputId !== completion.inputId
    yield* Effect.forEach(gone.filter(isOther), (end) => noteEnd(progress, end.inputId, end.outcome))
    yield* tellOthers(progress, open.filter(isOther))
    yield* machine.ensureSessionWithExecutor(sessionId, Executor.make(job.command, flags, progress.onStderr))
    const outcome = yield* outcomeOf(machine, sessionId, completion, open)
    // lets other inputs that ended at the same moment print their outcome; open inputs are not awaited
    yield* Effect.yieldNow()
    if (Option.isNone(outcome)) {
      return yield* heldBack(completion.inputId, sessionId)
    }
    return { sessionId, inputId: completion.inputId, outcome: outcome.value }
  })).pipe(
    Effect.mapError((error) => error._tag === "CliFailure" ? error : ofSessionError(job.flags.db)(error))
  )

/** Waits for the outcome. If the key names an input that only rides along, it waits until the driving inputs end. */
const outcomeOf = (
  machine: MeerkatMachineService,
  sessionId: SessionId,
  { inputId, wait }: Completion,
  open: ReadonlyArray<Open>
) =>
  Effect.gen(function*() {
    if (!open.some((input) => input.inputId === inputId && !input.drives)) return Option.some(yield* wait)
    const waiter = yield* Effect.forkScoped(wait)
    yield* Effect.forEach(open.filter(({ drives }) => drives), (other) => other.wait, { discard: true })
    return yield* ended(machine, sessionId, inputId, waiter)
  })

/** Prints the outcomes of the inputs that were pending before, as notes on standard error. */
const tellOthers = (progress: Progress.Progress, open: ReadonlyArray<Completion>) =>
  Effect.forEach(
    open,
    ({ inputId, wait }) => Effect.forkScoped(Effect.flatMap(wait, (outcome) => noteEnd(progress, inputId, outcome))),
    { discard: true }
  )

const noteEnd = (progress: Progress.Progress, inputId: InputId, outcome: CompletionOutcome) =>
  progress.note(`pending input ${inputId}: ${told(outcome)}`)

const told = (outcome: CompletionOutcome): string => {
  if (outcome._tag === "Completed") return outcome.result.text
  return codeOf(outcome) === exitCodes.answer ? "done" : `failed: ${whyOf(outcome)}`
}
