/**
 * What `meerkat resume` does.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Ref from "effect/Ref"
import * as Stream from "effect/Stream"
import type { CoreExecutor } from "../../services/CoreExecutor.js"
import type { Completion } from "../../services/MeerkatMachine.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import { RuntimeStore } from "../../services/RuntimeStore.js"
import type { SessionId } from "../domain/Ids.js"
import * as Executor from "./executor.js"
import { CliFailure, codeOf, type ExitCode, exitCodes, ofDriverError, ofReadError, whyOf } from "./failure.js"
import * as Machine from "./machine.js"
import type { ExecutorFlags } from "./options.js"
import { json, line, note } from "./output.js"
import { pendingOf } from "./pending.js"
import * as Progress from "./progress.js"
import * as Report from "./report.js"

/** @since 0.1.0 @category models */
export interface ResumeFlags extends ExecutorFlags {
  readonly db: string
  readonly json: boolean
  readonly sessions: ReadonlyArray<SessionId>
}

/** Runs what is pending, one session after the other. @since 0.1.0 @category commands */
export const runPending = (flags: ResumeFlags): Effect.Effect<void, CliFailure> =>
  Effect.gen(function*() {
    const command = yield* Executor.command(flags.exec)
    yield* resumeAll(flags, command).pipe(
      Machine.provide(flags),
      Effect.onInterrupt(() => note("interrupted: what has not ended is kept and runs with the next run or resume"))
    )
  })

// --- internal ---

const resumeAll = (flags: ResumeFlags, command: Parameters<typeof Executor.make>[0]) =>
  Effect.scoped(Effect.gen(function*() {
    const store = yield* RuntimeStore
    const progress = yield* Progress.make
    const worst = yield* Ref.make<ExitCode>(exitCodes.answer)
    const executor = Executor.make(command, flags, progress.onStderr)
    const stored = yield* Effect.mapError(
      Stream.runCollect(store.sessions({ pendingOnly: true, lifecycle: ["idle", "retired", "stopped"] })),
      ofReadError(flags.db)
    )
    const asked = Array.from(stored, ({ sessionId }) => sessionId)
      .filter((id) => flags.sessions.length === 0 || flags.sessions.includes(id))
    if (asked.length === 0) yield* progress.note("nothing is pending")
    yield* Effect.forEach(asked, (sessionId) => resume(flags, executor, progress, worst, sessionId))
    const code = yield* Ref.get(worst)
    if (code !== exitCodes.answer) {
      return yield* new CliFailure({ code, message: "Not every input has an answer. See: meerkat inputs SESSION" })
    }
  }))

const resume = (
  flags: ResumeFlags,
  executor: CoreExecutor,
  progress: Progress.Progress,
  worst: Ref.Ref<ExitCode>,
  sessionId: SessionId
) =>
  Effect.scoped(Effect.gen(function*() {
    const machine = yield* MeerkatMachine
    yield* machine.registerSession(sessionId)
    const open = yield* pendingOf(machine, sessionId)
    yield* progress.follow(machine, sessionId)
    yield* machine.ensureSessionWithExecutor(sessionId, executor)
    yield* Effect.forEach(open, (completion) => told(flags, worst, sessionId, completion), {
      concurrency: "unbounded"
    })
    yield* machine.unregisterSession(sessionId)
  })).pipe(Effect.mapError(ofDriverError))

const told = (flags: ResumeFlags, worst: Ref.Ref<ExitCode>, sessionId: SessionId, { inputId, wait }: Completion) =>
  Effect.gen(function*() {
    const store = yield* RuntimeStore
    const outcome = yield* wait
    const code = codeOf(outcome)
    yield* Ref.update(worst, (before) => before === exitCodes.answer ? code : before)
    if (flags.json) return yield* Effect.flatMap(Report.document(store, { sessionId, inputId, outcome }), json)
    if (outcome._tag === "Completed") return yield* line(`${sessionId}: ${outcome.result.text}`)
    yield* note(`${sessionId}: ${inputId} ${code === exitCodes.answer ? "done" : `failed: ${whyOf(outcome)}`}`)
  })
