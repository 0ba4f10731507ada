/**
 * Runs that are not the loop's: a service turn, or an inline run. Their work is done in a fiber of a caller's, so the
 * session knows it only as a guest; whoever ends a run finds it here.
 *
 * @since 0.1.0
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
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
import type { Entry, Guest } from "./entry.js"
import type { HookDeps } from "./hooks.js"
import { callHook, logged } from "./hooks.js"
import type { Insistence } from "./insist.js"
import type { EndDeps } from "./joining.js"
import { leftBehind } from "./joining.js"
import type { Ending } from "./settle.js"
import { cancel, catchUp, serviceTurn, stagedRun } from "./settle.js"
import { completesWithin } from "./spawn.js"

/** The run of somebody else that holds the slot. */
export const strangerOf = (entry: Entry): Running | null => {
  const { lifecycle } = entry.authority.unsafeState()
  return lifecycle._tag === "Running" && lifecycle.owner !== "loop" ? lifecycle : null
}

/** Whether the session is being unregistered. */
export const isLeaving = (entry: Entry): boolean =>
  entry.closing !== null || entry.authority.unsafeState().registration._tag === "Draining"

/** Whether work of this run may begin: it still holds the slot, and the session stays. */
export const mayWork = (entry: Entry, runId: RunId): boolean =>
  !isLeaving(entry) && runOf(entry.authority.unsafeState(), runId) !== undefined

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
 * Conducts a run whose work is in a fiber of its caller: makes it known to whoever may have to end it, waits for its end,
 * and settles it.
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
    entry.guest = guest
    const leave = () => {
      if (entry.guest === guest) entry.guest = null
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

/** Interrupts the work and waits until its end was told, at most `teardownTimeout`; false when it was left behind. */
export const endGuest = (deps: EndDeps, entry: Entry, reason: InterruptReason): Effect.Effect<boolean> =>
  Effect.suspend(() => {
    const { guest } = entry
    if (guest === null) return Effect.succeed(true)
    const limit = Duration.toMillis(deps.config.teardownTimeout)
    return guest.interrupt(reason).pipe(
      Effect.zipRight(completesWithin(Deferred.await(guest.settled), limit)),
      Effect.tap((ended) => ended ? Effect.void : leftBehind(deps))
    )
  })

/** Completes when nobody but the loop has the run slot, or when that does not matter any more. */
export const strangerGone = (entry: Entry): Effect.Effect<void> =>
  Effect.flatMap(entry.authority.health, (health) => {
    if (strangerOf(entry) === null || isLeaving(entry) || health._tag === "ReloadRequired") return Effect.void
    return Effect.zipRight(entry.authority.changedFrom(entry.authority.unsafeState()), strangerGone(entry))
  })

/** Completes when the session is on its way out, or can only be opened anew. */
export const leaving = (entry: Entry): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { authority } = entry
    return isLeaving(entry) || authority.unsafeHealth()._tag === "ReloadRequired"
      ? Effect.void
      : Effect.zipRight(authority.changedFrom(authority.unsafeState()), leaving(entry))
  })

/** How something of a session is submitted that its teardown does as well: pauses end when the session is leaving. */
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
 * Carries a cancel to a run that is not the loop's (D17): the handle at once, the end after the grace, whatever became of
 * the handle. The handle is that of the attached executor, else the one that was installed. Work that the session knows
 * is interrupted; a turn whose owner it does not know loses the slot, and whatever its owner says later is refused.
 */
export const escortGuest = (
  deps: HookDeps,
  entry: Entry,
  run: { readonly runId: RunId; readonly owner: RunOwner },
  reason: string
): void => {
  const { owner, runId } = run
  const { attachment } = entry
  const handle = attachment === null ? entry.interruptHandle : attachment.executor.hardCancel ?? null
  if (handle !== null) {
    const called = callHook(deps, entry, "hardCancel", Effect.suspend(() => handle({ runId, reason })))
    deps.spawner.spawn(entry.scope, logged("hardCancel")(called))
  }
  const known = () => entry.guest?.runId === runId ? entry.guest : null
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

/** Why the work of a guest was ended from outside, as the error of its call. */
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

/** A run ended well and the session could not be told: its value goes with the error. */
export const notCommitted = (result: unknown, error: RuntimeDriverError): Internal =>
  new Internal({
    detail: `a run ended well, but its end could not be stored: ${error.message}`,
    cause: new ResultNotCommitted({ result, cause: error }),
    retryable: error._tag === "Internal" ? error.retryable : error._tag !== "Destroyed"
  })
