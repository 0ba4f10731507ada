/**
 * The implementation of `IdGen`. Invariant: ids come only from Clock and Random, so a simulation reproduces them.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import { PCGRandom } from "effect/Utils"
import { IdGen } from "../services/IdGen.js"

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, "0")

const bits = (random: number, count: number): number => Math.floor(random * 2 ** count)

/** RFC 9562 version 7: 48 bits of milliseconds, then 74 random bits. The fields take 26 and 48 of them. */
const format = (now: number, first: number, second: number): string => {
  const time = hex(Math.max(0, Math.floor(now)), 12)
  const high = bits(first, 26)
  const variant = hex(0x8000 | (high & 0x3fff), 4)
  return `${time.slice(0, 8)}-${time.slice(8)}-7${hex(high >>> 14, 3)}-${variant}-${hex(bits(second, 48), 12)}`
}

/** Makes a generator from a seed of 64 bits and its own sequence number. */
const generator = Effect.map(
  Effect.all([Random.nextIntBetween(0, 2 ** 32), Random.nextIntBetween(0, 2 ** 32), Random.nextIntBetween(0, 2 ** 32)]),
  ([high, low, sequence]) => new PCGRandom(high, low, sequence)
)

/**
 * Makes ids from Clock and Random. The generator of the random part is seeded once, when the layer is built. So tests
 * and simulations control the ids, and each id costs one step.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<IdGen> = Layer.effect(
  IdGen,
  Effect.map(generator, (random) => ({
    next: Effect.clockWith((clock) =>
      Effect.succeed(format(clock.unsafeCurrentTimeMillis(), random.number(), random.number()))
    )
  }))
)
