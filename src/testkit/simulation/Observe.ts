/**
 * Watches any executor in a simulation: which runs begin, which runs overlap, and how often an input runs. The lives of a
 * simulation wrap their executors with it. Each broken rule becomes a violation in the journal.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as FiberRef from "effect/FiberRef"
import type { CoreExecutor, Turn } from "../../../services/CoreExecutor.js"
import { runtimeIdOf } from "../../domain/Ids.js"
import type { Clearance } from "../../domain/RuntimeState.js"
import type { Applied } from "./Journal.js"
import { count, note, violate } from "./Journal.js"
import type { World } from "./World.js"
import { incarnationOf } from "./World.js"

/** Returns the same executor; checks its calls against the journal. @since 0.1.0 @category constructors */
export const executor = (world: World, inner: CoreExecutor): CoreExecutor => ({
  ...handlesOf(inner),
  apply: (turn) => {
    afterStop(world, turn)
    return observed(world, turn, inner.apply(turn))
  }
})

/** Watches one run in the run slot of a session: of a loop, an inline run or a service turn. @since 0.1.0 @category combinators */
export const observed = <A, E extends { readonly _tag: string }>(
  world: World,
  turn: Pick<Turn, "runId" | "sessionId" | "inputs" | "completions">,
  effect: Effect.Effect<A, E>
): Effect.Effect<A, E> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.withFiberRuntime((fiber) =>
      Effect.flatMap(Clock.currentTimeMillis, (since) => {
        const isInterrupted = () => !Cause.isEmpty(fiber.getFiberRef(FiberRef.interruptedCause))
        const run = begin(world, turn, { since, isInterrupted })
        return Effect.onExit(restore(effect), (exit) => Effect.sync(() => end(world, run, exit)))
      })
    )
  )

/** Counts the death of the process for every open input that was running. @since 0.1.0 @category journal */
export const died = ({ journal, ledger, running }: World): void => {
  for (const runId of running) {
    for (const id of journal.runs.get(runId)?.inputs ?? []) {
      const input = journal.inputs.get(id)
      if (input !== undefined && !ledger.ended.has(id)) input.deaths++
    }
  }
}

// --- internal ---

/** Copies the hooks. They may be methods of a class, so they stay bound to the executor. */
const handlesOf = (inner: CoreExecutor): Omit<CoreExecutor, "apply"> => {
  const stop = inner.stop?.bind(inner)
  const hardCancel = inner.hardCancel?.bind(inner)
  const cancelAfterBoundary = inner.cancelAfterBoundary?.bind(inner)
  const { cleanupAfterStop } = inner
  return {
    ...(stop === undefined ? {} : { stop }),
    ...(hardCancel === undefined ? {} : { hardCancel }),
    ...(cancelAfterBoundary === undefined ? {} : { cancelAfterBoundary }),
    ...(cleanupAfterStop === undefined ? {} : { cleanupAfterStop })
  }
}

const begin = (
  world: World,
  turn: Pick<Turn, "runId" | "sessionId" | "inputs" | "completions">,
  fiber: Pick<Applied, "since" | "isInterrupted">
): Applied => {
  const { journal, running } = world
  const run: Applied = {
    runId: turn.runId,
    sessionId: turn.sessionId,
    life: journal.life,
    inputs: turn.inputs.map(({ header }) => header.id),
    completions: turn.completions,
    ...fiber,
    ended: false,
    stubborn: false
  }
  note(journal, `${turn.sessionId} runs ${turn.runId}`)
  count(journal, "run", "begun")
  if (journal.runs.has(turn.runId)) violate(journal, "5 single flight", `${turn.runId} began twice`)
  for (const other of running) beside(world, run, journal.runs.get(other))
  for (const id of run.inputs) {
    mayRun(world, run, id)
    isStaged(world, run, id)
    notAgain(world, run, id)
  }
  for (const other of running) apart(world, run, journal.runs.get(other))
  journal.runs.set(turn.runId, run)
  running.add(turn.runId)
  return run
}

/** Rule 5: one run per session. A fenced run that ignores its interruption may overlap its successor (D7). */
const beside = ({ config, journal }: World, run: Applied, other: Applied | undefined): void => {
  if (other === undefined || other.sessionId !== run.sessionId) return
  // the machine waits that long for an interrupted run; a younger run must have ended before its successor began
  const patience = Duration.toMillis(config.teardownTimeout)
  if (other.isInterrupted() && run.since - other.since >= patience) other.stubborn = true
  if (other.stubborn) return
  violate(journal, "5 single flight", `${run.sessionId} runs ${run.runId} beside ${other.runId}`)
}

/** Rule 13: a suspect runs alone among the inputs of its process that were charged with a crash. */
const apart = (world: World, run: Applied, other: Applied | undefined): void => {
  if (other === undefined || other.isInterrupted() || other.stubborn) return
  const [one, two] = [chargesOf(world, run), chargesOf(world, other)]
  if ((one !== "alone" || two === "none") && (two !== "alone" || one === "none")) return
  violate(world.journal, "13 alone", `${run.runId} (${one}) runs beside ${other.runId} (${two})`)
}

