/**
 * A second process on the same store, as when the first was taken for dead: what it opens is its own from then on, and
 * the first is told so by its next commit.
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
 * Comes up some time, opens some of the sessions, hands inputs in, and leaves in good order. It runs nothing: two
 * processes may well run the same input, and only one of them commits it.
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

/** What dies with a process is each one's own; what was promised and stored is everybody's. */
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
