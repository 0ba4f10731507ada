/**
 * Attaches an executor to a live entry (D5, D6) and follows the end of its loop.
 *
 * The loop slot goes from free over claimed to attached (`transitions`). Only the claim's holder makes an executor; other
 * callers wait for the claim and try again. The claim is a plain deferred and never a lock: the executor's factory is code
 * of users, and must not run under a permit.
 *
 * Callers: the registration, `layerResuming`, cancel and stop.
 *
 * Invariants:
 * - The attachment is published durably before its loop runs.
 * - A loop that a stop, a destroy or a teardown has taken over is ended by that one alone.
 *
 * @since 0.1.0
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
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
import { Internal, sessionGone } from "../../src/domain/Errors.js"
import type { RunId } from "../../src/domain/Ids.js"
import type { RuntimeState } from "../../src/domain/RuntimeState.js"
import { abortAttach, beginAttach, detach, publishAttachment } from "../../src/kernel/commands/attach.js"
import { Cell } from "./cell.js"
import { driverError } from "./driverError.js"
import { seesToEnd } from "./endFibers.js"
import type { Entry } from "./entry.js"
import type { Attachment } from "./entryState.js"
import { insistence } from "./guest.js"
import type { HookDeps } from "./hooks.js"
import { callHook, logged, stopHookLogged } from "./hooks.js"
import { insistOrReload } from "./insist.js"
import { mayBegin } from "./mayBegin.js"
import * as Transitions from "./transitions.js"
import { visibleOf } from "./visibleState.js"

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

/** Calls the executor's handle for a run that is asked to yield, if it has one. */
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
 * Ends a run that was cancelled (D17). It calls the executor's interrupt handle at once, and interrupts the run's fiber after
 * the grace, whatever the handle does. Both run in fibers of the attachment, so no caller waits for code of users.
 */
export const escortCancel = (
  deps: HookDeps,
  entry: Entry,
  attachment: Attachment,
  runId: RunId,
  reason: string
): void => {
  const handle = attachment.executor.hardCancel
  const interrupt = Effect.suspend(() => {
    const { control } = attachment.phase.unsafeGet()
    return control !== null && control.current() === runId ? control.interrupt("cancelled") : Effect.void
  })
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

/** Releases the claim and wakes the callers that wait for it. */
const release = (entry: Entry, claim: Deferred.Deferred<void>): Effect.Effect<void> =>
  Effect.suspend(() => {
    entry.state.unsafeModify(Transitions.releaseClaim(claim))
    Deferred.unsafeDone(claim, Exit.void)
    return entry.authority.nudge
  })

/** A drained loop leaves its slot, unless a stop, destroy or teardown has taken it over. Its stop hook runs when the fiber ends. */
const giveBack = (entry: Entry, attachment: Attachment): void => {
  const { ending } = attachment.phase.unsafeGet()
  if (ending !== "none" || !entry.state.unsafeModify(Transitions.giveBack(attachment))) return
  attachment.phase.unsafeModify(Transitions.markGivenBack)
  seesToEnd(entry, attachment.loop)
}

/**
 * Commits the end of a loop. While the store says "not now" it is tried again, until the session leaves: then its teardown
 * does the same. When the store refuses it for good, the session must be registered again: else it would wait for a loop
 * that no fiber runs (D21).
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

/**
 * Commits the end of a loop that ended by itself. The slot stays claimed meanwhile, so a caller that attaches another
 * executor waits. Answers false when a stop, destroy or teardown ends the loop instead.
 */
const lost = (deps: AttachDeps, entry: Entry, attachment: Attachment): Effect.Effect<boolean> =>
  Effect.suspend(() => {
    const claim = Deferred.unsafeMake<void>(FiberId.none)
    const { ending } = attachment.phase.unsafeGet()
    if (ending !== "none" || !entry.state.unsafeModify(Transitions.loseLoop(attachment, claim))) {
      return Effect.succeed(false)
    }
    seesToEnd(entry, attachment.loop)
    return Effect.as(Effect.ensuring(detached(deps, entry, attachment), release(entry, claim)), true)
  })

/** Publishes the visible state of a session that lost its loop and must be reloaded: nothing else would publish it. */
const toldReloaded = (entry: Entry, from: RuntimeState): Effect.Effect<void> =>
  Effect.suspend(() => {
    const to = visibleOf(entry)
    return entry.authority.unsafeHealth()._tag === "Ready" || from === to
      ? Effect.void
      : entry.authority.publish({ _tag: "StateChanged", from, to })
  })

/** Follows the end of a loop, for whatever reason it ended. */
const afterLoop = (deps: AttachDeps, entry: Entry, attachment: Attachment, end: LoopEnd | null) =>
  Effect.gen(function*() {
    if (attachment.phase.unsafeGet().ending !== "givenBack") {
      const before = visibleOf(entry)
      if (!(yield* lost(deps, entry, attachment))) return
      yield* toldReloaded(entry, before)
    }
    yield* stopHookLogged(deps, entry, attachment, "runtime loop exited")
    if (end === null) {
      yield* entry.authority.settleAll({ _tag: "RuntimeTerminated", reason: "runtime loop exited" })
    }
    // a fiber of the session closes it: the loop's own fiber belongs to the scope that ends here
    deps.spawner.spawn(entry.scope, Effect.uninterruptible(Scope.close(attachment.scope, Exit.void)))
  })

/** Whether a stop or destroy has told the loop to begin no further batch. */
const isTakenOver = ({ phase }: Attachment): boolean => {
  const { ending } = phase.unsafeGet()
  return ending === "stop" || ending === "destroy"
}

/** Starts the loop's fiber behind a gate; `open` lets it run. */
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
        if (cell.attachment !== null) cell.attachment.phase.unsafeModify(Transitions.setControl(control))
      },
      released: () => cell.attachment !== null && isTakenOver(cell.attachment),
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
      phase: new Cell(Transitions.launched)
    }
    cell.attachment = attachment
    return { attachment, open: Effect.asVoid(gate.open) }
  })

