/**
 * Turns of a service in a session's run slot (D26): begun, completed, failed or cancelled by their owner, or run as an effect.
 *
 * Callers: the bindings of a session.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type { TurnOutput } from "../../services/CoreExecutor.js"
import { CurrentSession } from "../../services/CoreExecutor.js"
import type { InterruptReason } from "../../services/RuntimeLoop.js"
import type { ServiceTurn, ServiceTurnOptions, ServiceTurnSnapshot } from "../../services/SessionBindings.js"
import type { Command, RunOutput } from "../../src/domain/Command.js"
import type { RuntimeDriverError, TurnCancelled } from "../../src/domain/Errors.js"
import { RunId } from "../../src/domain/Ids.js"
import type { Running } from "../../src/domain/RuntimeState.js"
import {
  beginServiceTurn,
  cancelServiceTurn,
  completeServiceTurn,
  failServiceTurn
} from "../../src/kernel/commands/service.js"
import { runOf } from "../../src/kernel/facts.js"
import type { OfRun } from "../../src/kernel/rows/run.js"
import { readFailure } from "./admission.js"
import { driverError, invalid, refusedError } from "./driverError.js"
import type { Entry } from "./entry.js"
import type { EndedTurn } from "./entryState.js"
import { conduct, endingOf, inSession, mayWork, notCommitted, outsideError } from "./guest.js"
import type { MachineParts } from "./machineParts.js"
import { submit, traced } from "./machineParts.js"
import { given, mayBegin } from "./mayBegin.js"
import { pretty } from "./rendering.js"
import { ofTurn } from "./runFailure.js"
import { toRunOutput } from "./runOutput.js"
import type { End, Settling } from "./settle.js"
import { giveBack, settle } from "./settle.js"
import * as Stored from "./stored.js"
import * as Transitions from "./transitions.js"

type Parts = Pick<MachineParts, "blobs" | "config" | "ids" | "spawner" | "store">

/** The service turn that holds the slot. */
const turnOf = ({ authority }: Entry): Running | null => {
  const { lifecycle } = authority.unsafeState()
  return lifecycle._tag === "Running" && lifecycle.owner === "service" ? lifecycle : null
}

const returnsTo: Record<Running["returnTo"], ServiceTurnSnapshot["returnsTo"]> = {
  Idle: "idle",
  Attached: "attached",
  Retired: "retired"
}

const snapshotOf = (run: Running): ServiceTurnSnapshot => ({
  runId: run.runId,
  startedAt: run.startedAt,
  returnsTo: returnsTo[run.returnTo],
  cancelRequested: run.cancel?.reason ?? null,
  yieldRequested: run.yieldRequest?.reason ?? null
})

/** Gives the run slot to a turn, unless a stop or destroy has taken the session's loop over. */
const open = (entry: Entry, runId: RunId) =>
  Effect.zipRight(Effect.suspend(() => mayBegin(entry, "turn")), submit(entry, beginServiceTurn({ runId })))

const checkRunId = Stored.check(RunId)

/** A turn of the owner's naming. An id names one run for good: what it committed could not be told apart otherwise. */
const openNamed = ({ store }: Parts, entry: Entry, named: RunId) =>
  Effect.gen(function*() {
    const runId = yield* given(entry, checkRunId, named, "the id of a run")
    const receipt = turnOf(entry)?.runId === runId
      ? Option.none()
      : yield* Effect.mapError(store.receipt(entry.authority.unsafeState().runtimeId, runId, 0), readFailure)
    if (Option.isSome(receipt) || entry.state.unsafeGet().endedTurn?.runId === runId) {
      return yield* Effect.fail(invalid({ _tag: "Conflict", detail: `run ${runId} has ended already` }))
    }
    yield* open(entry, runId)
    return runId
  })

/** Gives the slot back without a word of the owner's. */
const abandon = (parts: Parts, entry: Entry, runId: RunId, reason: string): Effect.Effect<void> =>
  Effect.suspend(() =>
    inSession(
      parts,
      entry,
      (onPause) => Effect.ignore(giveBack({ ...endingOf(parts, entry, { owner: "service", runId }), onPause }, reason))
    ).begun
  )

const interrupted = "its owner was interrupted"

/** A fresh turn; who is interrupted meanwhile knows nothing of it, so it is over. */
const openFresh = (
  parts: Parts,
  entry: Entry,
  restore: <B, F>(effect: Effect.Effect<B, F>) => Effect.Effect<B, F>
): Effect.Effect<RunId, RuntimeDriverError> =>
  Effect.flatMap(parts.ids.run, (runId) =>
    Effect.as(
      Effect.onInterrupt(restore(open(entry, runId)), () => abandon(parts, entry, runId, interrupted)),
      runId
    ))

