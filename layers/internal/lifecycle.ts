/**
 * Stop and destroy (D25).
 *
 * An end runs in a fiber of the machine, so neither its caller nor the session's scope cuts it short. It takes the attached
 * loop over (`transitions`), waits for or ends what runs, commits, and then calls the hooks.
 *
 * Callers: the lifecycle surface, a dismissed drain.
 *
 * Invariants:
 * - A stop is durable before the cleanup hook runs; a destroy is durable before anything is interrupted.
 * - A loop that was taken over is detached in every outcome.
 *
 * @since 0.1.0
 */
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
import { driverError } from "./driverError.js"
import { endLoop, endOperations, seesToEnd } from "./endFibers.js"
import type { Entry } from "./entry.js"
import type { Attachment } from "./entryState.js"
import { endGuest, guestRunEnded, guestRunOf, insistence, leaving } from "./guest.js"
import { cleanupHookLogged, stopHook, stopHookLogged } from "./hooks.js"
import { insistOn, refusal } from "./insist.js"
import { isLeaving, mayBegin, stoppedAlready } from "./mayBegin.js"
import * as ModelCell from "./modelCell.js"
import * as OperationFibers from "./operations/fibers.js"
import { withOperations } from "./operations/inParts.js"
import { firstOf } from "./race.js"
import { pretty, textOf } from "./rendering.js"
import { endsWithin } from "./spawn.js"
import * as Transitions from "./transitions.js"

/** Detaches an attachment whose loop has ended, and closes its scope. */
const closeAttachment = (deps: AttachDeps, entry: Entry, attachment: Attachment): Effect.Effect<void> =>
  Effect.suspend(() => {
    entry.state.unsafeModify(Transitions.detach(attachment))
    const fiber = deps.spawner.spawn(entry.scope, Effect.uninterruptible(Scope.close(attachment.scope, Exit.void)))
    return Effect.asVoid(endsWithin(fiber, Duration.toMillis(deps.config.teardownTimeout)))
  })

/** Whether a teardown or a destroy ends the attachment from here on. */
const isTakenAway = (entry: Entry): boolean =>
  isLeaving(entry) || entry.authority.unsafeState().lifecycle._tag === "Destroyed"

/**
 * Gives the loop up after a failed stop: the session continues without a loop, and its inputs stay queued (D25). A loop that
 * still holds the result of a run is not given up: it stays attached and continues.
 */
const stopFailed = (deps: AttachDeps, entry: Entry, attachment: Attachment): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (isTakenAway(entry)) return Effect.void
    if (attachment.loop.unsafePoll() === null && entry.authority.kept().length > 0) {
      attachment.phase.unsafeModify(Transitions.resumeLoop)
      return entry.authority.nudge
    }
    return Effect.zipRight(
      detached(deps, entry, attachment, { waiters: "runtime loop exited" }),
      closeAttachment(deps, entry, attachment)
    )
  })

/**
 * Retry policy of an end. A caller that receives the error gets it after one try, and does not wait for an outage; without
 * such a caller the end is tried until the store takes it, or the session leaves.
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

/** Commits the stop after every run of a caller has ended, also one that begins in between. */
const submitStop = (
  entry: Entry,
  effort: Effort
): Effect.Effect<{ readonly inputsAbandoned: number }, RuntimeDriverError> =>
  Effect.flatMap(
    unlessRefused(entry, effort, guestRunEnded(entry)),
    (refused) =>
      refused !== null ? Effect.fail(notYet(entry.sessionId, refused)) : Effect.catchAll(
        effort.submit(entry.authority.submit(stopCommand)),
        (error) =>
          error._tag === "Rejected" && guestRunOf(entry) !== null && !isLeaving(entry)
            ? submitStop(entry, effort)
            : Effect.fail(stoppedAlready(entry) ?? driverError(entry.authority)(error))
      )
  )

/** Completes when the loop has ended, or when a teardown or reload ends it instead. */
const loopEnded = (entry: Entry, { loop }: Attachment): Effect.Effect<void> =>
  firstOf(Effect.asVoid(Fiber.await(loop)), leaving(entry))

