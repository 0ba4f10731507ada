/**
 * The sums of rows that locate other rows. Such rows have no document. A sum detects damage that would hide a row or
 * point to a wrong one.
 *
 * @since 0.1.0
 */
import type { Value } from "./database.js"
import { sumOf } from "./digest.js"

/** The sum of a row that maps an idempotency key to its input. @since 0.1.0 @category sums */
export const sumOfKey = (rt: unknown, key: unknown, inputId: unknown): number =>
  sumOf(`${String(rt)}\n${String(key)}\n${String(inputId)}`)

/** The sum of a row of `known`. @since 0.1.0 @category sums */
export const sumOfKnown = (id: unknown, rt: unknown, sequence: unknown, ended: unknown): number =>
  sumOf(`${String(id)}\n${String(rt)}\n${String(sequence)}\n${String(ended)}`)

/** Makes a row of `known`. @since 0.1.0 @category constructors */
export const knownRow = (id: string, rt: number, sequence: number, ended: number | null): ReadonlyArray<Value> => [
  id,
  rt,
  sequence,
  ended,
  sumOfKnown(id, rt, sequence, ended)
]
