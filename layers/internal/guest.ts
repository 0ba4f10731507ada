/**
 * Runs that a caller executes in its own fiber: a service turn, or an inline run. The entry knows such a run as its guest, and
 * whatever ends the session or cancels the run finds it there.
 *
 * Callers: `serviceTurn` and `inlineRun` host their work here; cancel, stop, destroy and teardown end it.
 *
 * @since 0.1.0
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import type { InterruptReason } from "../../services/RuntimeLoop.js"
import type { RuntimeDriverError } from "../../src/domain/Errors.js"
import { Destroyed, Internal, ResultNotCommitted, sessionGone, TurnCancelled } from "../../src/domain/Errors.js"
import type { RunId } from "../../src/domain/Ids.js"
import type { Running, RunOwner } from "../../src/domain/RuntimeState.js"
import { runOf } from "../../src/kernel/facts.js"
import { reloadRequired } from "./driverError.js"
import type { Entry } from "./entry.js"
import type { Guest } from "./entryState.js"
import type { HookDeps } from "./hooks.js"
import { callHook, logged } from "./hooks.js"
import type { Insistence } from "./insist.js"
import type { EndDeps } from "./joining.js"
import { leftBehind } from "./joining.js"
import { isLeaving, mayBegin } from "./mayBegin.js"
import type { Ending } from "./settle.js"
import { cancel, catchUp, serviceTurn, stagedRun } from "./settle.js"
import { completesWithin } from "./spawn.js"
import * as Transitions from "./transitions.js"

/** The run of a caller that holds the run slot; null while it is free or the loop's. */
export const guestRunOf = (entry: Entry): Running | null => {
  const { lifecycle } = entry.authority.unsafeState()
  return lifecycle._tag === "Running" && lifecycle.owner !== "loop" ? lifecycle : null
}

/** Whether the work of this run may begin: the run still holds its slot, and the session stays. */
export const mayWork = (entry: Entry, runId: RunId): boolean =>
  Either.isRight(mayBegin(entry, "run")) && runOf(entry.authority.unsafeState(), runId) !== undefined

/** The work of a run in a fiber of its caller. */
export interface CallerRun<End> extends Pick<Guest, "interrupt" | "runId"> {
  /** completes when the work has ended */
  readonly end: Effect.Effect<End>
}

type Restore = <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E>

/** Runs in a fiber of the session. `begun` completes with its end, or when the store makes it wait. */
export const inSession = <A, E>(
  deps: Pick<HookDeps, "spawner">,
  entry: Entry,
  effect: (onPause: () => void) => Effect.Effect<A, E>
): { readonly fiber: Fiber.RuntimeFiber<A, E>; readonly begun: Effect.Effect<void> } => {
  const cell = Deferred.unsafeMake<void>(FiberId.none)
  const begun = () => Deferred.unsafeDone(cell, Exit.void)
  const fiber = deps.spawner.spawn(entry.scope, Effect.uninterruptible(Effect.suspend(() => effect(begun))))
  fiber.addObserver(begun)
  return { fiber, begun: Deferred.await(cell) }
}

/**
 * Conducts a run whose work is in a fiber of its caller: registers it as the session's guest, waits for its end, and settles
 * it.
 *
 * The settlement has a fiber of the session. An interruption of the caller ends the work, and is the caller's answer once
 * the session was told; while the store makes the settlement wait the caller goes, and the result is stored without it.
 */
export const conduct = <End, A, E>(
  deps: Pick<HookDeps, "spawner">,
  entry: Entry,
  restore: Restore,
  run: CallerRun<End>,
  settle: (end: End, onPause: () => void) => Effect.Effect<A, E>
): Effect.Effect<A, E | RuntimeDriverError> =>
  Effect.suspend(() => {
    const guest: Guest = { runId: run.runId, interrupt: run.interrupt, settled: Deferred.unsafeMake(FiberId.none) }
    entry.state.unsafeModify(Transitions.enterGuest(guest))
    const leave = () => {
      entry.state.unsafeModify(Transitions.leaveGuest(guest))
      Deferred.unsafeDone(guest.settled, Exit.void)
    }
    return Effect.gen(function*() {
      yield* catchUp(entry.authority.unsafeState(), run.runId, isLeaving(entry), run.interrupt)
      const waited = yield* Effect.exit(restore(run.end))
      if (Exit.isFailure(waited)) yield* run.interrupt("requeue")
      const end = Exit.isSuccess(waited) ? waited.value : yield* run.end
      const { begun, fiber } = inSession(deps, entry, (onPause) => Effect.exit(settle(end, onPause)))
      fiber.addObserver(leave)
      yield* begun
      if (Exit.isFailure(waited)) return yield* Effect.failCause(waited.cause)
      const exit = yield* restore(Fiber.await(fiber))
      // without an answer the fiber ended with the session
      return yield* Exit.isSuccess(exit) ? exit.value : Effect.fail(sessionGone(entry.sessionId))
    })
  })

