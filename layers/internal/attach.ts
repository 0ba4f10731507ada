/** @since 0.1.0 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Scope from "effect/Scope"
import type { CoreExecutor } from "../../services/CoreExecutor.js"
import { CurrentSession } from "../../services/CoreExecutor.js"
import type { AttachOutcome } from "../../services/MeerkatMachine.js"
import type { MeerkatMachineOptions } from "../../services/MeerkatMachineConfig.js"
import type { LoopEnd, RuntimeLoop } from "../../services/RuntimeLoop.js"
import type { SessionOperations } from "../../services/SessionOperations.js"
import type { ControlFailed, RuntimeDriverError } from "../../src/domain/Errors.js"
import { Internal, NotReady, sessionGone } from "../../src/domain/Errors.js"
import type { RunId } from "../../src/domain/Ids.js"
import { visible } from "../../src/domain/RuntimeState.js"
import { abortAttach, beginAttach, detach, publishAttachment } from "../../src/kernel/commands/attach.js"
import { driverError } from "./driverError.js"
import type { Attachment, Entry } from "./entry.js"
import { logWarning } from "./rendering.js"
import type { Spawner } from "./spawn.js"

export interface AttachDeps {
  readonly loops: RuntimeLoop["Type"]
  readonly spawner: Spawner
  readonly config: MeerkatMachineOptions
  readonly operations: (entry: Entry) => SessionOperations
  /** fibers that did not end in time */
  readonly abandoned: { count: number }
}

/** Calls a user's hook: bounded, marked as running inside the session, its failure logged. */
export const callHook = (
  deps: Pick<AttachDeps, "config">,
  entry: Entry,
  name: string,
  hook: Effect.Effect<void, ControlFailed>
): Effect.Effect<void, ControlFailed> =>
  hook.pipe(
    Effect.disconnect,
    Effect.timeoutOption(deps.config.hookTimeout),
    Effect.flatMap((done) =>
      done._tag === "Some"
        ? Effect.void
        : Effect.logWarning(`hook ${name} did not end within ${Duration.format(deps.config.hookTimeout)}`)
    ),
    Effect.interruptible,
    Effect.provideService(CurrentSession, { sessionId: entry.sessionId, runId: null, role: "hook" })
  )

/** For hooks whose failure concerns nobody but the reader of the log. */
export const logged = (name: string) => (effect: Effect.Effect<void, ControlFailed>): Effect.Effect<void> =>
  Effect.catchAllCause(effect, (cause) => logWarning(`hook ${name} failed`, cause))

/** Who comes to a hook that was called already waits for the end of that call; its failure is the first caller's. */
const once = (
  attachment: Attachment,
  which: "stopped" | "cleaned",
  hook: Effect.Effect<void, ControlFailed>
): Effect.Effect<void, ControlFailed> =>
  Effect.suspend(() => {
    const called = attachment[which]
    if (called !== null) return Deferred.await(called)
    const done = Deferred.unsafeMake<void>(FiberId.none)
    attachment[which] = done
    return Effect.ensuring(hook, Deferred.succeed(done, undefined))
  })

/** Waits for the hooks that others have called. */
export const hooksEnded = ({ cleaned, stopped }: Attachment): Effect.Effect<void> =>
  Effect.forEach([stopped, cleaned], (call) => call === null ? Effect.void : Deferred.await(call), { discard: true })

/** The stop hook, once per attachment. */
export const stopHook = (
  deps: Pick<AttachDeps, "config">,
  entry: Entry,
  attachment: Attachment,
  reason: string
): Effect.Effect<void, ControlFailed> =>
  Effect.suspend(() => {
    const { stop } = attachment.executor
    return once(
      attachment,
      "stopped",
      stop === undefined ? Effect.void : callHook(
        deps,
        entry,
        "stop",
        Effect.suspend(() => stop(reason))
      )
    )
  })

export const stopHookLogged = (
  deps: Pick<AttachDeps, "config">,
  entry: Entry,
  attachment: Attachment,
  reason: string
): Effect.Effect<void> => logged("stop")(stopHook(deps, entry, attachment, reason))

