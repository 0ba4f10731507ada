/** @since 0.1.0 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import { IdGen } from "../services/IdGen.js"

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, "0")

const bits = (random: number, count: number): number => Math.floor(random * 2 ** count)

/** RFC 9562 version 7: 48 bits of milliseconds, then 74 random bits: 26 and 48 of them, as the fields lie. */
const format = (now: number, first: number, second: number): string => {
  const time = hex(Math.max(0, Math.floor(now)), 12)
  const high = bits(first, 26)
  const variant = hex(0x8000 | (high & 0x3fff), 4)
  return `${time.slice(0, 8)}-${time.slice(8)}-7${hex(high >>> 14, 3)}-${variant}-${hex(bits(second, 48), 12)}`
}

/**
 * Ids from the Clock and Random of the moment, so that tests and simulations own them.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<IdGen> = Layer.succeed(IdGen, {
  next: Effect.flatMap(
    Clock.currentTimeMillis,
    (now) => Effect.zipWith(Random.next, Random.next, (first, second) => format(now, first, second))
  )
})
