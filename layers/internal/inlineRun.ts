/**
 * `acceptInputAndRun`: an input is accepted and run by its caller, in the session's single run slot (D23).
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import type { TurnOutput } from "../../services/CoreExecutor.js"
import type { InlineTurn } from "../../services/SessionRuns.js"
import type { RunOutput, StagedRun } from "../../src/domain/Command.js"
import type { RuntimeDriverError, TurnCancelled } from "../../src/domain/Errors.js"
import { ExecutorFault, Internal } from "../../src/domain/Errors.js"
import type { RunId } from "../../src/domain/Ids.js"
import type { Input } from "../../src/domain/Input.js"
import type { Clearance } from "../../src/domain/RuntimeState.js"
import { acceptAndStage } from "../../src/kernel/commands/accept.js"
import { cancelRun, commitRun, requeueRun } from "../../src/kernel/commands/run.js"
import { runOf } from "../../src/kernel/facts.js"
import * as Admission from "./admission.js"
import { driverError, invalid, refusedError } from "./driverError.js"
import type { Entry } from "./entry.js"
import { storeFailure } from "./failing.js"
import { hosted, insistence, mayWork, notCommitted, outsideError } from "./guest.js"
import { isolated } from "./inlineIsolation.js"
import type { MachineParts } from "./machineParts.js"
import * as Metrics from "./metrics.js"
import { textOf } from "./rendering.js"
import type { Failure } from "./runFailure.js"
import { ofRefusal } from "./runFailure.js"
import type { RunEnd, RunFiber } from "./runFiber.js"
import { start } from "./runFiber.js"
import { toRunOutput } from "./runOutput.js"
import { finalizationFailure, insist, insistOrReload, notBefore } from "./runSettlement.js"
import type { Refusal } from "./stored.js"

type Op<A, E, R> = (turn: InlineTurn) => Effect.Effect<readonly [A, TurnOutput], E, R>

/** What is at hand while the run goes on; `exit` is what `op` came to, with its own types. */
interface Inline<A, E> {
  readonly parts: MachineParts
  readonly entry: Entry
  readonly staged: StagedRun
  readonly cell: { exit: Exit.Exit<readonly [A, TurnOutput], E> | null }
}

type Ended<A, E> = Effect.Effect<A, RuntimeDriverError | TurnCancelled | E>

/** Puts the input back into its lane, uncharged; a run that is over already has nothing to put back. */
const putBack = (parts: MachineParts, entry: Entry, runId: RunId): Effect.Effect<void> =>
  Effect.ignore(insistOrReload(insistence(parts, entry), requeueRun({ runId })))

const stage = (parts: MachineParts, entry: Entry, given: Input, runId: RunId, clearance: Clearance) =>
  Effect.gen(function*() {
    const input = yield* parts.blobs.ofInput(given)
    const refused = Admission.tooLarge(parts, input)
    if (refused !== null) return yield* Effect.fail(refused)
    const known = yield* Admission.lookUp(parts, entry, input, false)
    const trace = yield* Admission.traceOfCall
    const staged = yield* entry.authority.submit(acceptAndStage({ input, ...known, ...trace }, runId, clearance)).pipe(
      Effect.mapError((error) => {
        const lost = Admission.conflict(input, error)
        return lost === null
          ? driverError(entry.authority)(error)
          : invalid({ _tag: "DeduplicationUnsupported", existingId: lost.existingId })
      })
    )
    yield* Metric.increment(Metrics.accepts.Accepted)
    return staged
  })

/** The result is committed with the input's end; if it cannot be, the input waits again and the value goes with the error. */
const succeeded = <A, E>(inline: Inline<A, E>, run: RunFiber, given: TurnOutput, value: A): Ended<A, E> => {
  const { entry, parts, staged } = inline
  const { runId } = staged
  const applied = staged.completions[staged.completions.length - 1]?.seq ?? 0
  const { appends, head } = run.turn
  const committed = (output: RunOutput) => {
    const how = insistence(parts, entry, finalizationFailure(staged, output.outcome))
    return insist(how, commitRun({ runId, output })).pipe(
      Effect.as(value),
      Effect.catchAll((error) =>
        Effect.zipRight(
          putBack(parts, entry, runId),
          Effect.suspend(() => Effect.fail(notCommitted(value, driverError(entry.authority)(error))))
        )
      )
    )
  }
  const context = { base: head, appends, agentApplied: applied, limit: parts.config.maxCommitBytes }
  return Effect.matchEffect(toRunOutput(parts.blobs, given, context), {
    onFailure: (refusal) => refused(inline, refusal),
    onSuccess: committed
  })
}

const failed = <A, E>(inline: Inline<A, E>, failure: Failure, error: Ended<never, E>): Ended<never, E> => {
  const { entry, parts, staged } = inline
  const charged = staged.records.reduce((most, record) => Math.max(most, record.charged), 0)
  return Effect.flatMap(
    notBefore(parts.config, charged),
    (later) => storeFailure(insistence(parts, entry), staged.runId, { ...failure, notBefore: later })
  ).pipe(
    Effect.mapError(driverError(entry.authority)),
    Effect.zipRight(error)
  )
}

/** No commit can hold the output: the input has failed for good, and the caller knows why. */
const refused = <A, E>(inline: Inline<A, E>, refusal: Refusal): Ended<never, E> =>
  failed(inline, ofRefusal(refusal, 1), Effect.fail(refusedError(refusal)))

