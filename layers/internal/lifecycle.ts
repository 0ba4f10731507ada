/** @since 0.1.0 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { CurrentSession } from "../../services/CoreExecutor.js"
import type { SubmitError } from "../../services/MachineAuthority.js"
import type { EndReport } from "../../services/MeerkatMachine.js"
import type { ControlFailed, RuntimeDriverError } from "../../src/domain/Errors.js"
import { Internal, sessionGone } from "../../src/domain/Errors.js"
import type { SessionId } from "../../src/domain/Ids.js"
import type { CommitError } from "../../src/domain/StoreErrors.js"
import { destroy as destroyCommand, reasons, stop as stopCommand } from "../../src/kernel/commands/lifecycle.js"
import { terminateOwner } from "../../src/kernel/operations.js"
import type { AttachDeps } from "./attach.js"
import { detached } from "./attach.js"
import * as DrainCell from "./drainCell.js"
import { driverError, invalid } from "./driverError.js"
import { endLoop, endOperations, seesToEnd } from "./endFibers.js"
import type { Attachment, Entry } from "./entry.js"
import { endGuest, insistence, isLeaving, leaving, strangerGone, strangerOf } from "./guest.js"
import { cleanupHookLogged, stopHook, stopHookLogged } from "./hooks.js"
import { insistOn, refusal } from "./insist.js"
import * as ModelCell from "./modelCell.js"
import * as OperationFibers from "./operations/fibers.js"
import { withOperations } from "./operations/inParts.js"
import { firstOf } from "./race.js"
import { pretty, textOf } from "./rendering.js"
import { endsWithin } from "./spawn.js"

/** Ends an attachment whose loop has ended: nobody of it acts any more. */
const closeAttachment = (deps: AttachDeps, entry: Entry, attachment: Attachment): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (entry.attachment === attachment) entry.attachment = null
    const fiber = deps.spawner.spawn(entry.scope, Effect.uninterruptible(Scope.close(attachment.scope, Exit.void)))
    return Effect.asVoid(endsWithin(fiber, Duration.toMillis(deps.config.teardownTimeout)))
  })

/** Whether who takes the session away, or has destroyed it, sees to the attachment from here on. */
const isTakenAway = (entry: Entry): boolean =>
  isLeaving(entry) || entry.authority.unsafeState().lifecycle._tag === "Destroyed"

/**
 * Gives the loop up after a failed stop: the session stays without a loop, its inputs stay queued (D25). A loop that still
 * holds the result of a run is not given up: it stays attached and goes on.
 */
const stopFailed = (deps: AttachDeps, entry: Entry, attachment: Attachment): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (isTakenAway(entry)) return Effect.void
    if (attachment.loop.unsafePoll() === null && entry.authority.kept().length > 0) {
      attachment.takenOver = false
      return entry.authority.nudge
    }
    return Effect.zipRight(
      detached(deps, entry, attachment, { waiters: "runtime loop exited" }),
      closeAttachment(deps, entry, attachment)
    )
  })

/** Whoever was second is told the same, whether it came before the end of the first stop or after it. */
const stoppedAlready = ({ authority, sessionId }: Entry) =>
  authority.unsafeState().lifecycle._tag === "Stopped"
    ? invalid({ _tag: "Conflict", detail: `session "${sessionId}" is stopped already` })
    : null

/**
 * Retry policy of an end. A caller that hears the error gets it after one try, and does not wait for an outage; without
 * such a caller it is tried until the store takes it, or the session leaves.
 */
interface Effort {
  readonly isHeard: boolean
  readonly submit: <A>(submission: Effect.Effect<A, SubmitError>) => Effect.Effect<A, SubmitError>
}

/** Waits for the end of runs. Answers the refusal when a caller would wait for an outage: then nothing is stopped. */
const unlessRefused = ({ authority }: Entry, { isHeard }: Effort, wait: Effect.Effect<void>) =>
  isHeard ? firstOf(Effect.as(wait, null), refusal(authority, Duration.zero)) : Effect.as(wait, null)