const outputOf = (
  { blobs, config }: Parts,
  { authority }: Entry,
  given: TurnOutput
): Effect.Effect<RunOutput, RuntimeDriverError> =>
  Effect.mapBoth(
    toRunOutput(blobs, given, {
      base: authority.unsafeState().head,
      appends: [],
      agentApplied: 0,
      limit: config.maxCommitBytes
    }),
    { onFailure: refusedError, onSuccess: ({ made }) => made }
  )

/** A turn of `run` ends with its effect: an earlier end would free the slot while the effect still runs. */
const ownEnd = (entry: Entry, runId: RunId | undefined): RuntimeDriverError | null => {
  const { guest } = entry.state.unsafeGet()
  return guest !== null && guest.runId === (runId ?? turnOf(entry)?.runId)
    ? invalid({ _tag: "Conflict", detail: `turn ${guest.runId} ends with its effect; it can be cancelled` })
    : null
}

/** Commits the end that a turn's owner reports. A repeated report of the same end of the same turn succeeds. */
const end = (
  entry: Entry,
  how: EndedTurn["how"],
  command: Command<OfRun>,
  runId: RunId | undefined
): Effect.Effect<void, RuntimeDriverError> => {
  const told = () => {
    const { endedTurn } = entry.state.unsafeGet()
    return runId !== undefined && endedTurn?.runId === runId && endedTurn.how === how
  }
  const onSettled = (ended: OfRun) => entry.state.unsafeModify(Transitions.endTurn({ runId: ended.runId, how }))
  return Effect.suspend(() => {
    if (told()) return Effect.void
    const refused = ownEnd(entry, runId)
    if (refused !== null) return Effect.fail(refused)
    return Effect.catchAll(
      Effect.asVoid(entry.authority.submit(command, { onSettled })),
      // the commit of the first call may have been in progress when this call began
      (error) => error._tag === "Rejected" && told() ? Effect.void : Effect.fail(driverError(entry.authority)(error))
    )
  })
}

const complete = (parts: Parts, entry: Entry, output: TurnOutput | undefined, runId: RunId | undefined) =>
  Effect.flatMap(
    output === undefined ? Effect.succeedNone : Effect.asSome(outputOf(parts, entry, output)),
    (given) =>
      end(
        entry,
        "completed",
        completeServiceTurn({
          runId: runId ?? null,
          ...Option.match(given, { onNone: () => ({}), onSome: (made) => ({ output: made }) })
        }),
        runId
      )
  )

/** Completes with the reason of a cancel request; with none when the run has ended, or the session is gone or must be reloaded. */
const cancelRequested = (entry: Entry, runId: RunId): Effect.Effect<Option.Option<string>> =>
  Effect.flatMap(entry.authority.health, (health) => {
    const state = entry.authority.unsafeState()
    const run = runOf(state, runId)
    if (run === undefined || Transitions.isRemoved(entry.state.unsafeGet()) || health._tag === "ReloadRequired") {
      return Effect.succeedNone
    }
    return run.cancel === null
      ? Effect.zipRight(entry.authority.changedFrom(state), cancelRequested(entry, runId))
      : Effect.succeedSome(run.cancel.reason)
  })

/** The work of `run` on its way. */
interface Work<A, E> {
  readonly parts: Parts
  readonly entry: Entry
  readonly runId: RunId
  readonly fiber: Fiber.RuntimeFiber<A, E>
  readonly options: ServiceTurnOptions<A>
  /** why it was interrupted; null when nobody of us did */
  readonly ending: { reason: InterruptReason | null }
}

type Ended<A, E> = Effect.Effect<A, RuntimeDriverError | TurnCancelled | E>

/** What ends the turn; the output is made of the value here, so that a defect in it is the caller's. */
const wellOf = <A, E>({ entry, options: { output }, parts, runId }: Work<A, E>, value: A): End =>
  output === undefined
    ? { _tag: "Done", command: completeServiceTurn({ runId }) }
    : {
      _tag: "Output",
      output: output(value),
      context: {
        base: entry.authority.unsafeState().head,
        appends: [],
        agentApplied: 0,
        limit: parts.config.maxCommitBytes
      }
    }

