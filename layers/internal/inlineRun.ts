/**
 * `acceptInputAndRun`: the caller accepts an input and runs it in its own fiber, in the session's single run slot (D23).
 *
 * The surface of the machine calls it. Invariants: a run that was begun here is settled or put back in every case; the
 * caller gets its result or error only after the session's commit was tried.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import type { TurnOutput } from "../../services/CoreExecutor.js"
import type { InlineTurn } from "../../services/SessionRuns.js"
import type { StagedRun } from "../../src/domain/Command.js"
import type { RuntimeDriverError, TurnCancelled } from "../../src/domain/Errors.js"
import { ExecutorFault, Internal } from "../../src/domain/Errors.js"
import type { RunId } from "../../src/domain/Ids.js"
import type { Input } from "../../src/domain/Input.js"
import type { Clearance } from "../../src/domain/RuntimeState.js"
import { acceptAndStage } from "../../src/kernel/commands/accept.js"
import { runOf } from "../../src/kernel/facts.js"
import * as Admission from "./admission.js"
import { driverError, invalid, refusedError } from "./driverError.js"
import type { Entry } from "./entry.js"
import { conduct, endingOf, inSession, mayWork, notCommitted, outsideError } from "./guest.js"
import { isolated } from "./inlineIsolation.js"
import type { MachineParts } from "./machineParts.js"
import * as Metrics from "./metrics.js"
import { textOf } from "./rendering.js"
import type { RunEnd, RunFiber } from "./runFiber.js"
import { start } from "./runFiber.js"
import type { End, Settling } from "./settle.js"
import { agentApplied, giveBack, settle } from "./settle.js"

type Op<A, E, R> = (turn: InlineTurn) => Effect.Effect<readonly [A, TurnOutput], E, R>

/** What the steps of an inline run share; `exit` is the exit of `op`, with its own types. */
interface Inline<A, E> {
  readonly parts: MachineParts
  readonly entry: Entry
  readonly staged: StagedRun
  readonly cell: { exit: Exit.Exit<readonly [A, TurnOutput], E> | null }
}

type Ended<A, E> = Effect.Effect<A, RuntimeDriverError | TurnCancelled | E>

/**
 * Puts the input of a run back into its lane; does nothing if the run never began. While the store says "not now" the
 * retries continue in the session, and the caller does not wait for them.
 */
const putBack = (parts: MachineParts, entry: Entry, runId: RunId): Effect.Effect<void> =>
  Effect.suspend(() =>
    inSession(
      parts,
      entry,
      (onPause) =>
        Effect.ignore(giveBack({ ...endingOf(parts, entry, { owner: "inline", runId }), onPause }, "its caller left"))
    ).begun
  )

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

/** Treats a failed run as cancelled if a cancel was requested for it, whatever its own error says. */
const cancelled = (entry: Entry, runId: RunId, end: RunEnd): RunEnd =>
  end._tag === "Failed" && (runOf(entry.authority.unsafeState(), runId)?.cancel ?? null) !== null
    ? { _tag: "Interrupted", reason: "cancelled" }
    : end

/** Settles the run in the session, then returns the value or the error to the caller. */
const settleInline = <A, E>(inline: Inline<A, E>, run: RunFiber, end: RunEnd, onPause: () => void): Ended<A, E> => {
  const { cell: { exit }, entry, parts, staged } = inline
  const settling: Settling = {
    ...endingOf(parts, entry, { owner: "inline", runId: staged.runId }),
    blobs: parts.blobs,
    records: staged.records,
    ownResult: true,
    onPause
  }
  const fail = driverError(entry.authority)
  switch (end._tag) {
    case "Output": {
      if (exit === null || Exit.isFailure(exit)) return noEnd(inline)
      const [value] = exit.value
      return Effect.matchEffect(settle(settling, outputOf(inline, run, end.output)), {
        // the error carries the value, because no other copy exists
        onFailure: (error) => Effect.fail(notCommitted(value, fail(error))),
        onSuccess: (settled) =>
          settled._tag === "Refused" ? Effect.fail(refusedError(settled.refusal)) : Effect.succeed(value)
      })
    }
    case "Failed": {
      const own: Ended<never, E> = exit !== null && Exit.isFailure(exit)
        ? Effect.failCause(exit.cause)
        : noEnd(inline)
      return Effect.zipRight(Effect.mapError(settle(settling, end), fail), own)
    }
    case "Interrupted": {
      const why = runOf(entry.authority.unsafeState(), staged.runId)?.cancel?.reason ?? "cancelled"
      return Effect.zipRight(
        Effect.ignore(settle(settling, { ...end, why })),
        outsideError(entry, end.reason, why)
      )
    }
  }
}

const outputOf = <A, E>({ parts, staged }: Inline<A, E>, { turn }: RunFiber, output: TurnOutput): End => ({
  _tag: "Output",
  output,
  context: {
    base: turn.head,
    appends: turn.appends,
    agentApplied: agentApplied(staged),
    limit: parts.config.maxCommitBytes
  }
})

/** The error of a run whose fiber was interrupted from outside before `op` finished. */
const noEnd = <A, E>({ entry }: Inline<A, E>): Effect.Effect<never, Internal> =>
  Effect.fail(
    new Internal({
      detail: `a run of session "${entry.sessionId}" was interrupted from outside before it finished: run it again`,
      retryable: true
    })
  )

/** Makes an executor of `op`: keeps the exit of `op` with its own types, and maps its failure to `ExecutorFault`. */
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
 * Accepts, stages, runs and settles an input, and returns the value of `op`. `op` runs in an interruptible child of the
 * calling fiber. The caller's interruption and a cancel from outside both interrupt it; the caller continues only after
 * the end was settled.
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
            // the commit may be in progress or done, and no other call would end the run
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

/** Runs a staged run in a child of the calling fiber, and settles it. */
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
    return yield* conduct(parts, entry, restore, run, (end, onPause) =>
      Effect.tapDefect(
        Effect.suspend(() => ended(inline, run, end, onPause)),
        // no other call can release the run slot
        () => putBack(parts, entry, runId)
      ))
  })

const ended = <A, E>(inline: Inline<A, E>, run: RunFiber, end: RunEnd, onPause: () => void): Ended<A, E> => {
  const known = cancelled(inline.entry, run.runId, end)
  return Effect.zipRight(Metric.increment(Metrics.runs[known._tag]), settleInline(inline, run, known, onPause))
}
