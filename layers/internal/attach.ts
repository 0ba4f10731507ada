/** @since 0.1.0 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Scope from "effect/Scope"
import type { CoreExecutor } from "../../services/CoreExecutor.js"
import type { AttachOutcome } from "../../services/MeerkatMachine.js"
import type { Isolation, LoopEnd, RuntimeLoop } from "../../services/RuntimeLoop.js"
import type { SessionOperations } from "../../services/SessionOperations.js"
import type { RuntimeDriverError } from "../../src/domain/Errors.js"
import { Internal, NotReady, sessionGone } from "../../src/domain/Errors.js"
import type { RunId } from "../../src/domain/Ids.js"
import type { RuntimeState } from "../../src/domain/RuntimeState.js"
import { visible } from "../../src/domain/RuntimeState.js"
import { abortAttach, beginAttach, detach, publishAttachment } from "../../src/kernel/commands/attach.js"
import { driverError } from "./driverError.js"
import { seesToEnd } from "./endFibers.js"
import type { Attachment, Entry } from "./entry.js"
import { insistence } from "./guest.js"
import type { HookDeps } from "./hooks.js"
import { callHook, logged, stopHookLogged } from "./hooks.js"
import { insistOrReload } from "./insist.js"
import { unusable, visibleOf } from "./usable.js"

export interface AttachDeps extends HookDeps {
  readonly loops: RuntimeLoop["Type"]
  /** keeps inputs that may have killed a process apart, over all sessions */
  readonly isolation: Isolation
  /** of the machine: for what outlives the scope of a session that it ends */
  readonly home: Scope.Scope
  readonly operations: (entry: Entry) => SessionOperations
  /** fibers that did not end in time */
  readonly abandoned: { count: number }
}

/** Carries the request of a run to yield to the executor's handle, if it has one. */
const yieldHook = (deps: AttachDeps, entry: Entry, attachment: Attachment, runId: RunId, reason: string): void => {
  const handle = attachment.executor.cancelAfterBoundary
  if (handle === undefined) return
  deps.spawner.spawn(
    attachment.scope,
    logged("cancelAfterBoundary")(
      callHook(deps, entry, "cancelAfterBoundary", Effect.suspend(() => handle({ runId, reason })))
    )
  )
}

/**
 * Ends a run that was cancelled (D17): the executor's interrupt handle at once, the run's fiber after the grace, whatever
 * became of the handle. Both in fibers of the attachment, so that nobody waits for user code.
 */
export const escortCancel = (
  deps: HookDeps,
  entry: Entry,
  attachment: Attachment,
  runId: RunId,
  reason: string
): void => {
  const handle = attachment.executor.hardCancel
  const interrupt = Effect.suspend(() =>
    attachment.control !== null && attachment.control.current() === runId
      ? attachment.control.interrupt("cancelled")
      : Effect.void
  )
  if (handle === undefined) {
    deps.spawner.spawn(attachment.scope, interrupt)
    return
  }
  const called = logged("hardCancel")(
    callHook(deps, entry, "hardCancel", Effect.suspend(() => handle({ runId, reason })))
  )
  deps.spawner.spawn(attachment.scope, called)
  deps.spawner.spawn(attachment.scope, Effect.delay(interrupt, deps.config.cancelGrace))
}

/** Whether the end of the loop is seen to by whoever takes the session down or ends it. */
const isSomebodyElses = (entry: Entry, attachment: Attachment): boolean =>
  entry.attachment !== attachment || entry.closing !== null || attachment.takenOver

const take = (entry: Entry): Deferred.Deferred<void> => entry.claim = Deferred.unsafeMake<void>(FiberId.none)

/** Who waits for the claim looks again. */
const release = (entry: Entry, claim: Deferred.Deferred<void>): Effect.Effect<void> =>
  Effect.suspend(() => {
    entry.claim = null
    Deferred.unsafeDone(claim, Exit.void)
    return entry.authority.nudge
  })

/** The loop is none any more for whoever comes now; its hook is called when its fiber ends, and nobody cuts that off. */
const giveUp = (entry: Entry, attachment: Attachment): void => {
  entry.attachment = null
  seesToEnd(entry, attachment.loop)
}

const giveBack = (entry: Entry, attachment: Attachment): void => {
  if (isSomebodyElses(entry, attachment)) return
  giveUp(entry, attachment)
  attachment.givenBack = true
}

