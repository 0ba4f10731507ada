import * as Tally from "../../src/testkit/simulation/Tally.js"
import type { Answer } from "./protocol.js"

/** The totals of all seeds. */
export interface Totals {
  seeds: number
  steps: number
  restarts: number
  failed: number
  readonly tally: Tally.Tally
}

export const make = (): Totals => ({ seeds: 0, steps: 0, restarts: 0, failed: 0, tally: Tally.make() })

export const add = (totals: Totals, answer: Answer): void => {
  totals.seeds += answer.seeds
  totals.steps += answer.steps
  totals.restarts += answer.restarts
  totals.failed += answer.failed.length
  Tally.merge(totals.tally, answer.tally)
}

const round = (n: number): number => Math.round(n * 100) / 100

export const report = (totals: Totals, seconds: number) => {
  const tally = Tally.toRecord(totals.tally)
  const faults = Tally.total(tally, "fault")
  const operations = Tally.total(tally, "method")
  return {
    seeds: totals.seeds,
    failed: totals.failed,
    seconds: Math.round(seconds),
    seedsPerSecond: round(totals.seeds / seconds),
    steps: totals.steps,
    stepsPerSecond: Math.round(totals.steps / seconds),
    restarts: totals.restarts,
    faults,
    operations,
    perSeed: {
      steps: Math.round(totals.steps / totals.seeds),
      restarts: round(totals.restarts / totals.seeds),
      faults: round(faults / totals.seeds),
      operations: round(operations / totals.seeds)
    },
    ...tally
  }
}
