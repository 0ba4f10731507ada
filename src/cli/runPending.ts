/**
 * The body of `meerkat resume`: runs the open inputs of the named sessions, or of all. A failure of one session is
 * reported and does not stop the others; the program ends with the most severe exit code.
 *
 * @since 0.1.0
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Ref from "effect/Ref"
import * as Stream from "effect/Stream"
import type { CoreExecutor } from "../../services/CoreExecutor.js"
import type { MeerkatMachineService } from "../../services/MeerkatMachine.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import type { StoredSession } from "../../services/RuntimeStore.js"
import { RuntimeStore } from "../../services/RuntimeStore.js"
import { type InputId, runtimeIdOf, type SessionId } from "../domain/Ids.js"
import type { StoreCorrupt } from "../domain/StoreErrors.js"
import * as Executor from "./executor.js"
import {
  CliFailure,
  codeOf,
  type ExitCode,
  exitCodes,
  isHeld,
  isReaderGone,
  noSession,
  noStore,
  ofReadError,
  ofSessionError,
  whyOf,
  worse
} from "./failure.js"
import * as Machine from "./machine.js"
import type { ExecutorFlags } from "./options.js"
import { json, line, note } from "./output.js"
import { ended, type Open, register } from "./pending.js"
import * as Progress from "./progress.js"
import { look } from "./readStore.js"
import * as Report from "./report.js"

/** The parsed options of `meerkat resume`. @since 0.1.0 @category models */
export interface ResumeFlags extends ExecutorFlags {
  readonly db: string
  readonly acceptLoss: boolean
  readonly json: boolean
  readonly sessions: ReadonlyArray<SessionId>
}

/** Runs the open inputs, one session after the other; an interruption keeps inputs without an outcome. @since 0.1.0 @category commands */
export const runPending = (flags: ResumeFlags): Effect.Effect<void, CliFailure, FileSystem.FileSystem> =>
  Effect.gen(function*() {
    const command = yield* Executor.command(flags.exec)
    const files = yield* FileSystem.FileSystem
    const isThere = yield* Effect.orElseSucceed(files.exists(flags.db), () => true)
    // a reader creates no store, and reports a lost store as lost
    if (!isThere) return yield* Effect.zipRight(look(flags.db, () => Effect.void), noStore(flags.db))
    yield* resumeAll(flags, command).pipe(
      // the reader of the answers is gone: leave the other inputs for the next run
      Effect.catchIf(isReaderGone, () => Effect.interrupt),
      Machine.provide(flags),
      Effect.onInterrupt(() => note("interrupted: what has not ended is kept and runs with the next run or resume"))
    )
  })

// --- internal ---

interface Job {
  readonly flags: ResumeFlags
  readonly executor: CoreExecutor
  readonly progress: Progress.Progress
  /** The most severe exit code so far; the program ends with it. */
  readonly worst: Ref.Ref<ExitCode>
}

const resumeAll = (flags: ResumeFlags, command: Parameters<typeof Executor.make>[0]) =>
  Effect.scoped(Effect.gen(function*() {
    const progress = yield* Progress.make
    const worst = yield* Ref.make<ExitCode>(exitCodes.answer)
    const job: Job = { flags, executor: Executor.make(command, flags, progress.onStderr), progress, worst }
    const pending = yield* flags.sessions.length === 0 ? everyPending(job) : namedPending(job)
    if (pending.length === 0 && (yield* Ref.get(worst)) === exitCodes.answer) {
      yield* progress.note("nothing is pending")
    }
    yield* Effect.forEach(pending, (sessionId) => resume(job, sessionId))
    const code = yield* Ref.get(worst)
    if (code !== exitCodes.answer) {
      return yield* new CliFailure({ code, message: "Not every input has an answer. See: meerkat inputs SESSION" })
    }
  }))

const isPending = ({ lifecycle, pendingInputs }: StoredSession) => pendingInputs > 0 && lifecycle !== "destroyed"

/** Returns all sessions with open inputs. Reports a damaged row and returns the readable sessions. */
const everyPending = (job: Job) =>
  Effect.gen(function*() {
    const store = yield* RuntimeStore
    const told = (error: StoreCorrupt) => noted(job, ofReadError(job.flags.db)(error))
    const readable = Stream.catchTag(
      store.sessions({ pendingOnly: true }),
      "StoreCorrupt",
      (error) => Stream.execute(told(error))
    )
    const stored = yield* Effect.mapError(Stream.runCollect(readable), ofReadError(job.flags.db))
    return Array.from(stored).filter(isPending).map(({ sessionId }) => sessionId)
  })

