import { assert } from "@effect/vitest"

/** Seeded worlds per row and mode of preemption: `ROW_SEEDS`, or so many. What is no such number must not pass for none. */
export const worldsOr = (fallback: number): number => {
  const text = process.env["ROW_SEEDS"]
  if (text === undefined) return fallback
  const worlds = Number(text)
  assert.isTrue(Number.isSafeInteger(worlds) && worlds > 0, `ROW_SEEDS is not a whole number from 1 on: "${text}"`)
  return worlds
}