/**
 * Stops with a live loop (D25). The run in progress completes and no further batch begins. The stop hook runs outside the
 * arrival queue; then `stopped` becomes durable, then visible; then the cleanup hook runs. A stop that fails detaches the
 * loop, because it has taken the loop over.
 */
const stopAttached = (deps: AttachDeps, entry: Entry, attachment: Attachment, reason: string, effort: Effort) =>
  Effect.gen(function*() {
    attachment.phase.unsafeModify(Transitions.takeOver("stop"))
    yield* entry.authority.nudge
    const gone = Effect.zipRight(loopEnded(entry, attachment), guestRunEnded(entry))
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

/** The error of a stop whose hook failed, died, or was interrupted. */
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
    const attachment = Transitions.attachmentOf(entry.state.unsafeGet())
    return attachment === null
      ? submitStop(entry, effort)
      : stopAttached(deps, entry, attachment, reason, effort)
  })

/** Ends the loop and everything it started, after the destroy is durable. The hooks come last. */
const endDestroyed = (deps: AttachDeps, entry: Entry, attachment: Attachment | null): Effect.Effect<void> =>
  Effect.gen(function*() {
    OperationFibers.releaseAll(entry)
    yield* DrainCell.end(deps, entry, { _tag: "Exited", reason: "sessionShutdown" })
    yield* ModelCell.end(deps, entry)
    yield* endGuest(deps, entry, "destroyed")
    if (attachment !== null) yield* endLoop(deps, attachment, "destroyed")
    yield* endOperations(deps, entry)
    if (attachment === null) return
    yield* stopHookLogged(deps, entry, attachment, "runtime destroyed")
    yield* cleanupHookLogged(deps, entry, attachment)
    yield* closeAttachment(deps, entry, attachment)
  })

/**
 * Destroys (D25): commits, then ends and joins the loop, then calls the hooks. A failed commit interrupts nothing: the loop is
 * taken over in the step that publishes the end, before the loop can see it.
 */
const destroyNow = (deps: AttachDeps, entry: Entry) => (effort: Effort) =>
  Effect.suspend(() => {
    const taken: { attachment: Attachment | null } = { attachment: null }
    const onSettled = () => {
      taken.attachment = Transitions.attachmentOf(entry.state.unsafeGet())
      taken.attachment?.phase.unsafeModify(Transitions.takeOver("destroy"))
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

/** An end whose result no caller waits for: it is retried until the store takes it, and a final refusal is logged. */
const unheard = (deps: AttachDeps, entry: Entry, work: Work) =>
  Effect.tapError(
    work({ isHeard: false, submit: (submission) => insistOn(insistence(deps, entry), submission) }),
    (error) =>
      Effect.logWarning(
        `the end that session "${entry.sessionId}" began from inside failed: ${error._tag}: ${error.message}`
      )
  )

/**
 * Runs an end in a fiber of the machine. An interruption of the caller, or the close of the session's scope, does not stop it.
 * A call from inside the session only begins it, because it would wait for itself (D7).
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
      // the machine was closed meanwhile; the caller itself was not interrupted
      return Exit.isInterrupted(exit) ? Effect.fail(sessionGone(entry.sessionId)) : Effect.failCause(exit.cause)
    })
  })

/** Stops the session's executor. Fails `Conflict` when the session is stopped already, or is being ended. */
export const stop = (deps: AttachDeps, entry: Entry, reason: string): Effect.Effect<EndReport, RuntimeDriverError> =>
  Effect.uninterruptibleMask((restore) => {
    const allowed = mayBegin(entry, "stop")
    if (Either.isLeft(allowed)) return Effect.fail(allowed.left)
    // in this step: another stop may come before the fiber of this one begins
    Transitions.attachmentOf(entry.state.unsafeGet())?.phase.unsafeModify(Transitions.takeOver("stop"))
    return begun(deps, entry, stopNow(deps, entry, reason), restore)
  })

export const destroy = (deps: AttachDeps, entry: Entry): Effect.Effect<EndReport, RuntimeDriverError> =>
  Effect.uninterruptibleMask((restore) => begun(deps, entry, destroyNow(deps, entry), restore))