const notYet = (sessionId: SessionId, error: CommitError): Internal =>
  new Internal({
    detail: `session "${sessionId}" is not stopped: the store refuses the end of its run ` +
      `(${error._tag}: ${error.message}); stop it again`,
    cause: error,
    retryable: true
  })

/** A run of somebody else ends as it would, like one of the loop; one that begins in between is waited for as well. */
const submitStop = (
  entry: Entry,
  effort: Effort
): Effect.Effect<{ readonly inputsAbandoned: number }, RuntimeDriverError> =>
  Effect.flatMap(
    unlessRefused(entry, effort, strangerGone(entry)),
    (refused) =>
      refused !== null ? Effect.fail(notYet(entry.sessionId, refused)) : Effect.catchAll(
        effort.submit(entry.authority.submit(stopCommand)),
        (error) =>
          error._tag === "Rejected" && strangerOf(entry) !== null && !isLeaving(entry)
            ? submitStop(entry, effort)
            : Effect.fail(stoppedAlready(entry) ?? driverError(entry.authority)(error))
      )
  )

/** Completes when the loop has ended, or when somebody comes who ends it in his own way. */
const loopEnded = (entry: Entry, { loop }: Attachment): Effect.Effect<void> =>
  firstOf(Effect.asVoid(Fiber.await(loop)), leaving(entry))

/**
 * Stops with a live loop (D25): the run in progress ends as it would, no further batch begins; the hook is called outside
 * the arrival queue; then `stopped` becomes durable, then visible; then the cleanup hook. Whatever it fails of, the loop is
 * given up: nobody else would, since it was taken over.
 */
const stopAttached = (deps: AttachDeps, entry: Entry, attachment: Attachment, reason: string, effort: Effort) =>
  Effect.gen(function*() {
    attachment.takenOver = true
    yield* entry.authority.nudge
    const gone = Effect.zipRight(loopEnded(entry, attachment), strangerGone(entry))
    const refused = yield* unlessRefused(entry, effort, gone)
    if (refused !== null) return yield* Effect.fail(notYet(entry.sessionId, refused))
    if (isLeaving(entry)) return yield* Effect.fail(sessionGone(entry.sessionId))
    yield* Effect.catchAllCause(
      stopHook(deps, entry, attachment, reason),
      (cause) => Effect.fail(hookFailed(entry, cause))
    )
    const report = yield* submitStop(entry, effort)
    yield* cleanupHookLogged(deps, entry, attachment)
    yield* closeAttachment(deps, entry, attachment)
    return report
  }).pipe(Effect.onError(() => stopFailed(deps, entry, attachment)))

/** Whatever a hook ends with: its failure, a defect, an interruption of its own. */
const hookFailed = (entry: Entry, cause: Cause.Cause<ControlFailed>): Internal => {
  const failure = Cause.failureOrCause(cause)
  const detail = Either.isLeft(failure) ? textOf(failure.left) : pretty(failure.right)
  return new Internal({
    detail: `the stop hook of session "${entry.sessionId}" failed: ${detail}`,
    cause: Either.isLeft(failure) ? failure.left : Cause.squash(failure.right),
    retryable: false
  })
}

const stopNow = (deps: AttachDeps, entry: Entry, reason: string) => (effort: Effort) =>
  Effect.suspend(() => {
    const { attachment } = entry
    return attachment === null
      ? submitStop(entry, effort)
      : stopAttached(deps, entry, attachment, reason, effort)
  })

/** The loop and what it started, after the end is durable; the hooks come last. */
const endDestroyed = (deps: AttachDeps, entry: Entry, attachment: Attachment | null): Effect.Effect<void> =>
  Effect.gen(function*() {
    for (const id of entry.operations.keys()) OperationFibers.release(entry, id)
    yield* DrainCell.end(deps, entry.drain, { _tag: "Exited", reason: "sessionShutdown" })
    yield* ModelCell.end(deps, entry.model)
    yield* endGuest(deps, entry, "destroyed")
    if (attachment !== null) yield* endLoop(deps, attachment, "destroyed")
    yield* endOperations(deps, entry)
    if (attachment === null) return
    yield* stopHookLogged(deps, entry, attachment, "runtime destroyed")
    yield* cleanupHookLogged(deps, entry, attachment)
    yield* closeAttachment(deps, entry, attachment)
  })

