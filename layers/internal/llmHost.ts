/** @since 0.1.0 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { CurrentSession } from "../../services/CoreExecutor.js"
import type { SessionLlmReconfigureHostService } from "../../services/SessionLlmReconfigureHost.js"
import type { RuntimeDriverError } from "../../src/domain/Errors.js"
import { Internal } from "../../src/domain/Errors.js"
import type { SessionId } from "../../src/domain/Ids.js"
import { leftBehind } from "./joining.js"
import type { MachineParts } from "./machineParts.js"
import { endsWithin, interruptWithin } from "./spawn.js"

/** Why a call of the host gave nothing. */
export interface HostFailure {
  readonly error: RuntimeDriverError
  /** false when the host says itself that it changed nothing; else nobody knows */
  readonly unknown: boolean
}

/** The host, on behalf of one change of one session. */
export interface Host {
  readonly call: <A>(
    name: string,
    of: (service: SessionLlmReconfigureHostService) => Effect.Effect<A, RuntimeDriverError>
  ) => Effect.Effect<A, HostFailure>
  /** a call did not even end when it was interrupted: it may act at any time */
  readonly isStuck: () => boolean
}

/**
 * Calls a host. Each call has a fiber of its own, which is bounded by `hookTimeout` and ended before anything else goes
 * on: calls never overlap, unless one of them ignores its interruption and is left behind after another `hookTimeout`.
 * In an uninterruptible region the fiber that waits may have been interrupted already; the calls notice nothing of it.
 */
export const hostOf = (
  parts: MachineParts,
  sessionId: SessionId,
  service: SessionLlmReconfigureHostService
): Host => {
  const limit = Duration.toMillis(parts.config.hookTimeout)
  let stuck = false
  /** In a fiber that no interruption has reached. */
  const apart = <A, E>(effect: Effect.Effect<A, E>) =>
    Effect.flatMap(Fiber.await(parts.spawner.spawn(parts.foreign, effect)), (exit) => exit)
  const end = <A>(fiber: Fiber.RuntimeFiber<A, RuntimeDriverError>): Effect.Effect<void> =>
    Effect.flatMap(apart(interruptWithin(fiber, limit)), (ended) => {
      stuck = stuck || !ended
      return ended ? Effect.void : leftBehind(parts.attachments)
    })
  const timedOut = (name: string): HostFailure => ({
    error: new Internal({
      detail: `the model host did not end ${name} within ${Duration.format(parts.config.hookTimeout)}`,
      retryable: false
    }),
    unknown: true
  })
  return {
    isStuck: () => stuck,
    call: (name, of) =>
      Effect.uninterruptibleMask((restore) => {
        const called = Effect.provideService(Effect.suspend(() => of(service)), CurrentSession, {
          sessionId,
          runId: null,
          role: "llmHost"
        })
        const fiber = parts.spawner.spawn(parts.foreign, called)
        return restore(apart(endsWithin(fiber, limit))).pipe(
          Effect.onInterrupt(() => end(fiber)),
          Effect.flatMap((ended) =>
            ended
              ? Effect.mapErrorCause(Effect.flatten(Fiber.await(fiber)), (cause) => Cause.fail(failureOf(name, cause)))
              : Effect.zipRight(end(fiber), Effect.fail(timedOut(name)))
          )
        )
      })
  }
}

const failureOf = (name: string, cause: Cause.Cause<RuntimeDriverError>): HostFailure => {
  const found = Cause.failureOrCause(cause)
  return found._tag === "Left" ? { error: found.left, unknown: false } : {
    error: new Internal({
      detail: `the model host died in ${name}`,
      cause: Cause.squash(found.right),
      retryable: false
    }),
    unknown: true
  }
}