/** Interrupts the work and waits until the session knows its end, at most `teardownTimeout`. False when it was left behind. */
export const endGuest = (deps: EndDeps, entry: Entry, reason: InterruptReason): Effect.Effect<boolean> =>
  Effect.suspend(() => {
    const { guest } = entry.state.unsafeGet()
    if (guest === null) return Effect.succeed(true)
    const limit = Duration.toMillis(deps.config.teardownTimeout)
    return guest.interrupt(reason).pipe(
      Effect.zipRight(completesWithin(Deferred.await(guest.settled), limit)),
      Effect.tap((ended) => ended ? Effect.void : leftBehind(deps))
    )
  })

/** Completes when no caller's run holds the run slot, or when the session is leaving or must be reloaded. */
export const guestRunEnded = (entry: Entry): Effect.Effect<void> =>
  Effect.flatMap(entry.authority.health, (health) => {
    if (guestRunOf(entry) === null || isLeaving(entry) || health._tag === "ReloadRequired") return Effect.void
    return Effect.zipRight(entry.authority.changedFrom(entry.authority.unsafeState()), guestRunEnded(entry))
  })

/** Completes when the session is being unregistered, or must be reloaded. */
export const leaving = (entry: Entry): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { authority } = entry
    return isLeaving(entry) || authority.unsafeHealth()._tag === "ReloadRequired"
      ? Effect.void
      : Effect.zipRight(authority.changedFrom(authority.unsafeState()), leaving(entry))
  })

/** Retry policy for what the teardown of a session commits as well: its pauses end when the session is leaving. */
export const insistence = ({ config }: Pick<HookDeps, "config">, entry: Entry): Insistence => ({
  authority: entry.authority,
  config,
  released: leaving(entry),
  onReload: () => []
})

/** The end of a run that is a caller's, without its result. */
export const endingOf = (
  { config }: Pick<HookDeps, "config">,
  { authority }: Entry,
  { owner, runId }: Pick<Running, "owner" | "runId">
): Ending => ({
  authority,
  config,
  runId,
  endings: owner === "service" ? serviceTurn(runId) : stagedRun(runId)
})

/**
 * Cancels a run of a caller (D17). It calls the interrupt handle at once and ends the run after the grace, whatever the handle
 * does. The handle is that of the attached executor, else the installed one. A known guest is interrupted. A turn without a
 * known guest loses the run slot, and a later result of its owner is refused.
 */
export const escortGuest = (
  deps: HookDeps,
  entry: Entry,
  run: { readonly runId: RunId; readonly owner: RunOwner },
  reason: string
): void => {
  const { owner, runId } = run
  const state = entry.state.unsafeGet()
  const attachment = Transitions.attachmentOf(state)
  const handle = attachment === null ? state.interruptHandle : attachment.executor.hardCancel ?? null
  if (handle !== null) {
    const called = callHook(deps, entry, "hardCancel", Effect.suspend(() => handle({ runId, reason })))
    deps.spawner.spawn(entry.scope, logged("hardCancel")(called))
  }
  const known = () => {
    const { guest } = entry.state.unsafeGet()
    return guest?.runId === runId ? guest : null
  }
  const end = Effect.suspend(() => {
    const guest = known()
    if (guest !== null) return guest.interrupt("cancelled")
    return owner === "service"
      ? Effect.ignore(cancel(endingOf(deps, entry, run), reason))
      : Effect.void
  })
  const grace = handle === null && (owner === "inline" || known() !== null) ? Duration.zero : deps.config.cancelGrace
  deps.spawner.spawn(entry.scope, Effect.delay(end, grace))
}

/** The error of a call whose work was ended from outside. */
export const outsideError = (
  entry: Entry,
  reason: InterruptReason,
  cancelled: string
): Effect.Effect<never, RuntimeDriverError | TurnCancelled> =>
  Effect.flatMap(entry.authority.health, (health): Effect.Effect<never, RuntimeDriverError | TurnCancelled> => {
    const { sessionId } = entry
    if (entry.authority.unsafeState().lifecycle._tag === "Destroyed") return Effect.fail(new Destroyed({ sessionId }))
    if (reason === "cancelled") return Effect.fail(new TurnCancelled({ detail: cancelled }))
    return Effect.fail(
      health._tag === "ReloadRequired" ? reloadRequired(sessionId, health.reason) : sessionGone(sessionId)
    )
  })

/** The error of a run that succeeded and whose end could not be committed. It carries the run's value. */
export const notCommitted = (result: unknown, error: RuntimeDriverError): Internal =>
  new Internal({
    detail: `a run ended well, but its end could not be stored: ${error.message}`,
    cause: new ResultNotCommitted({ result, cause: error }),
    retryable: error._tag === "Internal" ? error.retryable : error._tag !== "Destroyed"
  })
