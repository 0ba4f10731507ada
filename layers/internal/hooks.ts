/**
 * Calls of an executor's handles. Each runs in a fiber of its own, bounded by `hookTimeout`. A teardown finds the calls that
 * are still in progress among the entry's hooks, and joins them.
 *
 * Invariant: the stop hook and the cleanup hook of an attachment are called at most once.
 *
 * @since 0.1.0
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { CurrentSession } from "../../services/CoreExecutor.js"
import type { MeerkatMachineOptions } from "../../services/MeerkatMachineConfig.js"
import type { ControlFailed } from "../../src/domain/Errors.js"
import type { Entry } from "./entry.js"
import { keep } from "./entry.js"
import type { Attachment } from "./entryState.js"
import { within } from "./race.js"
import { logWarning } from "./rendering.js"
import type { Spawner } from "./spawn.js"
import { beginHook } from "./transitions.js"

export interface HookDeps {
  readonly config: MeerkatMachineOptions
  readonly spawner: Spawner
  /** for fibers that run code of users: closing this scope waits for nothing */
  readonly foreign: Scope.Scope
}

/** Starts the call, marked as running inside the session. */
const start = (deps: HookDeps, entry: Entry, hook: Effect.Effect<void, ControlFailed>) => {
  const { sessionId } = entry
  const fiber = deps.spawner.spawn(
    deps.foreign,
    Effect.provideService(hook, CurrentSession, { sessionId, runId: null, role: "hook" })
  )
  return keep(entry, "hooks", fiber)
}

/** Calls a user's hook and waits for it, at most `hookTimeout`. A late hook, or one whose caller is interrupted, is interrupted. */
export const callHook = (
  deps: HookDeps,
  entry: Entry,
  name: string,
  hook: Effect.Effect<void, ControlFailed>
): Effect.Effect<void, ControlFailed> =>
  Effect.suspend(() => {
    const fiber = start(deps, entry, hook)
    const limit = deps.config.hookTimeout
    const late = Effect.zipRight(
      Fiber.interruptFork(fiber),
      Effect.logWarning(`hook ${name} did not end within ${Duration.format(limit)}`)
    )
    return Fiber.await(fiber).pipe(
      within(limit),
      Effect.interruptible,
      Effect.onInterrupt(() => Fiber.interruptFork(fiber)),
      Effect.flatMap(Option.match({ onNone: () => late, onSome: (exit) => exit }))
    )
  })

/** For hooks whose failure only the log reports. */
export const logged = (name: string) => (effect: Effect.Effect<void, ControlFailed>): Effect.Effect<void> =>
  Effect.catchAllCause(effect, (cause) => logWarning(`hook ${name} failed`, cause))

/** Runs a hook at most once. Later callers wait for the first call and never see its failure. */
const once = (
  attachment: Attachment,
  which: "stopped" | "cleaned",
  hook: Effect.Effect<void, ControlFailed>
): Effect.Effect<void, ControlFailed> =>
  Effect.suspend(() => {
    const done = Deferred.unsafeMake<void>(FiberId.none)
    const earlier = attachment.phase.unsafeModify(beginHook(which, done))
    if (earlier !== null) return Deferred.await(earlier)
    return Effect.ensuring(hook, Deferred.succeed(done, undefined))
  })

/** The stop hook, once per attachment. */
export const stopHook = (
  deps: HookDeps,
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
  deps: HookDeps,
  entry: Entry,
  attachment: Attachment,
  reason: string
): Effect.Effect<void> => logged("stop")(stopHook(deps, entry, attachment, reason))

/** The cleanup hook, once per attachment, after the end is durable. */
export const cleanupHookLogged = (
  deps: HookDeps,
  entry: Entry,
  attachment: Attachment
): Effect.Effect<void> => {
  const hook = attachment.executor.cleanupAfterStop
  return hook === undefined
    ? Effect.void
    : logged("cleanupAfterStop")(once(attachment, "cleaned", callHook(deps, entry, "cleanupAfterStop", hook)))
}
