/**
 * A second process on the same store, as if the first had been taken for dead. The sessions that it opens belong to it
 * from then on; the first process learns that from its next commit.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import { MeerkatMachine } from "../../../services/MeerkatMachine.js"
import type { RuntimeStore } from "../../../services/RuntimeStore.js"
import type { Crew } from "./Crew.js"
import { count } from "./Journal.js"
import * as Process from "./Process.js"
import * as Traffic from "./traffic/Traffic.js"
import type { World } from "./World.js"
import { mortal } from "./World.js"

/**
 * Starts after a while, opens some sessions, submits inputs, and closes in good order. It attaches no executor. Two
 * processes may run the same input, but only one can commit it.
 *
 * @since 0.1.0
 * @category running
 */
export const visit = (crew: Crew, store: Layer.Layer<RuntimeStore>): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { dice, journal } = crew.world
    yield* Effect.sleep(dice.below(400))
    count(journal, "rival", "came up")
    const world = beside(crew.world)
    yield* Effect.provide(stay(crew, world), Process.layer(world, store))
    count(journal, "rival", "left")
  })

// --- internal ---

/** Volatile state belongs to each process; promises and stored state are shared. */
const beside = (world: World): World => ({
  ...world,
  ...mortal()
})

const stay = (crew: Crew, world: World) =>
  Effect.gen(function*() {
    const machine = yield* MeerkatMachine
    const scope = yield* Effect.scope
    const rival: Crew = { ...crew, world, machine, scope }
    for (const id of crew.sessions) if (world.dice.hit(0.6)) yield* Traffic.takeOver(rival, id)
    yield* Effect.sleep(world.dice.below(200))
  }).pipe(Effect.scoped)
