/**
 * How thorough a test run is. `npm test` is short: one world per row, samples of walks. `npm run test:proof` is the
 * rest: the full forms of what is short there, and nothing that `npm test` runs in full already. The mutation check
 * runs everything in full.
 *
 * Rows, walks and simulations ask here; `vitest.proof.config.ts` and `scripts/mutate/runner.ts` set the variable.
 */
import { assert } from "@effect/vitest"

const told = process.env["MEERKAT_TESTS"] ?? "short"
assert.include(["short", "proof", "all"], told, "MEERKAT_TESTS")

/** Whether tests that have a short and a full form run in full. */
export const isFull = told !== "short"

/** Whether tests that are always complete run: `npm test` has run them before `npm run test:proof` starts. */
export const runsComplete = told !== "proof"

/** What a test needs in the form of this run. */
export const depth = <A>(short: A, full: A): A => isFull ? full : short

/** Some of a list in a short run, spread over it; all of it in a full one. */
export const sampled = <A>(all: ReadonlyArray<A>, everyNth: number): ReadonlyArray<A> =>
  isFull ? all : all.filter((_, n) => n % everyNth === 0)

const rowSeeds = process.env["ROW_SEEDS"]

/**
 * Seeded worlds per row and mode of preemption: `ROW_SEEDS`, else 1 in a short run and `full` in a full one. A text that
 * is no such number fails instead of passing for none.
 */
export const worldsOr = (full: number): number => {
  if (rowSeeds === undefined) return depth(1, full)
  const worlds = Number(rowSeeds)
  assert.isTrue(Number.isSafeInteger(worlds) && worlds > 0, `ROW_SEEDS is not a whole number from 1 on: "${rowSeeds}"`)
  return worlds
}

/** Modes of preemption of seeded rows. A short run takes the harder one alone. */
export const preempts: ReadonlyArray<number> = rowSeeds === undefined ? depth([0.1], [0, 0.1]) : [0, 0.1]
