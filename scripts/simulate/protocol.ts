import type { Plan } from "../../src/testkit/Simulation.js"
import type { TallyRecord } from "../../src/testkit/simulation/Tally.js"

/** A chunk of seeds. */
export interface Task {
  readonly from: number
  readonly seeds: number
  readonly preempt: number | null
  readonly sqlite: boolean
  readonly shrink: boolean
  readonly stopAtFirst: boolean
  /** lines of the trace of a failing seed, at most */
  readonly lines: number
}

export interface Failed {
  readonly seed: number
  readonly violations: ReadonlyArray<string>
  /** a second run was the same, bit for bit */
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
