/**
 * Puts the machine, or your own executor on it, through what one seed decides: scheduling, time, faults of the store at
 * every call, executors, clients, crashes and restarts. Whatever clients were told is held against what is stored.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import { CoreExecutor, Turn } from "effect-meerkat"
 * import { Simulation } from "effect-meerkat/testkit"
 *
 * const report = Simulation.simulate(7, {
 *   executorFor: () => CoreExecutor.make(() => Effect.succeed(Turn.reply("hello")))
 * })
 * // report.violations is empty, or says what went wrong
 * ```
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Layer from "effect/Layer"
import * as HandoverLive from "../../layers/HandoverLive.js"
import type { Tables } from "../../layers/MemoryTables.js"
import * as RuntimeStoreMemory from "../../layers/RuntimeStoreMemory.js"
import * as MeerkatMachineConfig from "../../services/MeerkatMachineConfig.js"
import type { RuntimeStore } from "../../services/RuntimeStore.js"
import type { RuntimeId } from "../domain/Ids.js"
import * as Sim from "./Sim.js"
import * as Audit from "./simulation/Audit.js"
import * as Dice from "./simulation/Dice.js"
import * as Journal from "./simulation/Journal.js"
import type { ExecutorFor } from "./simulation/Life.js"
import * as Life from "./simulation/Life.js"
import * as Observe from "./simulation/Observe.js"
import type { Plan } from "./simulation/Plan.js"
import * as Plans from "./simulation/Plan.js"
import * as Faults from "./simulation/StoreFaults.js"
import type { StoreLedger } from "./simulation/StoreLedger.js"
import * as StoreLedgers from "./simulation/StoreLedger.js"
import type { TallyRecord } from "./simulation/Tally.js"
import * as Tally from "./simulation/Tally.js"
import type { World } from "./simulation/World.js"
import { mortal } from "./simulation/World.js"

export type {
  /** @since 0.1.0 @category models */
  ExecutorFor
} from "./simulation/Life.js"
export type {
  /** @since 0.1.0 @category models */
  Plan
} from "./simulation/Plan.js"

/** Where the lives of one seed keep what they store. @since 0.1.0 @category models */
export interface Backend {
  /** the store as the next process finds it; asked once per life. Nothing may happen to the medium of the last life. */
  readonly store: (life: { readonly last: boolean }) => Layer.Layer<RuntimeStore>
  /** rows that can be looked at from outside; null when they cannot */
  readonly peek: ((runtimeId: RuntimeId) => Tables | undefined) | null
  /** Whether the store of this life is lost and says so: the process dies a little later. Absent: never. */
  readonly isLost?: () => boolean
  /** A process ended: what it left behind is what the next one finds. Returns what the store did wrong, if anything. */
  readonly ended: (end: Sim.SimEnd) => ReadonlyArray<string> | void
  /** the seed is done with */
  readonly close: () => void
}

/** @since 0.1.0 @category models */
export interface SimulationOptions {
  /** what is not left to the dice; see `Plan` */
  readonly plan?: Partial<Omit<Plan, "seed">>
  /** executors to try; absent: scripted ones, which do whatever an executor can do */
  readonly executorFor?: ExecutorFor
  /** absent: memory */
  readonly backend?: (seed: number) => Backend
  /** scheduler steps of one life, after which it is given up as one that never comes to rest (`stepLimit`); 3,000,000 if absent */
  readonly maxSteps?: number
  /** collects lines of what happened */
  readonly trace?: boolean
}

/** @since 0.1.0 @category models */
export interface SimulationReport {
  readonly seed: number
  readonly plan: Plan
  /** empty, or what went wrong: the rule and what broke it */
  readonly violations: ReadonlyArray<string>
  /** scheduler steps of all lives */
  readonly steps: number
  readonly restarts: number
  /** how often each thing happened, by group */
  readonly tally: TallyRecord
  /** equal hashes are equal runs */
  readonly trace: number
  /** lines of what happened, if they were asked for */
  readonly lines: ReadonlyArray<string>
}

/** A store in memory that outlives the process. @since 0.1.0 @category backends */
export const memory = (): Backend => {
  const image = RuntimeStoreMemory.makeImage()
  return {
    store: () => Layer.provide(RuntimeStoreMemory.layerNoDeps({ image }), HandoverLive.layerYield),
    peek: (runtimeId) => image.runtimes.get(runtimeId),
    ended: () => {},
    close: () => {}
  }
}

/** Runs one seed. @since 0.1.0 @category running */
export const simulate = (seed: number, options: SimulationOptions = {}): SimulationReport =>
  simulatePlan(Plans.make(seed, options.plan), options)

/** Runs a plan: lives that end in the middle, then one that is left alone, then the books are checked. @since 0.1.0 @category running */
export const simulatePlan = (plan: Plan, options: SimulationOptions = {}): SimulationReport => {
  const journal = Journal.make({ trace: options.trace ?? false })
  const ledger = StoreLedgers.make()
  const backend = (options.backend ?? memory)(plan.seed)
  const lives = plan.crashes.length + 1
  const progress: Progress = { steps: 0, trace: 0, now: undefined, budget: { left: plan.clients * plan.operations } }
  try {
    for (let life = 0; life < lives; life++) {
      journal.life = life
      live(plan, options, { journal, ledger, backend, life, progress })
      if (journal.violations.length > 0) break
    }
  } finally {
    backend.close()
  }
  return {
    seed: plan.seed,
    plan,
    violations: journal.violations,
    steps: progress.steps,
    restarts: journal.life,
    tally: Tally.toRecord(journal.tally),
    trace: (Math.imul(progress.trace, 31) + journal.digest) | 0,
    lines: journal.lines ?? []
  }
}

