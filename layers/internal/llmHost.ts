/**
 * Calls of the model host, bounded and isolated. The reconfigure code makes them. Invariant: calls of one change never
 * overlap, unless a call ignores its interruption.
 *
 * @since 0.1.0
 */
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

/** Why a call of the host failed. */
export interface HostFailure {
  readonly error: RuntimeDriverError
  /** false if the host reports that it changed nothing; true if the effect of the call is unknown */
  readonly unknown: boolean
}

/** The host during one change of one session. */
export interface Host {
  readonly call: <A>(
    name: string,
    of: (service: SessionLlmReconfigureHostService) => Effect.Effect<A, RuntimeDriverError>
  ) => Effect.Effect<A, HostFailure>
  /** true if a call did not end after its interruption, so that it may still act */
  readonly isStuck: () => boolean
}

/**
 * Makes the calls of a host. Each call runs in its own fiber, bounded by `hookTimeout`, and ends before the next step
 * begins. A call that ignores its interruption is abandoned after another `hookTimeout`. In an uninterruptible region
 * the waiting fiber may already be interrupted; the calls do not notice.
 */
export const hostOf = (
  parts: MachineParts,
  sessionId: SessionId,
  service: SessionLlmReconfigureHostService
): Host => {
  const limit = Duration.toMillis(parts.config.hookTimeout)
  let stuck = false
  /** Runs an effect in a fiber that no interruption of the caller reaches. */
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