/**
 * Destroys (D25): durable first, then the loop is ended and joined, then the hooks. A failed commit interrupts nothing: the
 * loop is taken over in the moment in which the end is published, before it can see it, and by then it is certain.
 */
const destroyNow = (deps: AttachDeps, entry: Entry) => (effort: Effort) =>
  Effect.suspend(() => {
    const taken: { attachment: Attachment | null } = { attachment: null }
    const onSettled = () => {
      taken.attachment = entry.attachment
      if (entry.attachment !== null) entry.attachment.takenOver = true
    }
    const { authority } = entry
    return withOperations(authority, effort.submit(authority.submit(destroyCommand, { onSettled })), (atMost) =>
      effort.submit(authority.submit(terminateOwner(reasons.destroyed, { onlyProcessOwned: false, atMost })))).pipe(
        Effect.mapBoth({
          onFailure: driverError(authority),
          onSuccess: ({ report }) =>
            report
        }),
        Effect.tap(() =>
          endDestroyed(deps, entry, taken.attachment)
        )
      )
  })

type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

type Work = (effort: Effort) => Effect.Effect<{ readonly inputsAbandoned: number }, RuntimeDriverError>

/** An end that no caller hears of: tried until the store takes it; a failure goes to the log. */
const unheard = (deps: AttachDeps, entry: Entry, work: Work) =>
  Effect.tapError(
    work({ isHeard: false, submit: (submission) => insistOn(insistence(deps, entry), submission) }),
    (error) =>
      Effect.logWarning(
        `the end that session "${entry.sessionId}" began from inside failed: ${error._tag}: ${error.message}`
      )
  )

/**
 * Runs an end in a fiber of the machine, whatever becomes of its caller, or of the session's scope beneath it; a call from
 * inside the session only begins it, since it would wait for itself (D7).
 */
const begun = (
  deps: AttachDeps,
  entry: Entry,
  work: Work,
  restore: Restore
): Effect.Effect<EndReport, RuntimeDriverError> =>
  Effect.flatMap(CurrentSession, (current): Effect.Effect<EndReport, RuntimeDriverError> => {
    const inside = current !== null && current.sessionId === entry.sessionId
    const whole = inside ? unheard(deps, entry, work) : work({ isHeard: true, submit: (submission) => submission })
    const fiber = deps.spawner.spawn(deps.home, Effect.uninterruptible(whole))
    seesToEnd(entry, fiber)
    if (inside) return Effect.succeed({ inputsAbandoned: 0, joined: false })
    return Effect.flatMap(restore(Fiber.await(fiber)), (exit): Effect.Effect<EndReport, RuntimeDriverError> => {
      if (Exit.isSuccess(exit)) return Effect.succeed({ ...exit.value, joined: true })
      // the machine was closed beneath it: that is no interruption of the caller
      return Exit.isInterrupted(exit) ? Effect.fail(sessionGone(entry.sessionId)) : Effect.failCause(exit.cause)
    })
  })

/** Stops the session's executor; a session that is stopped already, or is about to be, refuses. */
export const stop = (deps: AttachDeps, entry: Entry, reason: string): Effect.Effect<EndReport, RuntimeDriverError> =>
  Effect.uninterruptibleMask((restore) => {
    const stopped = stoppedAlready(entry)
    if (stopped !== null) return Effect.fail(stopped)
    const { attachment } = entry
    if (attachment?.takenOver === true) {
      return Effect.fail(invalid({ _tag: "Conflict", detail: `session "${entry.sessionId}" is being ended already` }))
    }
    // in this very step: another stop may come before the fiber of this one begins
    if (attachment !== null) attachment.takenOver = true
    return begun(deps, entry, stopNow(deps, entry, reason), restore)
  })

export const destroy = (deps: AttachDeps, entry: Entry): Effect.Effect<EndReport, RuntimeDriverError> =>
  Effect.uninterruptibleMask((restore) => begun(deps, entry, destroyNow(deps, entry), restore))
