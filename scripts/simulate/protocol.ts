import type { Plan } from "../../src/testkit/Simulation.js"
import type { TallyRecord } from "../../src/testkit/simulation/Tally.js"

/** The messages between `simulate.ts` and its workers. A task is a chunk of seeds. */
export interface Task {
  readonly from: number
  readonly seeds: number
  readonly preempt: number | null
  readonly sqlite: boolean
  readonly shrink: boolean
  readonly stopAtFirst: boolean
  /** the most trace lines of a failing seed */
  readonly lines: number
}

export interface Failed {
  readonly seed: number
  readonly violations: ReadonlyArray<string>
  /** true if a second run was identical */
  readonly reproduced: boolean
  readonly trace: number
  /** the smallest plan found that still fails */
  readonly plan: Plan
  readonly lines: ReadonlyArray<string>
}

export interface Answer {
  readonly seeds: number
  readonly steps: number
  readonly restarts: number
  readonly tally: TallyRecord
  readonly failed: ReadonlyArray<Failed>
  readonly traces: ReadonlyArray<number>
}
