/**
 * The sessions of a process, one slot per id.
 *
 * A slot is reserved synchronously; nothing slow runs under a lock. The registry owns which entry is the live one of an id;
 * the entry's own presence says whether it is open, closing or removed.
 *
 * Callers: the surfaces look entries up, `acquireFor` and the registration open them, the teardown removes them.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Metric from "effect/Metric"
import * as Scope from "effect/Scope"
import { CurrentSession } from "../../services/CoreExecutor.js"
import type { MachineAuthority } from "../../services/MachineAuthority.js"
import type { RuntimeDriverError } from "../../src/domain/Errors.js"
import { Destroyed, Internal, unknownSession } from "../../src/domain/Errors.js"
import { SessionId } from "../../src/domain/Ids.js"
import { invalid } from "./driverError.js"
import type { Entry } from "./entry.js"
import * as Entries from "./entry.js"
import * as Metrics from "./metrics.js"
import type { Spawner } from "./spawn.js"
import * as Stored from "./stored.js"
import * as Transitions from "./transitions.js"

interface Opening {
  readonly _tag: "Opening"
  readonly opened: Deferred.Deferred<Entry, RuntimeDriverError>
  readonly fiber: Fiber.RuntimeFiber<void>
  /** how many calls wait: those that began the opening, and those that joined it */
  readonly waiting: { beginners: number; joiners: number }
  /** the last waiting call left; a later call waits for the end of the opening and begins another one */
  abandoned: boolean
}

/** A session is being opened, or live. */
type Slot = Opening | { readonly _tag: "Live"; readonly entry: Entry }

/** The sessions of a process, one slot per id. A slot is reserved synchronously; nothing slow runs under a lock. */
export interface Registry {
  /** The live entry, in whatever presence. */
  readonly find: (sessionId: SessionId) => Entry | undefined
  /** The live entry, or the error of an unknown session (D2). */
  readonly lookup: (sessionId: SessionId) => Effect.Effect<Entry, RuntimeDriverError>
  /**
   * The live entry, opened if need be; `created` says whether this call began the opening. An interrupted call gets no
   * answer: `onBegun` gets the result of the opening, in the step in which the opening begins.
   */
  readonly acquire: (
    sessionId: SessionId,
    onBegun?: (opened: Deferred.Deferred<Entry, RuntimeDriverError>) => void
  ) => Effect.Effect<{ readonly entry: Entry; readonly created: boolean }, RuntimeDriverError>
  readonly remove: (entry: Entry) => Effect.Effect<void>
  readonly all: () => ReadonlyArray<Entry>
  /** The machine closes: later calls acquire nothing, and openings in progress are interrupted. Then `all` is final. */
  readonly close: Effect.Effect<void>
}

type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

export interface RegistryDeps {
  readonly authorities: MachineAuthority["Type"]
  readonly spawner: Spawner
  readonly home: Scope.Scope
  /** drops an entry that must be opened anew (D21) */
  readonly drop: (entry: Entry) => Effect.Effect<void>
  /** ends an unregistration whose closing commit failed (D7) */
  readonly finish: (entry: Entry) => Effect.Effect<void, RuntimeDriverError>
}

/** Only the opening itself can be interrupted: an opened session is returned, or closed. */
const openEntry = (
  deps: RegistryDeps,
  sessionId: SessionId,
  restore: Restore
): Effect.Effect<Entry, RuntimeDriverError> =>
  Effect.gen(function*() {
    const scope = yield* Scope.fork(deps.home, ExecutionStrategy.sequential)
    const opened = yield* Effect.exit(restore(Scope.extend(deps.authorities.open(sessionId), scope)))
    if (Exit.isFailure(opened)) {
      yield* Scope.close(scope, Exit.void)
      return yield* Effect.failCause(opened.cause)
    }
    return Entries.make(sessionId, opened.value, scope)
  })

/** The error of a call that a closing or closed machine can no longer serve. */
export const machineClosed = (): RuntimeDriverError =>
  new Internal({ detail: "the machine is closed", retryable: false })

const checkSessionId = Stored.check(SessionId)

/** Only strings are accepted as ids, not values with `toJSON`: the id itself is the key of everything. */
const nameOf = (given: SessionId): Either.Either<SessionId, string> =>
  Either.filterOrLeft(checkSessionId(given), (name) => name === given, () => "a name is a string")

/** The end of a session waits for the code that runs inside it, so that code must not wait for the end (D7). */
const notFromInside = <A, E>(sessionId: SessionId, wait: Effect.Effect<A, E>) =>
  Effect.flatMap(
    CurrentSession,
    (current): Effect.Effect<A, E | RuntimeDriverError> =>
      current?.sessionId !== sessionId ? wait : Effect.fail(
        invalid({
          _tag: "WouldDeadlock",
          detail: `session "${sessionId}" is coming to its end, which its own code cannot wait for`
        })
      )
  )

