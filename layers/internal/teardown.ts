/**
 * The end of a registration (D7): what is ended, in which order, and what the caller is told.
 *
 * Unregistration, reload and the end of the machine use it. It runs in a fiber of the machine, so that no caller cuts it
 * short. A step that fails leaves the entry registered; the next call repeats from the first step.
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
import * as Scope from "effect/Scope"
import type { UnregisterReport } from "../../services/MeerkatMachine.js"
import type { RuntimeDriverError } from "../../src/domain/Errors.js"
import { Internal } from "../../src/domain/Errors.js"
import type { SessionId } from "../../src/domain/Ids.js"
import type { CommitError } from "../../src/domain/StoreErrors.js"
import { beginUnregister, closeSession } from "../../src/kernel/commands/close.js"
import * as Ledger from "../../src/kernel/Ledger.js"
import { terminateOwner } from "../../src/kernel/operations.js"
import * as DrainCell from "./drainCell.js"
import { driverError } from "./driverError.js"
import { endClaim, endHooks, endLoop, endOperations, endsSeenTo } from "./endFibers.js"
import type { Attachment, Entry } from "./entry.js"
import { endGuest, strangerOf } from "./guest.js"
import type { HookDeps } from "./hooks.js"
import { stopHookLogged } from "./hooks.js"
import type { Insistence } from "./insist.js"
import { insist, patience, refusal } from "./insist.js"
import { leftBehind } from "./joining.js"
import * as ModelCell from "./modelCell.js"
import { withOperations } from "./operations/inParts.js"
import { firstOf, within } from "./race.js"
import type { Registry } from "./registry.js"
import { machineClosed } from "./registry.js"
import { completesWithin } from "./spawn.js"

export interface TeardownDeps extends HookDeps {
  readonly home: Scope.Scope
  readonly registry: () => Registry
  /** fibers that did not end in time */
  readonly abandoned: { count: number }
}

/**
 * `reload` drops an entry that lost its place: without a closing commit, which could not succeed (D21). `last` is an
 * unregistration that nobody repeats, since the machine is going, or since it is done for a call that failed of something
 * else: a closing commit that fails is left to recovery.
 */
export type Mode = "unregister" | "reload" | "last"

const unregistered = "runtime session unregistered"

/** Step 2 and 3 for the loop: wait for the run, then end it. */
const releaseLoop = (deps: TeardownDeps, attachment: Attachment): Effect.Effect<boolean> =>
  Effect.suspend(() => {
    const { control } = attachment
    const grace = Duration.toMillis(deps.config.unregisterGrace)
    const waited = control === null || grace === 0
      ? Effect.void
      : within(grace)(Effect.disconnect(control.idle))
    return Effect.zipRight(waited, endLoop(deps, attachment, "requeue"))
  })

/** The same for a run that is not the loop's. A turn whose owner nobody knows is ended by the closing commit. */
const releaseGuest = (deps: TeardownDeps, entry: Entry): Effect.Effect<boolean> =>
  Effect.suspend(() => {
    const grace = Duration.toMillis(deps.config.unregisterGrace)
    const waited = strangerOf(entry) === null || grace === 0
      ? Effect.void
      : completesWithin(slotFreed(entry), grace)
    return Effect.zipRight(waited, endGuest(deps, entry, "requeue"))
  })

/** Completes when no stranger has the run slot. */
const slotFreed = (entry: Entry): Effect.Effect<void> =>
  Effect.suspend(() => {
    const state = entry.authority.unsafeState()
    return strangerOf(entry) === null
      ? Effect.void
      : Effect.zipRight(entry.authority.changedFrom(state), slotFreed(entry))
  })

/** Whether a fiber of users' code ended in time; or why the end of its run is not stored. */
type Ended = Either.Either<boolean, CommitError>

/**
 * Waits for the owner of a run. A result that the store refuses as "not now" is tried at once, and for `patience`. Then an
 * unregistration fails, and its caller may repeat it: the owner goes on trying. One that is not repeated gives it up.
 */
