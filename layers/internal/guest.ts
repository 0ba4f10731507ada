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
import * as FiberId from "effect/FiberId"
import type { InterruptReason } from "../../services/RuntimeLoop.js"
import type { RuntimeDriverError } from "../../src/domain/Errors.js"
import { Destroyed, Internal, ResultNotCommitted, sessionGone, TurnCancelled } from "../../src/domain/Errors.js"
import type { RunId } from "../../src/domain/Ids.js"
import type { Running, RunOwner } from "../../src/domain/RuntimeState.js"
import { cancelServiceTurn } from "../../src/kernel/commands/service.js"
import { runOf } from "../../src/kernel/facts.js"
import { reloadRequired } from "./driverError.js"
import type { Entry, Guest } from "./entry.js"
import type { HookDeps } from "./hooks.js"
import { callHook, logged } from "./hooks.js"
import type { EndDeps } from "./joining.js"
import { leftBehind } from "./joining.js"
import type { Insistence } from "./runSettlement.js"
import { insistOrReload } from "./runSettlement.js"
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

/** What was asked before the work was known found nothing to end: it holds all the same. */
const catchUp = (entry: Entry, { interrupt, runId }: Guest): Effect.Effect<void> =>
  Effect.suspend(() => {
    const state = entry.authority.unsafeState()
    if (state.lifecycle._tag === "Destroyed") return interrupt("destroyed")
    if (isLeaving(entry)) return interrupt("requeue")
    const cancelled = (runOf(state, runId)?.cancel ?? null) !== null
    return cancelled ? interrupt("cancelled") : Effect.void
  })

/** Makes the work known to whoever may have to end it, until the session was told how it ended. */
export const hosted = <A, E>(
  entry: Entry,
  runId: RunId,
  interrupt: Guest["interrupt"],
  body: Effect.Effect<A, E>
): Effect.Effect<A, E> =>
  Effect.suspend(() => {
    const guest: Guest = { runId, interrupt, settled: Deferred.unsafeMake(FiberId.none) }
    entry.guest = guest
    return Effect.ensuring(
      Effect.zipRight(catchUp(entry, guest), body),
      Effect.sync(() => {
        if (entry.guest === guest) entry.guest = null
        Deferred.unsafeDone(guest.settled, Exit.void)
      })
    )
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

/** How the end of a guest's run, or of a loop, is submitted: its pauses end when the session is on its way out, with one last try. */
export const insistence = (
  { config }: Pick<HookDeps, "config">,
  entry: Entry,
  onReload: Insistence["onReload"] = () => []
): Insistence => {
  const { authority } = entry
  const released: Effect.Effect<void> = Effect.suspend(() => {
    const state = authority.unsafeState()
    return state.registration._tag === "Draining" || entry.removed
      ? Effect.void
      : Effect.zipRight(authority.changedFrom(state), released)
  })
  return { authority, config, released, onReload }
}

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
      ? Effect.ignore(insistOrReload(insistence(deps, entry), cancelServiceTurn({ runId, reason })))
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
