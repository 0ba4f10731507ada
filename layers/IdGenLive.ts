/** @since 0.1.0 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import { IdGen } from "../services/IdGen.js"

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, "0")

/** RFC 9562 version 7: 48 bits of milliseconds, then 74 random bits. */
const format = (now: number, a: number, b: number, c: number, d: number): string => {
  const time = hex(Math.max(0, Math.floor(now)), 12)
  return `${time.slice(0, 8)}-${time.slice(8)}-7${hex(a, 3)}-${hex(0x8000 | b, 4)}-${hex(c, 6)}${hex(d, 6)}`
}

/**
 * Ids from the Clock and Random of the moment, so that tests and simulations own them.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<IdGen> = Layer.succeed(IdGen, {
  next: Effect.zipWith(
    Clock.currentTimeMillis,
    Effect.zip(
      Effect.zip(Random.nextIntBetween(0, 0x1000), Random.nextIntBetween(0, 0x4000)),
      Effect.zip(Random.nextIntBetween(0, 0x1000000), Random.nextIntBetween(0, 0x1000000))
    ),
    (now, [[a, b], [c, d]]) => format(now, a, b, c, d)
  )
})
