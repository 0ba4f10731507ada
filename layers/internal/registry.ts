/** @since 0.1.0 */
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
import type { MachineAuthority, SessionAuthority } from "../../services/MachineAuthority.js"
import type { RuntimeDriverError } from "../../src/domain/Errors.js"
import { Destroyed, Internal, unknownSession } from "../../src/domain/Errors.js"
import { SessionId } from "../../src/domain/Ids.js"
import * as DrainCell from "./drainCell.js"
import { invalid } from "./driverError.js"
import type { Entry } from "./entry.js"
import * as Metrics from "./metrics.js"
import type { Spawner } from "./spawn.js"
import * as Stored from "./stored.js"

interface Opening {
  readonly _tag: "Opening"
  readonly opened: Deferred.Deferred<Entry, RuntimeDriverError>
  readonly fiber: Fiber.RuntimeFiber<void>
  /** who waits: the call that began it, and others that came upon it */
  readonly waiting: { beginners: number; joiners: number }
  /** its last waiter left; whoever comes now waits for its end and starts afresh */
  abandoned: boolean
}

/** A session is being opened, or live: what opened it is let go of then. */
type Slot = Opening | { readonly _tag: "Live"; readonly entry: Entry }

/** The sessions of a process, one slot per id. A slot is reserved synchronously; nothing slow runs under a lock. */
export interface Registry {
  /** The live entry, whatever becomes of it. */
  readonly find: (sessionId: SessionId) => Entry | undefined
  /** The live entry, or the error of an unknown session (D2). */
  readonly lookup: (sessionId: SessionId) => Effect.Effect<Entry, RuntimeDriverError>
  /**
   * The live entry, opened if need be; `created` says whether this call began the opening. Who is interrupted does not
   * come to know; `onBegun` gets what the opening comes to, in the step in which it is begun.
   */
  readonly acquire: (
    sessionId: SessionId,
    onBegun?: (opened: Deferred.Deferred<Entry, RuntimeDriverError>) => void
  ) => Effect.Effect<{ readonly entry: Entry; readonly created: boolean }, RuntimeDriverError>
  readonly remove: (entry: Entry) => Effect.Effect<void>
  readonly all: () => ReadonlyArray<Entry>
  /** The machine goes: nothing is acquired any more, and what is being opened is let go of. Then `all` is final. */
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

/** Only the opening itself can be interrupted: what was opened comes back to who called, or is closed. */
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
    return entryOf(sessionId, opened.value, scope)
  })

/** What whoever still asks something of a machine that goes, or is gone, is told. */
export const machineClosed = (): RuntimeDriverError =>
  new Internal({ detail: "the machine is closed", retryable: false })

/** The entry of a session that was opened and in which nothing has happened yet. */
export const entryOf = (sessionId: SessionId, authority: SessionAuthority, scope: Scope.CloseableScope): Entry => ({
  sessionId,
  authority,
  scope,
  operations: new Map(),
  operationRegistry: null,
  drain: DrainCell.make(),
  model: null,
  attachment: null,
  left: null,
  ends: null,
  hooks: null,
  guest: null,
  endedTurn: null,
  interruptHandle: null,
  bindings: null,
  claim: null,
  tokens: 0,
  shared: false,
  closing: null,
  closed: false,
  removed: false
})

const checkSessionId = Stored.check(SessionId)

/** The name itself is the key of everything: what only says that it would be written as one is none. */
const nameOf = (given: SessionId): Either.Either<SessionId, string> =>
  Either.filterOrLeft(checkSessionId(given), (name) => name === given, () => "a name is a string")

/** The end of a session waits for what runs inside it, its hooks above all: they must not wait for it in their turn (D7). */
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
  /** Opens, and decides in the same step whether anybody still wants it. */
  const settle = (sessionId: SessionId, opened: Deferred.Deferred<Entry, RuntimeDriverError>) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(Effect.exit(openEntry(deps, sessionId, restore)), (exit) => {
        const slot = slots.get(sessionId)
        const wanted = slot?._tag === "Opening" && !slot.abandoned
        if (Exit.isSuccess(exit) && wanted) {
          exit.value.shared = slot.waiting.joiners > 0
          slots.set(sessionId, { _tag: "Live", entry: exit.value })
          // in the same step: whoever began it and is interrupted now finds it, and takes it back
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
   * The last waiter takes the opening with it (D3). Counted in the step in which the opening is found, and called where
   * nothing interrupts: who began it waits for it.
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
    /** In one step: who registered it may not take it away between the look and the claim. */
    const live = (entry: Entry): ReturnType<Registry["acquire"]> => {
      if (entry.closing !== null) return againAfter(Effect.exit(Deferred.await(entry.closing)))
      if (entry.authority.unsafeHealth()._tag === "ReloadRequired") return againAfter(deps.drop(entry))
      const { lifecycle, registration } = entry.authority.unsafeState()
      if (registration._tag === "Draining") return againAfter(deps.finish(entry))
      if (lifecycle._tag === "Destroyed") return Effect.fail(new Destroyed({ sessionId }))
      entry.shared = true
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
        entry.removed = true
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