/**
 * Tells the session that its loop has ended. While the store says "not now" it is tried again, until the session leaves:
 * then its teardown does the same. A store that refuses for good makes the session be reloaded, since it would wait for
 * ever for a loop that is gone (D21).
 */
export const detached = (
  deps: Pick<AttachDeps, "config">,
  entry: Entry,
  attachment: Attachment,
  options?: Parameters<typeof detach>[1]
): Effect.Effect<void> =>
  Effect.ignore(
    insistOrReload(
      insistence(deps, entry),
      detach(attachment.token, options),
      "the end of a loop"
    )
  )

/** The same for a loop that ended by itself. Who would attach another one meanwhile waits until this one is gone. */
const lost = (deps: AttachDeps, entry: Entry, attachment: Attachment): Effect.Effect<void> =>
  Effect.suspend(() => {
    giveUp(entry, attachment)
    const claim = entry.claim === null ? take(entry) : null
    return Effect.ensuring(
      detached(deps, entry, attachment),
      claim === null ? Effect.void : release(entry, claim)
    )
  })

/** A session that waits for its reload has no loop from here on: its visible state says so, and an event. */
const toldReloaded = (entry: Entry, from: RuntimeState): Effect.Effect<void> =>
  Effect.suspend(() => {
    const to = visibleOf(entry)
    return entry.authority.unsafeHealth()._tag === "Ready" || from === to
      ? Effect.void
      : entry.authority.publish({ _tag: "StateChanged", from, to })
  })

/** What follows the end of a loop, for whatever reason it ended. */
const afterLoop = (deps: AttachDeps, entry: Entry, attachment: Attachment, end: LoopEnd | null) =>
  Effect.gen(function*() {
    if (!attachment.givenBack) {
      if (isSomebodyElses(entry, attachment)) return
      const before = visibleOf(entry)
      yield* lost(deps, entry, attachment)
      yield* toldReloaded(entry, before)
    }
    yield* stopHookLogged(deps, entry, attachment, "runtime loop exited")
    if (end === null) {
      yield* entry.authority.settleAll({ _tag: "RuntimeTerminated", reason: "runtime loop exited" })
    }
    // Closed from a fiber of the session: the loop's own fiber belongs to the scope that ends here.
    deps.spawner.spawn(entry.scope, Effect.uninterruptible(Scope.close(attachment.scope, Exit.void)))
  })

const launch = (
  deps: AttachDeps,
  entry: Entry,
  token: number,
  scope: Scope.CloseableScope,
  executor: CoreExecutor
): Effect.Effect<{ readonly attachment: Attachment; readonly open: Effect.Effect<void> }> =>
  Effect.gen(function*() {
    const gate = yield* Effect.makeLatch(false)
    const cell: { attachment: Attachment | null } = { attachment: null }
    const body = deps.loops.run({
      authority: entry.authority,
      executor,
      token,
      operations: deps.operations(entry),
      isolation: deps.isolation,
      control: (control) => {
        if (cell.attachment !== null) cell.attachment.control = control
      },
      released: () => cell.attachment?.takenOver === true,
      onDrained: () => {
        if (cell.attachment !== null) giveBack(entry, cell.attachment)
      },
      onYield: (runId, reason) => {
        if (cell.attachment !== null) yieldHook(deps, entry, cell.attachment, runId, reason)
      }
    })
    const loop = deps.spawner.spawn(
      scope,
      Effect.onExit(
        Effect.zipRight(gate.await, body),
        (exit) =>
          cell.attachment === null
            ? Effect.void
            : afterLoop(deps, entry, cell.attachment, Exit.isSuccess(exit) ? exit.value : null)
      )
    )
    const attachment: Attachment = {
      token,
      scope,
      executor,
      loop,
      control: null,
      stopped: null,
      cleaned: null,
      takenOver: false,
      givenBack: false
    }
    cell.attachment = attachment
    return { attachment, open: Effect.asVoid(gate.open) }
  })

const notMade = (entry: Entry, cause: unknown): Effect.Effect<never, Internal> =>
  Effect.fail(
    new Internal({ detail: `the executor of session "${entry.sessionId}" could not be made`, cause, retryable: false })
  )

/** Why nothing can be attached to the session; null as long as it can. */
const refusal = (entry: Entry): RuntimeDriverError | null => {
  const { lifecycle } = entry.authority.unsafeState()
  const over = unusable(entry)
  if (over !== null || lifecycle._tag !== "Stopped") return over
  return new NotReady({ state: visible(lifecycle), detail: `session "${entry.sessionId}" is stopped` })
}