/** A run that was to be cancelled and came to nothing is cancelled, whatever it says itself. */
const cancelled = (entry: Entry, runId: RunId, end: RunEnd): RunEnd =>
  end._tag === "Failed" && (runOf(entry.authority.unsafeState(), runId)?.cancel ?? null) !== null
    ? { _tag: "Interrupted", reason: "cancelled" }
    : end

/** Tells the session how the run ended, and the caller what the session made of it. */
const settle = <A, E>(inline: Inline<A, E>, run: RunFiber, end: RunEnd): Ended<A, E> => {
  const { cell, entry, parts, staged } = inline
  const { runId } = staged
  switch (end._tag) {
    case "Output": {
      if (cell.exit === null || Exit.isFailure(cell.exit)) return noEnd(inline)
      const [value] = cell.exit.value
      return succeeded(inline, run, end.output, value)
    }
    case "Failed": {
      const { exit } = cell
      return failed(
        inline,
        end.failure,
        exit !== null && Exit.isFailure(exit) ? Effect.failCause(exit.cause) : noEnd(inline)
      )
    }
    case "Interrupted": {
      const { reason } = end
      const why = runOf(entry.authority.unsafeState(), runId)?.cancel?.reason ?? "cancelled"
      const told = reason === "cancelled"
        ? Effect.ignore(insistOrReload(insistence(parts, entry), cancelRun({ runId, reason: why })))
        : reason === "requeue"
        ? putBack(parts, entry, runId)
        : Effect.void
      return Effect.zipRight(told, outsideError(entry, reason, why))
    }
  }
}

/** The fiber was ended by a stranger before `op` came to anything. */
const noEnd = <A, E>({ entry }: Inline<A, E>): Effect.Effect<never, Internal> =>
  Effect.fail(
    new Internal({ detail: `a run of session "${entry.sessionId}" was ended by a stranger`, retryable: true })
  )

/** `op` as an executor: what it came to is kept with its own types, its failure is one of an executor. */
const executorOf = <A, E>(cell: Inline<A, E>["cell"], op: Op<A, E, never>) => ({
  apply: (turn: InlineTurn) =>
    Effect.suspend(() => op(turn)).pipe(
      Effect.onExit((exit) =>
        Effect.sync(() => {
          cell.exit = exit
        })
      ),
      Effect.mapBoth({
        onFailure: (error) => new ExecutorFault({ detail: textOf(error) }),
        onSuccess: ([, output]) => output
      })
    )
})

/**
 * Accepts, stages, runs and settles. `op` runs in a child of the calling fiber, interruptible on purpose: the caller's
 * interruption and whoever ends the run from outside both reach it, and the caller goes on only when the session was told.
 */
export const acceptAndRun = <A, E, R>(
  parts: MachineParts,
  entry: Entry,
  input: Input,
  op: Op<A, E, R>
): Effect.Effect<A, RuntimeDriverError | TurnCancelled | E, R> =>
  Effect.flatMap(Effect.context<R>(), (context) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function*() {
        const valid = yield* Admission.checked(input)
        const runId = yield* parts.ids.run
        const run = (clearance: Clearance) =>
          Effect.gen(function*() {
            // the commit may be under way, or done: nobody else would end the run that it begins
            const staged = yield* Effect.onInterrupt(
              restore(stage(parts, entry, valid, runId, clearance)),
              () => putBack(parts, entry, runId)
            )
            const inline: Inline<A, E> = { parts, entry, staged, cell: { exit: null } }
            const executor = executorOf(inline.cell, (turn) => Effect.provide(op(turn), context))
            return yield* worked(inline, executor, restore)
          })
        return yield* isolated(parts, entry, { inputId: valid.header.id, runId }, restore, run)
      })
    ))

/** Does the work of a staged run in a child of the calling fiber. */
const worked = <A, E>(
  inline: Inline<A, E>,
  executor: ReturnType<typeof executorOf>,
  restore: <B, F>(effect: Effect.Effect<B, F>) => Effect.Effect<B, F>
): Ended<A, E> =>
  Effect.gen(function*() {
    const { entry, parts, staged } = inline
    const { runId } = staged
    const { blobs, store } = parts
    const mayStart = () => mayWork(entry, runId)
    const operations = parts.operations(entry)
    const run = yield* start(
      { authority: entry.authority, store, blobs, executor, operations, mayStart },
      staged,
      () => {}
    )
    return yield* hosted(entry, runId, run.interrupt, ended(inline, run, restore))
  })

const ended = <A, E>(
  inline: Inline<A, E>,
  run: RunFiber,
  restore: <B, F>(effect: Effect.Effect<B, F>) => Effect.Effect<B, F>
): Ended<A, E> =>
  Effect.gen(function*() {
    const { entry, staged } = inline
    const waited = yield* Effect.exit(restore(run.end))
    if (Exit.isFailure(waited)) yield* run.interrupt("requeue")
    const end = cancelled(entry, staged.runId, Exit.isSuccess(waited) ? waited.value : yield* run.end)
    yield* Metric.increment(Metrics.runs[end._tag])
    const settled = Effect.suspend(() => settle(inline, run, end))
    // nobody else would give the slot back
    const result = yield* Effect.exit(Effect.tapDefect(settled, () => putBack(inline.parts, entry, staged.runId)))
    // the caller's own interruption is its answer, whatever the session made of the run
    return yield* Exit.isFailure(waited) ? Effect.failCause(waited.cause) : result
  })
