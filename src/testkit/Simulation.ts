/**
 * Tests the machine, or an executor of yours, in a simulated world. One seed decides the scheduling, the time, the faults
 * of the store at every call, the executors, the clients, the crashes and the restarts. At the end the simulation
 * compares the store with the answers that clients received.
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

/** The store that the lives of one seed share. @since 0.1.0 @category models */
export interface Backend {
  /** Returns the store for the next process, once per life. The medium of the last life must stay free of faults. */
  readonly store: (life: { readonly last: boolean }) => Layer.Layer<RuntimeStore>
  /** Reads stored rows from outside the process; null if the backend cannot. */
  readonly peek: ((runtimeId: RuntimeId) => Tables | undefined) | null
  /** Whether the store of this life reported its loss; the process dies soon after. Default: never. */
  readonly isLost?: () => boolean
  /** Runs after the end of a process, and keeps the medium for the next one. Returns the faults of the store, if any. */
  readonly ended: (end: Sim.SimEnd) => ReadonlyArray<string> | void
  /** Releases the medium after the last life of the seed. */
  readonly close: () => void
}

/** @since 0.1.0 @category models */
export interface SimulationOptions {
  /** The parts of the plan that the seed does not decide; see `Plan`. */
  readonly plan?: Partial<Omit<Plan, "seed">>
  /** The executors to test. Default: scripted executors with every behaviour that an executor can have. */
  readonly executorFor?: ExecutorFor
  /** Makes the store of a seed. Default: in memory. */
  readonly backend?: (seed: number) => Backend
  /** The maximum of scheduler steps per life; a longer life is reported as `stepLimit`. Default: 3,000,000. */
  readonly maxSteps?: number
  /** Whether to collect a line per event. */
  readonly trace?: boolean
}

/** @since 0.1.0 @category models */
export interface SimulationReport {
  readonly seed: number
  readonly plan: Plan
  /** The broken rules, each as `<rule>: <detail>`; empty if every rule held. */
  readonly violations: ReadonlyArray<string>
  /** The scheduler steps of all lives. */
  readonly steps: number
  readonly restarts: number
  /** The number of events of each kind, by group. */
  readonly tally: TallyRecord
  /** A hash of the run: equal runs have equal hashes. */
  readonly trace: number
  /** The collected lines, if `trace` is set. */
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

/** Runs a plan: the lives that crash, then a last life without faults, then the audit. @since 0.1.0 @category running */
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
 * Searches for a smaller plan that breaks the same rule: it reduces the plan while the rule still breaks, at most `tries`
 * times. Returns the report of the smallest plan found, with the trace of its run.
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

/** Runs the seeds `from`, `from + 1` and so on; stops when the callback returns false. @since 0.1.0 @category running */
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

/** The sums over all lives so far. */
interface Progress {
  steps: number
  trace: number
  /** The start of the next life, in epoch milliseconds. */
  now: number | undefined
  readonly budget: { left: number }
}

/** Scheduler steps between the loss of a store and the end of its process. */
const stepsAfterLoss = 400

/** Returns the first broken rule; a violation reads `<rule>: <detail>`. */
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
    // a clock that runs ahead exceeds deadlines: the last life, which must come to rest, has a punctual clock
    haste: last ? 0 : plan.haste,
    maxSteps: options.maxSteps ?? 3_000_000,
    check: () => {
      steps++
      return journal.violations[0] ?? null
    },
    // leaves enough steps to answer every waiter
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