const settleTurn = <A, E>(work: Work<A, E>, exit: Exit.Exit<A, E>, onPause: () => void): Ended<A, E> => {
  const { entry, parts, runId } = work
  const settling: Settling = {
    ...endingOf(parts, entry, { owner: "service", runId }),
    blobs: parts.blobs,
    records: [],
    ownResult: true,
    onPause
  }
  if (Exit.isSuccess(exit)) {
    const lost = (error: RuntimeDriverError) => Effect.fail(notCommitted(exit.value, error))
    return Effect.matchEffect(settle(settling, wellOf(work, exit.value)), {
      onFailure: (error) => lost(driverError(entry.authority)(error)),
      onSuccess: (settled) =>
        settled._tag === "Refused" ? lost(refusedError(settled.refusal)) : Effect.succeed(exit.value)
    })
  }
  const cancel = runOf(entry.authority.unsafeState(), runId)?.cancel ?? null
  const reason = cancel === null ? work.ending.reason : "cancelled"
  if (reason === null) {
    const detail = pretty(exit.cause)
    return Effect.zipRight(
      Effect.ignore(settle(settling, { _tag: "Failed", failure: ofTurn(detail) })),
      Effect.failCause(exit.cause)
    )
  }
  const why = cancel?.reason ?? interrupted
  return Effect.zipRight(
    Effect.ignore(settle(settling, { _tag: "Interrupted", reason, why })),
    outsideError(entry, reason, why)
  )
}

const worked = <A, E>(
  work: Work<A, E>,
  restore: <B, F>(effect: Effect.Effect<B, F>) => Effect.Effect<B, F>
): Ended<A, E> => {
  const { ending, entry, fiber, parts, runId } = work
  const interrupt = (why: InterruptReason) =>
    Effect.suspend(() => {
      ending.reason ??= why
      return Fiber.interruptFork(fiber)
    })
  const settled = (exit: Exit.Exit<A, E>, onPause: () => void) =>
    Effect.tapDefect(
      Effect.suspend(() => settleTurn(work, exit, onPause)),
      // only this call can give the slot back
      () => abandon(parts, entry, runId, "its end could not be told")
    )
  return Effect.zipLeft(
    conduct(parts, entry, restore, { runId, interrupt, end: Fiber.await(fiber) }, settled),
    // what the work left in its fiber's references is the caller's
    Fiber.inheritAll(fiber)
  )
}

const run = <A, E, R>(
  parts: Parts,
  entry: Entry,
  effect: Effect.Effect<A, E, R>,
  options: ServiceTurnOptions<A>
): Effect.Effect<A, RuntimeDriverError | TurnCancelled | E, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const runId = yield* openFresh(parts, entry, restore)
      const { sessionId } = entry
      const ending: Work<A, E>["ending"] = { reason: null }
      // made interruptible on purpose: whoever ends the turn from outside has to reach it
      const fiber = yield* Effect.fork(Effect.interruptible(
        Effect.suspend(() => {
          if (mayWork(entry, runId)) return effect
          ending.reason ??= "requeue"
          return Effect.interrupt
        }).pipe(
          Effect.provideService(CurrentSession, { sessionId, runId, role: "run" }),
          Effect.withSpan("MeerkatMachine.serviceTurn", { attributes: { sessionId, runId }, captureStackTrace: false })
        )
      ))
      return yield* worked({ parts, entry, runId, fiber, options, ending }, restore)
    })
  )

/** Ends the service turn that holds the slot; what it did is stored by its owner. */
export const commitTerminalReceipt = (entry: Entry): Effect.Effect<void, RuntimeDriverError> =>
  end(entry, "completed", completeServiceTurn({ runId: null }), undefined)

/** The turns of one incarnation. */
export const serviceTurn = (parts: Parts, entry: Entry): ServiceTurn => ({
  begin: (runId) =>
    traced(
      "beginServiceTurn",
      runId === undefined
        ? Effect.uninterruptibleMask((restore) => openFresh(parts, entry, restore))
        : openNamed(parts, entry, runId)
    ),
  complete: (output, runId) => traced("completeServiceTurn", complete(parts, entry, output, runId)),
  fail: (detail, runId) =>
    traced("failServiceTurn", end(entry, "failed", failServiceTurn({ runId: runId ?? null, detail }), runId)),
  cancel: (reason, runId) =>
    traced("cancelServiceTurn", end(entry, "cancelled", cancelServiceTurn({ runId: runId ?? null, reason }), runId)),
  snapshot: Effect.sync(() => Option.map(Option.fromNullable(turnOf(entry)), snapshotOf)),
  cancelRequested: (runId) => cancelRequested(entry, runId),
  run: (effect, options = {}) => run(parts, entry, effect, options)
})