const unlessRefused = (
  deps: TeardownDeps,
  { authority, sessionId }: Entry,
  mode: Mode,
  end: Effect.Effect<boolean>
): Effect.Effect<Ended> => {
  const refused = refusal(authority, patience(deps.config))
  const givenUp = Effect.flatMap(refused, (error) => {
    const runs = authority.kept().map(({ abandon, runId }) => {
      abandon()
      return runId
    })
    return Effect.logWarning(
      `session "${sessionId}" ends without the end of run ${runs.join(", ")}: ${error._tag}: ${error.message}`
    )
  })
  const told: Effect.Effect<Ended> = mode === "unregister"
    ? Effect.map(refused, Either.left)
    : Effect.forever(givenUp)
  return firstOf(Effect.map(end, (inTime): Ended => Either.right(inTime)), told)
}

/** Nothing is lost and nothing is over: the same call completes once the store takes the end of the run. */
const notYet = (sessionId: SessionId, error: CommitError): Internal =>
  new Internal({
    detail: `session "${sessionId}" cannot be unregistered yet: the store refuses the end of its run ` +
      `(${error._tag}: ${error.message}); unregister it again`,
    cause: error,
    retryable: true
  })

/** The closing commit; operations that it has no room for end before it. */
const closed = (config: TeardownDeps["config"], { authority }: Entry) => {
  const how: Insistence = { authority, config, released: Effect.sleep(patience(config)), onReload: () => [] }
  return Effect.map(
    withOperations(
      authority,
      insist(how, closeSession),
      (atMost) => insist(how, terminateOwner(unregistered, { onlyProcessOwned: true, atMost }))
    ),
    ({ before, report }) => ({ ...report, terminatedOperations: report.terminatedOperations + before })
  )
}

/**
 * Step 4. A closing commit that is refused as "not now" is tried for `patience`, since not every caller could repeat the
 * call: the end of a scope only logs what it hears. An outcome that stays unknown is left to the next opening.
 */
const closingCommit = (
  { config }: TeardownDeps,
  entry: Entry,
  mode: Mode
): Effect.Effect<Pick<UnregisterReport, "requeued" | "terminatedOperations">, RuntimeDriverError> =>
  mode === "reload" ? Effect.succeed(nothing) : closed(config, entry).pipe(
    Effect.catchIf(
      (error) => error._tag === "ReloadRequired" || error._tag === "Closed",
      () => Effect.succeed(nothing)
    ),
    Effect.catchAll((error) =>
      mode === "last"
        ? Effect.as(
          Effect.logWarning("a closing commit failed; recovery takes over", driverError(entry.authority)(error)),
          nothing
        )
        : Effect.fail(driverError(entry.authority)(error))
    )
  )

const nothing = { requeued: 0, terminatedOperations: 0 }

/**
 * Who waits or follows is told before the scopes close: code of users that does not end may hold them. Then the closing goes
 * on beside the machine, whose own end does not wait for it, and is not cut short: what an executor acquired is released,
 * however long that takes. Neither of the two scopes waits for the other, since each may be held for ever.
 */
const closeScopes = (deps: TeardownDeps, entry: Entry, attachment: Attachment | null) => {
  const limit = Duration.toMillis(deps.config.teardownTimeout)
  const close = (scope: Scope.CloseableScope) =>
    deps.spawner.spawn(deps.foreign, Effect.uninterruptible(Scope.close(scope, Exit.void)))
  const closed = Effect.suspend(() => {
    const scopes = attachment === null ? [entry.scope] : [attachment.scope, entry.scope]
    return Effect.forEach(scopes.map(close), (fiber) => Fiber.await(fiber), { discard: true })
  })
  return Effect.zipWith(
    completesWithin(entry.authority.shutdown, limit),
    completesWithin(closed, limit),
    (told, inTime) => told && inTime
  )
}

