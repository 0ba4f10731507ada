/**
 * `npm run simulate -- [--seeds N] [--seed S] [--from S] [--jobs N] [--sqlite] [--preempt P] [--no-shrink] [--lines N]
 * [--minutes M]`
 *
 * Runs seeds, for at most M minutes, and prints coverage. Exits with 1 on a violation.
 */
import { cpus } from "node:os"
import * as Options from "./options.js"
import { coverage } from "./simulate/coverage.js"
import type { Answer, Failed, Task } from "./simulate/protocol.js"
import * as Totals from "./simulate/totals.js"
import { bundle, Worker } from "./simulate/workers.js"

const { has, number: numberOf } = Options.read({
  numbers: { seeds: 1, seed: 0, from: 0, jobs: 1, preempt: 0, lines: 0, minutes: 0, "stop-after": 1 },
  flags: ["sqlite", "no-shrink", "brief"]
})

const from = numberOf("seed", numberOf("from", 0))
const seeds = has("seed") ? 1 : numberOf("seeds", 1000)
const sqlite = has("sqlite")
const jobs = Math.min(numberOf("jobs", 1), cpus().length, seeds)
const stopAfter = numberOf("stop-after", 5)
const chunk = Math.max(1, Math.min(sqlite ? 10 : 50, Math.ceil(seeds / jobs)))

const task = (at: number): Task => ({
  from: at,
  seeds: Math.min(chunk, from + seeds - at),
  preempt: has("preempt") ? numberOf("preempt", 0) : null,
  sqlite,
  shrink: !has("no-shrink"),
  stopAtFirst: false,
  lines: numberOf("lines", 60)
})

const say = ({ lines, plan, reproduced, seed, trace, violations }: Failed): void => {
  console.log(`seed ${seed} (trace ${trace}${reproduced ? ", repeats exactly" : ", DOES NOT REPEAT"}):`)
  for (const violation of violations.slice(0, 5)) console.log(`  ${violation.slice(0, 800)}`)
  if (has("brief")) return
  console.log(`  smallest plan: ${JSON.stringify(plan)}`)
  for (const line of lines) console.log(`    ${line}`)
}

const totals = Totals.make()
const began = performance.now()
const until = began + numberOf("minutes", Infinity) * 60_000
let next = from
let lastSaid = began

const progress = (): void => {
  if (performance.now() - lastSaid < 30_000) return
  lastSaid = performance.now()
  console.error(`${totals.seeds} of ${seeds} seeds, ${totals.steps} steps, ${totals.failed} failed`)
}

const isLeft = (): boolean => next < from + seeds && totals.failed < stopAfter && performance.now() < until

/** Tasks per child: a crashed world leaves timers of the platform behind, with the memory that they hold. */
const tasksOfWorker = 6

const work = async (): Promise<void> => {
  let worker = new Worker(program)
  for (let n = 1; isLeft(); n++) {
    if (n % tasksOfWorker === 0) {
      worker.end()
      worker = new Worker(program)
    }
    const mine = task(next)
    next += mine.seeds
    const answer: Answer = await worker.run(mine)
    Totals.add(totals, answer)
    answer.failed.forEach(say)
    progress()
  }
  worker.end()
}

const program = await bundle()
try {
  await Promise.all(Array.from({ length: jobs }, work))
} finally {
  program.remove()
}
const seconds = (performance.now() - began) / 1000
console.log(JSON.stringify(Totals.report(totals, seconds), null, 2))
const short = coverage(totals)
for (const [group, names] of short) console.log(`hit less than 10 times: ${group}: ${names.join(", ")}`)
// a sweep that ran nothing has shown nothing, so it fails
process.exitCode = totals.failed === 0 && totals.seeds > 0 ? 0 : 1