/** Returns the clearance in the stored rows of a run; "none" if they are not staged for it or the session reloads. */
const chargesOf = ({ opened, peek, reloading }: World, run: Applied): Clearance => {
  const runtimeId = runtimeIdOf(run.sessionId)
  const incarnation = opened.get(runtimeId)?.incarnation
  if (incarnation !== undefined && reloading.has(incarnationOf(runtimeId, incarnation))) return "none"
  const rows = run.inputs.flatMap((id) => {
    const row = peek?.(runtimeId)?.open?.get(id)
    return row?.status.type === "staged" && row.status.runId === run.runId ? [row] : []
  })
  if (rows.some(({ status }) => status.type === "staged" && status.alone === true)) return "alone"
  return rows.some(({ crashed }) => crashed > 0) ? "shared" : "none"
}

/** Rules 13 and 28: an ended input does not run again, sessions stay isolated, and the limits of attempts hold. */
const mayRun = (world: World, run: Applied, id: Applied["inputs"][number]): void => {
  const { config, journal, ledger, peek } = world
  const say = (rule: string, detail: string) => violate(journal, rule, `${id} in ${run.runId}: ${detail}`)
  const end = ledger.ended.get(id)
  // the session does not know a durable commit before it is published: it ends the run then
  if (end !== undefined && !isCommitting(world, run) && !isFenced(world, run)) {
    say("no run after the end", `it had ended: ${end}`)
  }
  const input = journal.inputs.get(id)
  const row = peek?.(runtimeIdOf(run.sessionId))?.open?.get(id)
  if (input === undefined) return
  if (input.sessionId !== run.sessionId) say("isolation", `it belongs to ${input.sessionId}`)
  const driving = row !== undefined && !row.hold && row.kind !== "peer_response_progress"
  if (driving && input.deaths > Math.max(2, config.crashBudget)) {
    say("13 crash budget", `${input.deaths} processes died while it ran`)
  }
  if (driving && input.failures >= config.maxAttempts + 3) say("13 attempts", `it failed ${input.failures} times`)
}

/** Rule 31: an input does not run again after its result was submitted in this process, even if the store refuses. */
const notAgain = (
  { doubtful, handed, journal, troubled }: World,
  run: Applied,
  id: Applied["inputs"][number]
) => {
  const before = handed.get(id)
  if (before === undefined) return
  const { incarnation, runId } = before
  if (doubtful.has(incarnation) || troubled.has(incarnation)) return
  violate(journal, "31 kept results", `${id} runs again in ${run.runId} although ${runId} handed its result over`)
}

/** Whether another process opened the session: this process runs until its next commit is fenced. */
const isFenced = ({ opened, peek }: World, { sessionId }: Applied): boolean => {
  const stored = peek?.(runtimeIdOf(sessionId))?.head.incarnation
  return stored !== undefined && stored !== opened.get(runtimeIdOf(sessionId))?.incarnation
}

/** An input from the image is staged in the store before it runs: a death of the process is then charged to it (D11). */
const isStaged = (world: World, run: Applied, id: Applied["inputs"][number]): void => {
  const { journal, opened, peek } = world
  const runtimeId = runtimeIdOf(run.sessionId)
  const tables = peek?.(runtimeId)
  const mine = opened.get(runtimeId)
  const row = tables?.open?.get(id)
  if (row === undefined || mine === undefined || isFenced(world, run)) return
  if (row.admissionSeq >= mine.imageSeq) return
  if (row.status.type === "staged" && row.status.runId === run.runId) return
  violate(
    journal,
    "13 crash budget",
    `${id} came from the store and runs in ${run.runId}; stored is ${row.status.type}`
  )
}

/** Rule 26: after a stop no executor runs until a call starts the session again. Inline runs need no loop. */
const afterStop = ({ brought, journal, stopped }: World, { runId, sessionId }: Pick<Turn, "runId" | "sessionId">) => {
  const at = stopped.get(sessionId)
  if (at === undefined || brought.get(sessionId)?.begun !== at) return
  violate(journal, "26 stop", `${sessionId} runs ${runId} although it was stopped`)
}

/** Whether a commit is in flight, or the session looks up the outcome of its last commit. */
const isCommitting = ({ doubtful, inFlight, opened }: World, { sessionId }: Applied): boolean => {
  const runtimeId = runtimeIdOf(sessionId)
  const mine = incarnationOf(runtimeId, opened.get(runtimeId)?.incarnation ?? 0)
  return (inFlight.get(mine) ?? 0) > 0 || doubtful.has(mine)
}

const end = ({ journal, running }: World, run: Applied, exit: Exit.Exit<unknown, { readonly _tag: string }>): void => {
  run.ended = true
  running.delete(run.runId)
  const how = Exit.isSuccess(exit) ? "output" : failureOf(exit.cause)
  count(journal, "run", how)
  note(journal, `${run.runId} ended: ${how}`)
  if (how === "output" || how === "interrupted" || how === "TurnCancelled") return
  for (const id of run.inputs) {
    const input = journal.inputs.get(id)
    if (input !== undefined && run.inputs.length === 1) input.failures++
  }
}

const failureOf = (cause: Cause.Cause<{ readonly _tag: string }>): string => {
  const failure = Cause.failureOrCause(cause)
  return Either.isLeft(failure) ? failure.left._tag : Cause.isInterruptedOnly(cause) ? "interrupted" : "defect"
}
