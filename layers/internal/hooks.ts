/**
 * The calls of an executor's handles. Each runs in a fiber of its own, bounded by `hookTimeout`; whoever takes the session
 * down finds those that are still going on, and joins them.
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
import type { Attachment, Entry } from "./entry.js"
import { keep } from "./joining.js"
import { within } from "./race.js"
import { logWarning } from "./rendering.js"
import type { Spawner } from "./spawn.js"

export interface HookDeps {
  readonly config: MeerkatMachineOptions
  readonly spawner: Spawner
  /** for fibers that run foreign code: nobody waits for this scope to close */
  readonly foreign: Scope.Scope
}

/** Starts the call, marked as running inside the session. */
const start = (deps: HookDeps, entry: Entry, hook: Effect.Effect<void, ControlFailed>) => {
  const { sessionId } = entry
  const fiber = deps.spawner.spawn(
    deps.foreign,
    Effect.provideService(hook, CurrentSession, { sessionId, runId: null, role: "hook" })
  )
  return keep(entry.hooks ??= new Set(), fiber)
}

/** Calls a user's hook and waits for it, at most `hookTimeout`; then, or when who waits is interrupted, so is the hook. */
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