export const make = (deps: RegistryDeps): Registry => {
  const slots = new Map<SessionId, Slot>()
  let closed = false

  const reserve = (sessionId: SessionId): Opening => {
    const opened = Deferred.unsafeMake<Entry, RuntimeDriverError>(FiberId.none)
    const fiber = deps.spawner.spawn(deps.home, settle(sessionId, opened))
    const opening: Opening = { _tag: "Opening", opened, fiber, waiting: { beginners: 0, joiners: 0 }, abandoned: false }
    slots.set(sessionId, opening)
    // a machine whose layer is closed opens nothing: the fiber ends before it begins
    fiber.addObserver(() => {
      if (slots.get(sessionId) === opening) slots.delete(sessionId)
      Deferred.unsafeDone(opened, Exit.fail(machineClosed()))
    })
    return opening
  }
  /** Opens, and decides in the same step whether a call still waits for it. */
  const settle = (sessionId: SessionId, opened: Deferred.Deferred<Entry, RuntimeDriverError>) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(Effect.exit(openEntry(deps, sessionId, restore)), (exit) => {
        const slot = slots.get(sessionId)
        const wanted = slot?._tag === "Opening" && !slot.abandoned
        if (Exit.isSuccess(exit) && wanted) {
          if (slot.waiting.joiners > 0) exit.value.state.unsafeModify(Transitions.share)
          slots.set(sessionId, { _tag: "Live", entry: exit.value })
          // in the same step: a beginner that is interrupted now finds the entry, and takes it back
          Deferred.unsafeDone(opened, exit)
          return Metric.increment(Metrics.sessions)
        }
        slots.delete(sessionId)
        const unwanted = Exit.isSuccess(exit) ? Scope.close(exit.value.scope, Exit.void) : Effect.void
        return Effect.zipRight(unwanted, Deferred.done(opened, typed(exit)))
      })
    ).pipe(Effect.asVoid)

  const typed = (exit: Exit.Exit<Entry, RuntimeDriverError>): Exit.Exit<Entry, RuntimeDriverError> =>
    Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause)
      ? Exit.fail(new Internal({ detail: "the registration was interrupted", retryable: true }))
      : exit

  /**
   * Waits for an opening. The last waiting call interrupts the opening when it is interrupted itself (D3). The call is
   * counted in the step in which it finds the opening, in an uninterruptible region.
   */
  const wait = (restore: Restore, sessionId: SessionId, opening: Opening, who: keyof Opening["waiting"]) => {
    const { waiting } = opening
    waiting[who]++
    return Effect.onExit(restore(Deferred.await(opening.opened)), (exit) => {
      waiting[who]--
      const isWanted = waiting.beginners + waiting.joiners > 0
      if (!Exit.isInterrupted(exit) || isWanted || slots.get(sessionId) !== opening) return Effect.void
      opening.abandoned = true
      return Effect.asVoid(Fiber.interruptFork(opening.fiber))
    })
  }

  const acquire: Registry["acquire"] = (sessionId, onBegun = () => {}) => {
    const again = Effect.suspend(() => acquire(sessionId, onBegun))
    const againAfter = <E>(end: Effect.Effect<unknown, E>) => notFromInside(sessionId, Effect.zipRight(end, again))
    /** Looks and shares in one step: the call that registered the entry cannot take it away in between. */
    const live = (entry: Entry): ReturnType<Registry["acquire"]> => {
      const { presence } = entry.state.unsafeGet()
      if (presence._tag === "Closing" || presence._tag === "Removed") {
        return againAfter(Effect.exit(Deferred.await(presence.done)))
      }
      if (entry.authority.unsafeHealth()._tag === "ReloadRequired") return againAfter(deps.drop(entry))
      const { lifecycle, registration } = entry.authority.unsafeState()
      if (presence._tag === "CloseFailed" || registration._tag === "Draining") return againAfter(deps.finish(entry))
      if (lifecycle._tag === "Destroyed") return Effect.fail(new Destroyed({ sessionId }))
      entry.state.unsafeModify(Transitions.share)
      return Effect.succeed({ entry, created: false })
    }
    return Effect.uninterruptibleMask((restore) =>
      Effect.suspend(() => {
        if (closed) return Effect.fail(machineClosed())
        const slot = slots.get(sessionId) ?? null
        if (slot === null) {
          const named = nameOf(sessionId)
          if (Either.isLeft(named)) return Effect.fail(invalid({ _tag: "InvalidSessionId", detail: named.left }))
          const opening = reserve(sessionId)
          onBegun(opening.opened)
          return Effect.map(wait(restore, sessionId, opening, "beginners"), (entry) => ({ entry, created: true }))
        }
        if (slot._tag === "Live") return restore(live(slot.entry))
        return slot.abandoned
          ? restore(Effect.zipRight(Fiber.await(slot.fiber), again))
          : Effect.map(wait(restore, sessionId, slot, "joiners"), (entry) => ({ entry, created: false }))
      })
    )
  }

  const find = (sessionId: SessionId): Entry | undefined => {
    const slot = slots.get(sessionId)
    return slot?._tag === "Live" ? slot.entry : undefined
  }
  return {
    find,
    lookup: (sessionId) =>
      Effect.suspend(() => {
        const entry = find(sessionId)
        return entry === undefined ? Effect.fail(unknownSession(sessionId)) : Effect.succeed(entry)
      }),
    acquire,
    remove: (entry) =>
      Effect.suspend(() => {
        entry.state.unsafeModify(Transitions.remove)
        if (find(entry.sessionId) !== entry) return Effect.void
        slots.delete(entry.sessionId)
        return Metric.incrementBy(Metrics.sessions, -1)
      }),
    all: () => Array.from(slots.values()).flatMap((slot) => slot._tag === "Live" ? [slot.entry] : []),
    close: Effect.suspend(() => {
      closed = true
      return Fiber.interruptAll(
        Array.from(slots.values()).flatMap((slot) => slot._tag === "Opening" ? [slot.fiber] : [])
      )
    })
  }
}
