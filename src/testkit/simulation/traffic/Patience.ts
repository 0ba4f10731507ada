/**
 * Callers that do not wait for ever. Whoever gives up says whether there was anything left that the answer could have
 * waited for: if there was nothing, it was owed.
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

/** A call that may take long, and whether something goes on that it may have to wait for. @since 0.1.0 @category models */
export interface Wait {
  readonly method: string
  readonly sessionId: SessionId
  readonly waits: Effect.Effect<boolean>
}

/** Minutes after which nobody waits without a reason. */
const patience = 2

/**
 * A caller that does not wait for ever: none if it gave up, since the answer may have been far away. It gives up only as
 * long as there is a reason to wait: an answer that nothing holds up any more is waited for until no limit of the machine
 * explains its absence, and then reported.
 *
 * @since 0.1.0
 * @category combinators
 */
export const patient = <A, E>(
  world: World,
  wait: Wait,
  call: Effect.Effect<A, E>
): Effect.Effect<Option.Option<A>, E> => firstOf(Effect.asSome(call), Effect.as(watching(world, wait), Option.none()))

/** Whatever it waits for: an input of the session that has not ended. @since 0.1.0 @category reasons */
export const untilIdle = (crew: Crew, id: SessionId): Effect.Effect<boolean> =>
  seen(
    crew,
    id,
    ({ currentRunId, queue, staged, steer }) => currentRunId !== null || queue.length + steer.length + staged.length > 0
  )

/** A run of the session, whoever runs it. @since 0.1.0 @category reasons */
export const untilFree = (crew: Crew, id: SessionId): Effect.Effect<boolean> =>
  seen(crew, id, ({ currentRunId }) => currentRunId !== null)

/** The task that drains the session's inbox. @since 0.1.0 @category reasons */
export const untilDrained = (crew: Crew, id: SessionId): Effect.Effect<boolean> =>
  seen(crew, id, ({ drain: { taskLive } }) => taskLive)

/** One of these operations that has not ended. @since 0.1.0 @category reasons */
export const untilEnded = (
  { machine }: Crew,
  id: SessionId,
  operations: ReadonlyArray<OperationId>
): Effect.Effect<boolean> =>
  Effect.exists(operations, (operation) =>
    Effect.match(machine.session(id).operations.get(operation), {
      // nobody waits for an operation of a session that is gone
      onFailure: () => false,
      onSuccess: Option.exists(({ outcome }) => outcome === undefined)
    }))

/** Nothing but the limits of the machine. @since 0.1.0 @category reasons */
export const atOnce: Effect.Effect<boolean> = Effect.succeed(false)

// --- internal ---

const seen = (
  { machine }: Crew,
  id: SessionId,
  waits: (snapshot: SpineSnapshot) => boolean
): Effect.Effect<boolean> => Effect.map(machine.meerkatMachineSpineSnapshot(id), Option.exists(waits))

/**
 * Each of the machine's waits is bounded by one of these. An end comes by several of them, and the calls of other clients
 * may be in front.
 */
const limitOf = (config: MeerkatMachineOptions, delayMs: number): number => {
  const { cancelGrace, commitRetryBase, commitRetryTimes, hookTimeout, resolveTimeout, teardownTimeout } = config
  const once = [hookTimeout, teardownTimeout, cancelGrace, config.unregisterGrace, resolveTimeout]
    .reduce((sum, limit) => sum + Duration.toMillis(limit), delayMs)
  return 100 * (once + Duration.toMillis(commitRetryBase) * 2 ** commitRetryTimes)
}

/** Faults of the store, delays apart: as long as they come, an answer may be late. */
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
    violate(world.journal, "21 every call returns", `${method} of ${sessionId} waits for nothing that there is`)
  })
