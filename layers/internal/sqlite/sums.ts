/**
 * Sums of the rows that say where something lies. They have no document; a damaged one would not be found, or lead
 * somewhere else.
 *
 * @since 0.1.0
 */
import type { Value } from "./database.js"
import { sumOf } from "./digest.js"

/** @since 0.1.0 @category sums */
export const sumOfKey = (rt: unknown, key: unknown, inputId: unknown): number =>
  sumOf(`${String(rt)}\n${String(key)}\n${String(inputId)}`)

/** @since 0.1.0 @category sums */
export const sumOfKnown = (id: unknown, rt: unknown, sequence: unknown, ended: unknown): number =>
  sumOf(`${String(id)}\n${String(rt)}\n${String(sequence)}\n${String(ended)}`)

/** A row of `known`. @since 0.1.0 @category constructors */
export const knownRow = (id: string, rt: number, sequence: number, ended: number | null): ReadonlyArray<Value> => [
  id,
  rt,
  sequence,
  ended,
  sumOfKnown(id, rt, sequence, ended)
]