/**
 * The smallest plan found that still breaks the same rule, with the trace of its run: plans are made smaller as long as
 * they fail, at most `tries` times.
 *
 * @since 0.1.0
 * @category running
 */
export const shrink = (report: SimulationReport, options: SimulationOptions = {}, tries = 120): SimulationReport => {
  const rule = ruleOf(report)
  let best = report
  let left = tries
  for (let again = true; again && left > 0;) {
    again = false
    for (const plan of Plans.smaller(best.plan)) {
      if (left-- <= 0) break
      const smaller = simulatePlan(plan, options)
      if (ruleOf(smaller) !== rule) continue
      best = smaller
      again = true
      break
    }
  }
  return simulatePlan(best.plan, { ...options, trace: true })
}

/** Seeds `from`, `from + 1`, …; stops when the callback says so. @since 0.1.0 @category running */
export const sweep = (
  from: number,
  seeds: number,
  options: SimulationOptions,
  onReport: (report: SimulationReport) => boolean
): void => {
  for (let seed = from; seed < from + seeds; seed++) if (!onReport(simulate(seed, options))) return
}

// --- internal ---

interface Lives {
  readonly journal: Journal.Journal
  readonly ledger: StoreLedger
  readonly backend: Backend
  readonly life: number
  readonly progress: Progress
}

/** What all lives came to so far. */
interface Progress {
  steps: number
  trace: number
  /** when the next one begins, in epoch milliseconds */
  now: number | undefined
  readonly budget: { left: number }
}

/** Scheduler steps between the loss of a store and the end of its process. */
const stepsAfterLoss = 400

/** The first rule that broke; a violation reads `<rule>: <detail>`. */
const ruleOf = ({ violations }: SimulationReport): string | null => violations[0]?.split(":")[0] ?? null

const worldOf = (plan: Plan, { backend, journal, ledger, life }: Lives, phase: { readonly calm: boolean }): World => ({
  journal,
  ledger,
  dice: Dice.make(Math.imul(plan.seed, 31) + life),
  config: { ...MeerkatMachineConfig.defaults, ...plan.limits },
  punctual: plan.haste === 0 || life === plan.crashes.length,
  faults: () => phase.calm ? Faults.none : plan.faults,
  peek: backend.peek,
  ...mortal()
})

const live = (plan: Plan, options: SimulationOptions, lives: Lives): void => {
  const { backend, journal, life, progress } = lives
  const last = life === plan.crashes.length
  const phase = { calm: false }
  const world = worldOf(plan, lives, phase)
  const livesLeft = plan.crashes.length - life
  let steps = 0
  const program = Life.program({
    world,
    store: backend.store({ last }),
    sessions: plan.sessions,
    clients: plan.clients,
    budget: progress.budget,
    reserve: Math.floor(progress.budget.left * livesLeft / (livesLeft + 1)),
    thinkMs: plan.thinkMs,
    rival: plan.rival,
    hasty: !last && plan.haste > 0,
    last,
    phase,
    executorFor: options.executorFor ?? null,
    steps: () => steps
  })
  const crashAt = plan.crashes[life]
  let lostFor = 0
  const result = Sim.run(program, {
    seed: Math.imul(plan.seed + 1, 7919) + life,
    preempt: plan.preempt,
    // a clock that runs ahead lets every deadline pass: not while everything is to come to rest
    haste: last ? 0 : plan.haste,
    maxSteps: options.maxSteps ?? 3_000_000,
    check: () => {
      steps++
      return journal.violations[0] ?? null
    },
    // long enough that everyone who waits can be told
    dies: () => backend.isLost?.() === true && ++lostFor > stepsAfterLoss,
    ...(progress.now === undefined ? {} : { start: progress.now }),
    ...(crashAt === undefined ? {} : { crashAt })
  })
  progress.steps += result.steps
  progress.trace = (Math.imul(progress.trace, 31) + result.trace) | 0
  progress.now = result.now + 1000
  if (backend.isLost?.() === true) Journal.count(journal, "fault", "store.lost")
  for (const what of backend.ended(result.end) ?? []) Journal.violate(journal, "lost store is told", what)
  ended(world, result, last)
}

const ended = (world: World, { end, exit }: Sim.SimResult<void, never>, last: boolean): void => {
  const { inFlight, journal, pending, running } = world
  Journal.note(journal, `life ${journal.life} ended: ${end}`)
  if (!last) {
    Journal.count(journal, "restart", end)
    if (end === "crash") {
      Journal.count(journal, "fault", "crash")
      const inCommit = Array.from(inFlight.values()).some((commits) => commits > 0)
      Journal.count(journal, "crash", inCommit ? "in a commit" : running.size > 0 ? "in a run" : "elsewhere")
    }
  }
  if (exit?._tag === "Failure") Journal.violate(journal, "defect", Cause.pretty(exit.cause))
  if (end === "deadlock" || end === "stepLimit") {
    Journal.violate(journal, end, `pending: ${Array.from(pending).join("; ")}`)
  }
  if (end === "crash") Observe.died(world)
  Audit.noLoss(world)
}