const notMade = (entry: Entry, cause: unknown): Effect.Effect<never, Internal> =>
  Effect.fail(
    new Internal({ detail: `the executor of session "${entry.sessionId}" could not be made`, cause, retryable: false })
  )

/** Completes when this holds. It is evaluated again after each publication of a state. */
const until = (entry: Entry, holds: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() =>
    holds()
      ? Effect.void
      : Effect.zipRight(entry.authority.changedFrom(entry.authority.unsafeState()), until(entry, holds))
  )

/** Completes when this claim no longer holds the slot, or when nothing can be attached any more. */
const claimEnded = (entry: Entry, claim: Deferred.Deferred<void>): Effect.Effect<void> =>
  until(entry, () => {
    const { slot } = entry.state.unsafeGet()
    return slot._tag !== "Claimed" || slot.done !== claim || Either.isLeft(mayBegin(entry, "attach"))
  })

/** Whether a claim can no longer become an attachment: the session is being unregistered, has ended, or must be reloaded. */
const isVoid = (entry: Entry, token: number): boolean => {
  const { registration } = entry.authority.unsafeState()
  return registration._tag !== "Attaching" || registration.token !== token || Either.isLeft(mayBegin(entry, "attach"))
}

/**
 * Makes the executor while the claim holds, and interrupts the factory when it no longer does. The factory has a fiber of its
 * own, which is awaited in any case. Fibers that the factory forks belong to the caller's fiber.
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
            ? Effect.zipRight(
              Effect.suspend(() => mayBegin(entry, "attach")),
              Effect.fail(sessionGone(entry.sessionId))
            )
            : Fiber.join(making)),
      ({ making, unwatch }) =>
        Effect.zipRight(Effect.sync(unwatch), Fiber.interrupt(making))
    )
  )

/** Makes the attachment under the claim: build, publish, install, then let the loop run. */
const attachClaimed = <E>(
  deps: AttachDeps,
  entry: Entry,
  token: number,
  make: Effect.Effect<CoreExecutor, E, Scope.Scope>
): Effect.Effect<void, RuntimeDriverError | E> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
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
        return entry.state.unsafeModify(Transitions.install(launched.attachment))
          ? launched.open
          : yield* Effect.fail(sessionGone(entry.sessionId))
      })
      yield* yield* Effect.onError(attached, () => undo)
    })
  )

/**
 * Attaches an executor to a live entry (D5, D6). Answers `alreadyAttached` when a loop is attached. Of concurrent calls one
 * makes its executor; the others wait, and one of them takes over if the first fails.
 */
export const attach = <E>(
  deps: AttachDeps,
  entry: Entry,
  make: Effect.Effect<CoreExecutor, E, Scope.Scope>
): Effect.Effect<AttachOutcome, RuntimeDriverError | E> =>
  // no interruption may come between the claim and its release
  Effect.uninterruptibleMask((restore) =>
    Effect.suspend((): Effect.Effect<AttachOutcome, RuntimeDriverError | E> => {
      const allowed = mayBegin(entry, "attach")
      if (Either.isLeft(allowed)) return Effect.fail(allowed.left)
      const done = Deferred.unsafeMake<void>(FiberId.none)
      const claimed = entry.state.unsafeModify(Transitions.claim(done))
      switch (claimed._tag) {
        case "Claimed":
          return restore(attachClaimed(deps, entry, claimed.token, make)).pipe(
            Effect.as<AttachOutcome>("attached"),
            Effect.ensuring(release(entry, done))
          )
        case "Busy":
          return restore(Effect.zipRight(claimEnded(entry, claimed.done), attach(deps, entry, make)))
        case "Attached":
          return Effect.succeed("alreadyAttached")
        case "NotOpen":
          return Effect.fail(sessionGone(entry.sessionId))
      }
    })
  )
