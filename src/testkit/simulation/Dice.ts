/**
 * The random choices of a simulation. Everything random in it comes from one value. Invariant: equal seeds give equal
 * choices.
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Sim from "../Sim.js"

/** Random choices from a seed; every throw is synchronous. @since 0.1.0 @category models */
export interface Dice {
  /** in [0, 1) */
  readonly next: () => number
  /** a whole number in [0, limit) */
  readonly below: (limit: number) => number
  /** true with this probability */
  readonly hit: (probability: number) => boolean
  readonly pick: <A>(from: NonEmptyReadonlyArray<A>) => A
  /** picks by weight; weights are positive and need not sum to 1 */
  readonly weighted: <A>(from: NonEmptyReadonlyArray<readonly [A, weight: number]>) => A
  readonly uuid: () => string
}

/** Makes dice from a seed. @since 0.1.0 @category constructors */
export const make = (seed: number): Dice => {
  const next = Sim.prng(seed)
  const below = (limit: number) => Math.floor(next() * limit)
  const hex = (digits: number) => below(16 ** digits).toString(16).padStart(digits, "0")
  return {
    next,
    below,
    hit: (probability) => next() < probability,
    pick: (from) => from[below(from.length)] ?? from[0],
    weighted: (from) => {
      let left = next() * from.reduce((sum, [, weight]) => sum + weight, 0)
      for (const [value, weight] of from) {
        left -= weight
        if (left < 0) return value
      }
      return from[0][0]
    },
    uuid: () => `${hex(8)}-${hex(4)}-4${hex(3)}-a${hex(3)}-${hex(6)}${hex(6)}`
  }
}
