/**
 * Takes an entry down: unregistration, reload, and the close of the machine (D7).
 *
 * A teardown runs in a fiber of the machine, so an interruption of its callers does not stop it. Its steps, in this order:
 * refuse new work, wait for a claim, end the loop, the guest, the drain, changes of the model and operations, commit,
 * answer every waiter, call the stop hook, close the scopes, remove the entry.
 *
 * Callers: the registration surface, the registry (reload), `acquireFor`, the finalizer of the machine.
 *
 * Invariants:
 * - The first teardown decides the report; callers that come later get the same one.
 * - Every waiter is answered before a scope closes, because code of users may hold a scope for ever.
 * - After a step that fails the entry stays registered, without a loop, and the next teardown repeats from the first step.
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
import type { Entry } from "./entry.js"
import type { Attachment, Closed } from "./entryState.js"
import { endGuest, guestRunOf } from "./guest.js"
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
import * as Transitions from "./transitions.js"

export interface TeardownDeps extends HookDeps {
  readonly home: Scope.Scope
  readonly registry: () => Registry
  /** fibers that did not end in time */
  readonly abandoned: { count: number }
}

/**
 * `reload` drops an entry that must be registered again; it makes no closing commit, which could not succeed (D21). `last` is
 * an unregistration that no caller repeats: the machine closes, or a failed call undoes its registration. A closing commit that
 * fails then is left to recovery.
 */
export type Mode = "unregister" | "reload" | "last"

const unregistered = "runtime session unregistered"

/** Step 2 and 3 for the loop: wait for the run, then end it. */
const releaseLoop = (deps: TeardownDeps, attachment: Attachment): Effect.Effect<boolean> =>
  Effect.suspend(() => {
    const { control } = attachment.phase.unsafeGet()
    const grace = Duration.toMillis(deps.config.unregisterGrace)
    const waited = control === null || grace === 0
      ? Effect.void
      : within(grace)(Effect.disconnect(control.idle))
    return Effect.zipRight(waited, endLoop(deps, attachment, "requeue"))
  })

/** The same for a run of a caller. The closing commit ends a turn that has no known guest. */
const releaseGuest = (deps: TeardownDeps, entry: Entry): Effect.Effect<boolean> =>
  Effect.suspend(() => {
    const grace = Duration.toMillis(deps.config.unregisterGrace)
    const waited = guestRunOf(entry) === null || grace === 0
      ? Effect.void
      : completesWithin(slotFreed(entry), grace)
    return Effect.zipRight(waited, endGuest(deps, entry, "requeue"))
  })

/** Completes when no run of a caller holds the run slot. */
const slotFreed = (entry: Entry): Effect.Effect<void> =>
  Effect.suspend(() => {
    const state = entry.authority.unsafeState()
    return guestRunOf(entry) === null
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
    // an executor whose claim began earlier is attached from here on, or never will be
    const claimEnded = yield* endClaim(deps, entry)
    const attachment = Transitions.remainingOf(entry.state.unsafeGet())
    const running = Ledger.staged(authority.unsafeState().ledger)
    const [loopEnded, guestEnded, drainEnded, changesEnded] = yield* Effect.all([
      attachment === null
        ? Effect.succeed<Ended>(Either.right(true))
        : unlessRefused(deps, entry, mode, releaseLoop(deps, attachment)),
      unlessRefused(deps, entry, mode, releaseGuest(deps, entry)),
      DrainCell.end(deps, entry, { _tag: "Exited", reason: "sessionShutdown" }),
      ModelCell.end(deps, entry)
    ], { concurrency: "unbounded" })
    for (const ended of [loopEnded, guestEnded]) {
      if (Either.isLeft(ended)) return yield* Effect.fail(notYet(entry.sessionId, ended.left))
    }
    const { ledger } = authority.unsafeState()
    const returned = running.filter(({ inputId }) => Ledger.get(ledger, inputId)?.status.type === "queued").length
    const operationsEnded = yield* endOperations(deps, entry)
    // a change of an operation that is decided after this would come after the closing commit
    entry.state.unsafeModify(Transitions.seal)
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
    // a fiber that holds the scopes is counted already; else a release of a resource holds them
    if (fibersEnded && !scopesClosed) yield* leftBehind(deps)
    yield* deps.registry().remove(entry)
    // wakes fibers that wait for a state which this entry will never reach
    yield* authority.nudge
    return {
      requeued: returned + closed.requeued,
      terminatedOperations: closed.terminatedOperations,
      forced: !(fibersEnded && scopesClosed),
      joined: true
    }
  })

/** Begins a teardown and returns its result; returns the earlier result when a teardown is in progress or complete. */
export const unregister = (deps: TeardownDeps, entry: Entry, mode: Mode): Closed => {
  const done = Deferred.unsafeMake<UnregisterReport, RuntimeDriverError>(FiberId.none)
  const result = entry.state.unsafeModify(Transitions.beginClose(done))
  if (result !== done) return result
  // the answer is part of the uninterruptible fiber: a machine that closes now still answers the callers
  const whole = Effect.flatMap(Effect.exit(steps(deps, entry, mode)), (exit) =>
    Effect.sync(() => {
      if (Exit.isFailure(exit)) entry.state.unsafeModify(Transitions.failClose)
      Deferred.unsafeDone(done, exit)
    }))
  const fiber = deps.spawner.spawn(deps.home, Effect.uninterruptible(whole))
  // in a closed machine the fiber ends before it begins
  fiber.addObserver((exit) => {
    if (Exit.isFailure(exit)) Deferred.unsafeDone(done, Exit.fail(machineClosed()))
  })
  return done
}
