/**
 * The thoroughness of a test run. `npm test` is short: one world per row, samples of walks. `npm run test:proof` runs
 * the full form of those tests and skips the tests that `npm test` runs completely. The mutation check runs everything
 * in full.
 *
 * Rows, walks and simulations read it; `vitest.proof.config.ts` and `scripts/mutate/runner.ts` set the variable.
 */
import { assert } from "@effect/vitest"

const mode = process.env["MEERKAT_TESTS"] ?? "short"
assert.include(["short", "proof", "all"], mode, "MEERKAT_TESTS")

/** Whether tests that have a short and a full form run in full. */
export const isFull = mode !== "short"

/** Whether this run includes the tests that have one form only: `npm test` runs them before `npm run test:proof`. */
export const runsComplete = mode !== "proof"

/** Returns the first value in a short run and the second one in a full run. */
export const depth = <A>(short: A, full: A): A => isFull ? full : short

/** Returns every n-th item in a short run and the whole list in a full run. */
export const sampled = <A>(all: ReadonlyArray<A>, everyNth: number): ReadonlyArray<A> =>
  isFull ? all : all.filter((_, n) => n % everyNth === 0)

const rowSeeds = process.env["ROW_SEEDS"]

/**
 * Returns the seeded worlds per row and rate of preemption: `ROW_SEEDS`, else 1 in a short run and `full` in a full run.
 * Fails if `ROW_SEEDS` is not a positive whole number.
 */
export const worldsOr = (full: number): number => {
  if (rowSeeds === undefined) return depth(1, full)
  const worlds = Number(rowSeeds)
  assert.isTrue(Number.isSafeInteger(worlds) && worlds > 0, `ROW_SEEDS must be a positive whole number: "${rowSeeds}"`)
  return worlds
}

/** The rates of preemption of seeded rows. A short run uses only the rate that preempts. */
export const preempts: ReadonlyArray<number> = rowSeeds === undefined ? depth([0.1], [0, 0.1]) : [0, 0.1]