const steps = (deps: TeardownDeps, entry: Entry, mode: Mode): Effect.Effect<UnregisterReport, RuntimeDriverError> =>
  Effect.gen(function*() {
    const { authority } = entry
    if (mode !== "reload") yield* Effect.ignore(authority.submit(beginUnregister))
    // an executor that is being attached in this moment is there from here on, or it never will be
    const claimEnded = yield* endClaim(deps, entry)
    const attachment = entry.attachment ?? entry.left
    const running = Ledger.staged(authority.unsafeState().ledger)
    const [loopEnded, guestEnded, drainEnded, changesEnded] = yield* Effect.all([
      attachment === null
        ? Effect.succeed<Ended>(Either.right(true))
        : unlessRefused(deps, entry, mode, releaseLoop(deps, attachment)),
      unlessRefused(deps, entry, mode, releaseGuest(deps, entry)),
      DrainCell.end(deps, entry.drain, { _tag: "Exited", reason: "sessionShutdown" }),
      ModelCell.end(deps, entry.model)
    ], { concurrency: "unbounded" })
    for (const ended of [loopEnded, guestEnded]) {
      if (Either.isLeft(ended)) return yield* Effect.fail(notYet(entry.sessionId, ended.left))
    }
    const { ledger } = authority.unsafeState()
    const returned = running.filter(({ inputId }) => Ledger.get(ledger, inputId)?.status.type === "queued").length
    const operationsEnded = yield* endOperations(deps, entry)
    // what of its operations is decided from here on would come after the closing commit
    entry.closed = true
    const closed = yield* closingCommit(deps, entry, mode)
    yield* authority.settleAll({ _tag: "RuntimeTerminated", reason: unregistered })
    yield* authority.closeWatches(unregistered)
    if (attachment !== null) yield* stopHookLogged(deps, entry, attachment, unregistered)
    yield* endsSeenTo(entry)
    const hooksEnded = yield* endHooks(deps, entry)
    const ownersEnded = [loopEnded, guestEnded].every(Either.getOrElse(() => false))
    const fibersEnded = [ownersEnded, drainEnded, changesEnded, claimEnded, operationsEnded, hooksEnded]
      .every((ended) => ended)
    const scopesClosed = yield* closeScopes(deps, entry, attachment)
    // what holds the scopes is counted already, or it is the release of something
    if (fibersEnded && !scopesClosed) yield* leftBehind(deps)
    yield* deps.registry().remove(entry)
    // whoever waits for what this entry will not come to any more looks again
    yield* authority.nudge
    return {
      requeued: returned + closed.requeued,
      terminatedOperations: closed.terminatedOperations,
      forced: !(fibersEnded && scopesClosed),
      joined: true
    }
  })

/**
 * Takes an entry down (D7). It runs in a fiber of the machine, whatever becomes of its callers; all of them get the same
 * report. After a failed closing commit the entry stays, without a loop, and the next call repeats from there.
 */
export const unregister = (
  deps: TeardownDeps,
  entry: Entry,
  mode: Mode
): Deferred.Deferred<UnregisterReport, RuntimeDriverError> => {
  if (entry.closing !== null) return entry.closing
  const done = Deferred.unsafeMake<UnregisterReport, RuntimeDriverError>(FiberId.none)
  entry.closing = done
  // also the last word: a machine that closes in that moment must not leave the callers without an answer
  const whole = Effect.flatMap(Effect.exit(steps(deps, entry, mode)), (exit) =>
    Effect.sync(() => {
      if (Exit.isFailure(exit)) {
        entry.closing = null
        entry.closed = false
        entry.left ??= entry.attachment
        entry.attachment = null
      }
      Deferred.unsafeDone(done, exit)
    }))
  const fiber = deps.spawner.spawn(deps.home, Effect.uninterruptible(whole))
  // in a machine that is closed it ends before it begins
  fiber.addObserver((exit) => {
    if (Exit.isFailure(exit)) Deferred.unsafeDone(done, Exit.fail(machineClosed()))
  })
  return done
}
