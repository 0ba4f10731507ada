/**
 * Callers with a time limit. A caller that gives up checks whether anything could have delayed its answer; if nothing
 * could, the missing answer is a violation.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { firstOf } from "../../../../layers/internal/race.js"
import type { SpineSnapshot } from "../../../../services/MeerkatMachine.js"
import type { MeerkatMachineOptions } from "../../../../services/MeerkatMachineConfig.js"
import type { OperationId, SessionId } from "../../../domain/Ids.js"
import type { Crew } from "../Crew.js"
import { count, violate } from "../Journal.js"
import type { World } from "../World.js"

/** A call that may take long, and whether anything may delay its answer now. @since 0.1.0 @category models */
export interface Wait {
  readonly method: string
  readonly sessionId: SessionId
  readonly waits: Effect.Effect<boolean>
}

/** Minutes after which a caller checks whether it still has a reason to wait. */
const patience = 2

/**
 * Returns the answer of a call, or none if the caller gave up. A caller gives up while there is a reason to wait,
 * because the answer may be far away. Without a reason it waits until no limit of the machine explains the delay, and
 * then records a violation.
 *
 * @since 0.1.0
 * @category combinators
 */
export const patient = <A, E>(
  world: World,
  wait: Wait,
  call: Effect.Effect<A, E>
): Effect.Effect<Option.Option<A>, E> => firstOf(Effect.asSome(call), Effect.as(watching(world, wait), Option.none()))

/** A reason to wait: an input of the session is open. @since 0.1.0 @category reasons */
export const untilIdle = (crew: Crew, id: SessionId): Effect.Effect<boolean> =>
  seen(
    crew,
    id,
    ({ currentRunId, queue, staged, steer }) => currentRunId !== null || queue.length + steer.length + staged.length > 0
  )

/** A reason to wait: the session has a run. @since 0.1.0 @category reasons */
export const untilFree = (crew: Crew, id: SessionId): Effect.Effect<boolean> =>
  seen(crew, id, ({ currentRunId }) => currentRunId !== null)

/** A reason to wait: a task drains the session's inbox. @since 0.1.0 @category reasons */
export const untilDrained = (crew: Crew, id: SessionId): Effect.Effect<boolean> =>
  seen(crew, id, ({ drain: { taskLive } }) => taskLive)

/** A reason to wait: one of these operations is live. @since 0.1.0 @category reasons */
export const untilEnded = (
  { machine }: Crew,
  id: SessionId,
  operations: ReadonlyArray<OperationId>
): Effect.Effect<boolean> =>
  Effect.exists(operations, (operation) =>
    Effect.match(machine.session(id).operations.get(operation), {
      // an operation of a session that is gone is no reason to wait
      onFailure: () => false,
      onSuccess: Option.exists(({ outcome }) => outcome === undefined)
    }))

/** No reason to wait, except the limits of the machine. @since 0.1.0 @category reasons */
export const atOnce: Effect.Effect<boolean> = Effect.succeed(false)

// --- internal ---

const seen = (
  { machine }: Crew,
  id: SessionId,
  waits: (snapshot: SpineSnapshot) => boolean
): Effect.Effect<boolean> => Effect.map(machine.meerkatMachineSpineSnapshot(id), Option.exists(waits))

/**
 * Returns a bound of the machine's waits. Each wait has one of these limits; an end may take several of them, and calls
 * of other clients may come first.
 */
const limitOf = (config: MeerkatMachineOptions, delayMs: number): number => {
  const { cancelGrace, commitRetryBase, commitRetryTimes, hookTimeout, resolveTimeout, teardownTimeout } = config
  const once = [hookTimeout, teardownTimeout, cancelGrace, config.unregisterGrace, resolveTimeout]
    .reduce((sum, limit) => sum + Duration.toMillis(limit), delayMs)
  return 100 * (once + Duration.toMillis(commitRetryBase) * 2 ** commitRetryTimes)
}

/** Counts the faults of the store, without delays: each may make an answer late. */
const troubles = ({ journal }: World): number => {
  let sum = 0
  for (const [name, times] of journal.tally.get("fault") ?? []) if (!name.includes("delay")) sum += times
  return sum
}

const watching = (world: World, { method, sessionId, waits }: Wait): Effect.Effect<void> =>
  Effect.gen(function*() {
    const limit = Duration.toMinutes(limitOf(world.config, world.faults().delayMs))
    let before = 0
    for (let minutes = 1;; minutes++) {
      before = troubles(world)
      yield* Effect.sleep("1 minute")
      if (minutes < patience) continue
      const reason = !world.punctual ? "clock" : (yield* waits) ? "reason" : null
      if (reason !== null) return count(world.journal, "gaveUp", `${method} (${reason})`)
      if (minutes > limit) break
    }
    if (troubles(world) > before) return count(world.journal, "gaveUp", `${method} (store)`)
    violate(world.journal, "21 every call returns", `${method} of ${sessionId} waits, but nothing delays it`)
  })