/** Completes when this holds, which is looked at whenever another state is published. */
const until = (entry: Entry, holds: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() =>
    holds()
      ? Effect.void
      : Effect.zipRight(entry.authority.changedFrom(entry.authority.unsafeState()), until(entry, holds))
  )

/** Whether a claim ended before anything was attached: the session is being unregistered, was ended, must be opened anew. */
const isVoid = (entry: Entry, token: number): boolean => {
  const { registration } = entry.authority.unsafeState()
  return registration._tag !== "Attaching" || registration.token !== token || refusal(entry) !== null
}

/**
 * Makes the executor, as long as the claim holds. It has a fiber of its own to be ended by, and is waited for in any case;
 * what it forks belongs to the caller's fiber nevertheless, as if it had been made there.
 */
const whileClaimed = <A, E>(
  entry: Entry,
  token: number,
  make: Effect.Effect<A, E>
): Effect.Effect<A, RuntimeDriverError | E> =>
  Effect.transplant((graft) =>
    Effect.acquireUseRelease(
      Effect.map(Effect.fork(Effect.interruptible(graft(make))), (making) => {
        const look = () => {
          if (isVoid(entry, token)) making.unsafeInterruptAsFork(FiberId.none)
        }
        look()
        return { making, unwatch: entry.authority.onPublish(look) }
      }),
      ({ making }) =>
        Effect.flatMap(Fiber.await(making), (exit): Effect.Effect<A, RuntimeDriverError | E> =>
          Exit.isInterrupted(exit) && isVoid(entry, token)
            ? Effect.fail(refusal(entry) ?? sessionGone(entry.sessionId))
            : Fiber.join(making)),
      ({ making, unwatch }) => Effect.zipRight(Effect.sync(unwatch), Fiber.interrupt(making))
    )
  )

/** Makes the attachment while the claim is held: build, publish, then let the loop go. */
const attachClaimed = <E>(
  deps: AttachDeps,
  entry: Entry,
  make: Effect.Effect<CoreExecutor, E, Scope.Scope>
): Effect.Effect<void, RuntimeDriverError | E> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const token = ++entry.tokens
      const { authority } = entry
      const fail = driverError(authority)
      yield* Effect.mapError(authority.submit(beginAttach(token)), fail)
      const scope = yield* Scope.fork(entry.scope, ExecutionStrategy.sequential)
      const undo = Effect.zipRight(
        Effect.ignore(authority.submit(abortAttach(token))),
        Scope.close(scope, Exit.void)
      )
      const attached = Effect.gen(function*() {
        const executor = yield* Effect.catchAllDefect(
          restore(whileClaimed(entry, token, Scope.extend(make, scope))),
          (defect) => notMade(entry, defect)
        )
        const launched = yield* launch(deps, entry, token, scope, executor)
        yield* Effect.mapError(authority.submit(publishAttachment(token)), fail)
        return launched
      })
      const { attachment, open } = yield* Effect.onError(attached, () => undo)
      entry.attachment = attachment
      // from here on the executor's own handle counts
      entry.interruptHandle = null
      yield* open
    })
  )

/** Attaches an executor to a live entry (D5, D6). Losers of a race wait; if the winner failed, one takes over. */
export const attach = <E>(
  deps: AttachDeps,
  entry: Entry,
  make: Effect.Effect<CoreExecutor, E, Scope.Scope>
): Effect.Effect<AttachOutcome, RuntimeDriverError | E> =>
  // between the claim and what gives it back no interruption may come
  Effect.uninterruptibleMask((restore) =>
    Effect.suspend((): Effect.Effect<AttachOutcome, RuntimeDriverError | E> => {
      const refused = refusal(entry)
      if (refused !== null) return Effect.fail(refused)
      if (entry.claim !== null) {
        const { claim } = entry
        const free = until(entry, () => entry.claim !== claim || refusal(entry) !== null)
        return restore(Effect.zipRight(free, attach(deps, entry, make)))
      }
      if (entry.attachment !== null) return Effect.succeed("alreadyAttached")
      const claim = take(entry)
      return restore(attachClaimed(deps, entry, make)).pipe(
        Effect.as<AttachOutcome>("attached"),
        Effect.ensuring(release(entry, claim))
      )
    })
  )