/** The cleanup hook, once per attachment, after the end is durable. */
export const cleanupHookLogged = (
  deps: Pick<AttachDeps, "config">,
  entry: Entry,
  attachment: Attachment
): Effect.Effect<void> => {
  const hook = attachment.executor.cleanupAfterStop
  return hook === undefined
    ? Effect.void
    : logged("cleanupAfterStop")(once(attachment, "cleaned", callHook(deps, entry, "cleanupAfterStop", hook)))
}

/** Carries the request of a run to yield to the executor's handle, if it has one. */
const yieldHook = (deps: AttachDeps, entry: Entry, attachment: Attachment, reason: string): void => {
  const runId = attachment.control?.current() ?? null
  const handle = attachment.executor.cancelAfterBoundary
  if (handle === undefined || runId === null) return
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
  deps: Pick<AttachDeps, "config" | "spawner">,
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

/** The loop is none any more for whoever comes now; its hook is called when its fiber ends. */
const giveBack = (entry: Entry, attachment: Attachment): void => {
  if (isSomebodyElses(entry, attachment)) return
  entry.attachment = null
  attachment.givenBack = true
}

/** What follows the end of a loop, for whatever reason it ended. */
const afterLoop = (deps: AttachDeps, entry: Entry, attachment: Attachment, end: LoopEnd | null) =>
  Effect.gen(function*() {
    if (!attachment.givenBack) {
      if (isSomebodyElses(entry, attachment)) return
      entry.attachment = null
      yield* Effect.ignore(entry.authority.submit(detach(attachment.token)))
    }
    yield* stopHookLogged(deps, entry, attachment, "runtime loop exited")
    if (end === null) {
      yield* entry.authority.settleAll({ _tag: "RuntimeTerminated", reason: "runtime loop exited" })
    }
    // Closed from a fiber of the session: the loop's own fiber belongs to the scope that ends here.
    deps.spawner.spawn(entry.scope, Scope.close(attachment.scope, Exit.void))
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
      control: (control) => {
        if (cell.attachment !== null) cell.attachment.control = control
      },
      released: () => cell.attachment?.takenOver === true,
      onDrained: () => {
        if (cell.attachment !== null) giveBack(entry, cell.attachment)
      },
      onYield: (reason) => {
        if (cell.attachment !== null) yieldHook(deps, entry, cell.attachment, reason)
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
          restore(Scope.extend(make, scope)),
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

const release = (entry: Entry, claim: Deferred.Deferred<void>): void => {
  entry.claim = null
  Deferred.unsafeDone(claim, Exit.void)
}

/** Attaches an executor to a live entry (D5, D6). Losers of a race wait; if the winner failed, one takes over. */
export const attach = <E>(
  deps: AttachDeps,
  entry: Entry,
  make: Effect.Effect<CoreExecutor, E, Scope.Scope>
): Effect.Effect<AttachOutcome, RuntimeDriverError | E> =>
  // between the claim and what gives it back no interruption may come
  Effect.uninterruptibleMask((restore) =>
    Effect.suspend((): Effect.Effect<AttachOutcome, RuntimeDriverError | E> => {
      if (entry.removed || entry.closing !== null) return Effect.fail(sessionGone(entry.sessionId))
      const { lifecycle } = entry.authority.unsafeState()
      if (lifecycle._tag === "Stopped") {
        return Effect.fail(
          new NotReady({ state: visible(lifecycle), detail: `session "${entry.sessionId}" is stopped` })
        )
      }
      if (entry.claim !== null) return restore(Effect.zipRight(Deferred.await(entry.claim), attach(deps, entry, make)))
      if (entry.attachment !== null) return Effect.succeed("alreadyAttached")
      const claim = Deferred.unsafeMake<void>(FiberId.none)
      entry.claim = claim
      return restore(attachClaimed(deps, entry, make)).pipe(
        Effect.as<AttachOutcome>("attached"),
        Effect.ensuring(Effect.sync(() => release(entry, claim)))
      )
    })
  )
