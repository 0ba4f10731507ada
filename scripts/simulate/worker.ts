/** A child of `simulate.ts`: runs the seeds of each task, and answers each chunk with one line of JSON. */
import { createInterface } from "node:readline"
import * as Simulation from "../../src/testkit/Simulation.js"
import * as Tally from "../../src/testkit/simulation/Tally.js"
import type { Answer, Failed, Task } from "./protocol.js"
import * as Sqlite from "./sqlite.js"

// the stack of an error costs more than the failed call, and it is not read here
Error.stackTraceLimit = 0

const optionsOf = ({ preempt, sqlite }: Task): Simulation.SimulationOptions => ({
  ...(preempt === null ? {} : { plan: { preempt } }),
  ...(sqlite ? { backend: Sqlite.backend } : {})
})

/** Reports a failing seed first: shrinking it may take long or be cut off. */
const announce = ({ preempt, sqlite }: Task, { seed, violations }: Simulation.SimulationReport): void => {
  const options = `${preempt === null ? "" : ` --preempt ${preempt}`}${sqlite ? " --sqlite" : ""}`
  const lines = violations.slice(0, 5).map((violation) => `  ${violation.slice(0, 800)}\n`)
  process.stderr.write(`failed: --seed ${seed}${options}\n${lines.join("")}`)
}

/**
 * The step limit of smaller plans. A plan that takes far longer is not smaller, and one that hits the limit breaks
 * another rule.
 */
const stepsOfSmaller = ({ steps }: Simulation.SimulationReport): number => Math.min(3_000_000, 2 * steps)

const shrunkOf = (task: Task, report: Simulation.SimulationReport): Simulation.SimulationReport => {
  if (!task.shrink) return report
  return Simulation.shrink(report, { ...optionsOf(task), maxSteps: stepsOfSmaller(report) }, 400)
}

const failedOf = (task: Task, report: Simulation.SimulationReport): Failed => {
  // a planted bug is expected to be found, so it is not reported
  if (task.shrink || !task.stopAtFirst) announce(task, report)
  const again = Simulation.simulatePlan(report.plan, optionsOf(task))
  const shrunk = shrunkOf(task, report)
  return {
    seed: report.seed,
    violations: report.violations,
    reproduced: again.trace === report.trace,
    trace: report.trace,
    plan: shrunk.plan,
    lines: shrunk.lines.slice(-task.lines)
  }
}

const run = (task: Task): Answer => {
  const tally = Tally.make()
  const failed: Array<Failed> = []
  const traces: Array<number> = []
  const totals = { seeds: 0, steps: 0, restarts: 0 }
  for (let seed = task.from; seed < task.from + task.seeds; seed++) {
    const report = Simulation.simulate(seed, optionsOf(task))
    totals.seeds++
    totals.steps += report.steps
    totals.restarts += report.restarts
    traces.push(report.trace)
    Tally.merge(tally, report.tally)
    if (report.violations.length > 0) failed.push(failedOf(task, report))
    if (task.stopAtFirst && failed.length > 0) break
  }
  return { ...totals, tally: Tally.toRecord(tally), failed, traces }
}

createInterface({ input: process.stdin })
  .on("line", (line) => process.stdout.write(`${JSON.stringify(run(JSON.parse(line)))}\n`))
  .on("close", () => process.exit(0))
