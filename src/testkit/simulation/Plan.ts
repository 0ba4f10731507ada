/**
 * The plan of a seed, as data: the decisions that are made before the first step. `Simulation` makes it from the seed, runs it,
 * and reduces it when a rule breaks.
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import type { MeerkatMachineOptions } from "../../../services/MeerkatMachineConfig.js"
import { defaults } from "../../../services/MeerkatMachineConfig.js"
import * as Dice from "./Dice.js"
import type { StoreFaults } from "./StoreFaults.js"
import * as Faults from "./StoreFaults.js"

/** The plan of a seed. @since 0.1.0 @category models */
export interface Plan {
  readonly seed: number
  readonly sessions: number
  readonly clients: number
  /** The number of calls of each client, over all lives. */
  readonly operations: number
  /**
   * The lives of the process before the last one. Each crashes at this scheduler step, or closes its machine if it ends
   * before that step.
   */
  readonly crashes: ReadonlyArray<number>
  readonly preempt: number
  readonly haste: number
  /** The maximal pause of a client between two calls. */
  readonly thinkMs: number
  /** The probability that a second process opens sessions during a life; on a store in memory only. */
  readonly rival: number
  readonly faults: StoreFaults
  readonly limits: Partial<MeerkatMachineOptions>
}

const levels: NonEmptyReadonlyArray<readonly [number, number]> = [[0, 4], [0.03, 4], [0.15, 3], [0.4, 1]]

const intensities: NonEmptyReadonlyArray<readonly [number, number]> = [[0, 1], [0.3, 2], [1, 5], [2, 2]]

/** The steps of a life grow with the number of preemptions. */
const stepsOf = (preempt: number): number => 500 + 9000 * preempt

const baseFaults: StoreFaults = {
  refuse: 0.05,
  lostAck: 0.04,
  lostCall: 0.03,
  delay: 0.8,
  delayMs: 40,
  fatal: 0.006,
  defect: 0.005,
  refuseRead: 0.07,
  corruptImage: 0.02,
  outage: 0,
  outageMs: 0
}

/**
 * Returns the outages of a seed: a third of the seeds has them. They last from seconds to ten minutes, longer than every
 * bounded retry. They use separate dice, so that they do not change the other decisions of a seed.
 */
const outagesOf = (seed: number): Pick<StoreFaults, "outage" | "outageMs"> => {
  const dice = Dice.make(Math.imul(seed, 0x85ebca6b) ^ 0x27d4eb2f)
  return dice.pick([
    { outage: 0, outageMs: 0 },
    { outage: 0, outageMs: 0 },
    { outage: 0.01 + 0.04 * dice.next(), outageMs: dice.pick([5_000, 60_000, 600_000]) }
  ])
}

const limits = (dice: Dice.Dice): Partial<MeerkatMachineOptions> => ({
  maxAttempts: 1 + dice.below(3),
  crashBudget: 1 + dice.below(3),
  unregisterGrace: Duration.millis(dice.pick([0, 0, 60])),
  cancelGrace: Duration.millis(dice.pick([5000, 300, 0])),
  stageFlush: Duration.millis(dice.pick([20, 1, 200])),
  keyRetention: Option.none(),
  keyRetentionCount: Option.none(),
  maxConcurrentOperations: dice.pick([Option.none(), Option.some(2)]),
  maxCompletedOperations: dice.pick([defaults.maxCompletedOperations, 2]),
  commitRetryTimes: dice.pick([5, 1]),
  eventBuffer: dice.pick([256, 2]),
  drainIdleTimeout: Duration.millis(dice.pick([300_000, 500]))
})

/** Makes the plan of a seed; given parts replace those of the seed. @since 0.1.0 @category constructors */
export const make = (seed: number, given: Partial<Omit<Plan, "seed">> = {}): Plan => {
  const dice = Dice.make(Math.imul(seed, 0x9e3779b1) ^ 0x5bd1e995)
  const preempt = given.preempt ?? dice.weighted(levels)
  const lives = 3 + dice.below(6)
  const mean = stepsOf(preempt)
  return {
    seed,
    sessions: 3,
    clients: 3,
    operations: 30,
    crashes: Array.from({ length: lives }, () => 1 + dice.below(2 * mean)),
    haste: dice.pick([0, 0, 0.02]),
    thinkMs: dice.pick([8, 40, 120]),
    rival: dice.pick([0, 0, 0.2]),
    faults: { ...Faults.scale(baseFaults, dice.weighted(intensities)), ...outagesOf(seed) },
    ...given,
    limits: { ...limits(dice), ...given.limits },
    preempt
  }
}

/** Returns smaller plans, the largest reduction first: fewer lives, fewer clients, fewer faults. @since 0.1.0 @category shrinking */
export const smaller = (plan: Plan): ReadonlyArray<Plan> => {
  const { clients, crashes, faults, haste, operations, sessions } = plan
  const half = Math.floor(crashes.length / 2)
  const without = (at: number) => crashes.filter((_, i) => i !== at)
  return [
    ...(crashes.length > 0 ? [{ ...plan, crashes: [] }] : []),
    ...(crashes.length > 1
      ? [{ ...plan, crashes: crashes.slice(0, half) }, { ...plan, crashes: crashes.slice(half) }]
      : []),
    ...(sessions > 1 ? [{ ...plan, sessions: 1 }] : []),
    ...(clients > 1 ? [{ ...plan, clients: 1 }, { ...plan, clients: clients - 1 }] : []),
    ...(operations > 1
      ? [{ ...plan, operations: Math.floor(operations / 2) }, { ...plan, operations: operations - 1 }]
      : []),
    ...crashes.map((_, at) => ({ ...plan, crashes: without(at) })),
    { ...plan, faults: Faults.none },
    ...(plan.rival > 0 ? [{ ...plan, rival: 0 }] : []),
    ...Object.keys(Faults.none).flatMap((name) => lesser(plan, name)),
    ...(haste > 0 ? [{ ...plan, haste: 0 }] : []),
    ...(plan.preempt > 0 ? [{ ...plan, preempt: 0 }] : []),
    ...(Object.keys(plan.limits).length > 0 ? [{ ...plan, limits: {} }] : [])
  ].filter((candidate) => candidate.faults !== faults || JSON.stringify(candidate) !== JSON.stringify(plan))
}

/** Returns the faults without one kind. */
const lesser = (plan: Plan, name: string): ReadonlyArray<Plan> =>
  Object.entries(plan.faults).some(([key, probability]) => key === name && probability > 0)
    ? [{ ...plan, faults: { ...plan.faults, [name]: 0 } }]
    : []