/** Returns the named sessions with open inputs. Reports an unknown name and returns the others. */
const namedPending = (job: Job) =>
  Effect.gen(function*() {
    const { db, sessions } = job.flags
    const store = yield* RuntimeStore
    const found = yield* Effect.forEach([...new Set(sessions)], (sessionId) =>
      Effect.mapError(store.session(runtimeIdOf(sessionId)), ofReadError(db)).pipe(
        Effect.filterOrFail(Option.isSome, () =>
          noSession(db, sessionId)),
        Effect.catchAll((failure) => Effect.as(failed(job, sessionId, failure), Option.none<StoredSession>()))
      ))
    return found.flatMap(Option.toArray).filter(isPending).map(({ sessionId }) =>
      sessionId
    )
  })

/** Runs one session. Reports its failure and does not fail, except when standard output fails. */
const resume = (job: Job, sessionId: SessionId) =>
  Effect.gen(function*() {
    const machine = yield* MeerkatMachine
    yield* runAll(job, machine, sessionId).pipe(
      Effect.catchAll((error) =>
        error._tag === "CliFailure"
          ? Effect.fail(error)
          : Effect.zipRight(
            failed(job, sessionId, ofSessionError(job.flags.db)(error)),
            Effect.ignore(machine.unregisterSession(sessionId))
          )
      )
    )
  })

const runAll = (job: Job, machine: MeerkatMachineService, sessionId: SessionId) =>
  Effect.scoped(Effect.gen(function*() {
    const { gone, open } = yield* register(machine, yield* RuntimeStore, sessionId)
    yield* Effect.forEach(gone, (end) => told(job, end))
    yield* job.progress.follow(machine, sessionId)
    // a retired session without work takes no executor
    if (open.some(({ drives }) => drives)) yield* machine.ensureSessionWithExecutor(sessionId, job.executor)
    yield* tellEnds(job, machine, sessionId, open)
    yield* machine.unregisterSession(sessionId)
  }))

/**
 * Prints outcomes as inputs end, until every driving input has ended. The inputs that rode along have ended by then; an
 * input that still waits is printed as held.
 */
const tellEnds = (job: Job, machine: MeerkatMachineService, sessionId: SessionId, open: ReadonlyArray<Open>) =>
  Effect.gen(function*() {
    const ends = yield* Queue.unbounded<Report.Ended>()
    const waiters = yield* Effect.forEach(
      open,
      ({ inputId, wait }) =>
        Effect.map(
          Effect.forkScoped(Effect.tap(wait, (outcome) => Queue.offer(ends, { sessionId, inputId, outcome }))),
          (waiter) => [inputId, waiter] as const
        )
    )
    const left = new Map(waiters)
    const driving = new Set(open.filter(({ drives }) => drives).map(({ inputId }) => inputId))
    while (driving.size > 0) {
      const end = yield* Queue.take(ends)
      left.delete(end.inputId)
      driving.delete(end.inputId)
      yield* told(job, end)
    }
    yield* Effect.forEach(
      left,
      ([inputId, waiter]) =>
        Effect.flatMap(ended(machine, sessionId, inputId, waiter), (outcome) =>
          Option.isSome(outcome)
            ? told(job, { sessionId, inputId, outcome: outcome.value })
            : held(job, sessionId, inputId))
    )
  })

const noted = ({ progress, worst }: Job, { code, message }: CliFailure) =>
  Effect.zipRight(progress.note(message), Ref.update(worst, (before) => worse(before, code)))

const failed = (job: Job, sessionId: SessionId, { code, message }: CliFailure) =>
  noted(job, new CliFailure({ code, message: `${sessionId}: ${message}` }))

/** Prints that an input is held. This is not a failure: its sender asked for it. */
const held = ({ flags, progress }: Job, sessionId: SessionId, inputId: InputId) =>
  flags.json
    ? json({ session: sessionId, input: inputId, status: "held" })
    : progress.note(`${sessionId}: ${inputId} ${isHeld}`)

const told = ({ flags, progress, worst }: Job, end: Report.Ended) =>
  Effect.gen(function*() {
    const { inputId, outcome, sessionId } = end
    const code = codeOf(outcome)
    yield* Ref.update(worst, (before) => worse(before, code))
    if (flags.json) return yield* Effect.flatMap(Report.document(yield* RuntimeStore, end), json)
    if (outcome._tag === "Completed") return yield* line(`${sessionId}: ${outcome.result.text}`)
    yield* progress.note(`${sessionId}: ${inputId} ${code === exitCodes.answer ? "done" : `failed: ${whyOf(outcome)}`}`)
  })
