import { defaults, simulate } from "../src/testkit/Simulation.js"

const argument = (name: string, fallback: number): number => {
  const at = process.argv.indexOf(`--${name}`)
  return at < 0 ? fallback : Number(process.argv[at + 1])
}
const from = argument("seed", argument("from", 0))
const seeds = process.argv.includes("--seed") ? 1 : argument("seeds", 1000)
const crashes = argument("crashes", defaults.crashes)

const totals = {
  steps: 0,
  restarts: 0,
  faults: 0,
  operations: {} as Record<string, number>,
  errors: {} as Record<string, number>
}
const add = (into: Record<string, number>, what: Readonly<Record<string, number>>) => {
  for (const [key, n] of Object.entries(what)) into[key] = (into[key] ?? 0) + n
}
const began = performance.now()
let failed = 0
for (let seed = from; seed < from + seeds; seed++) {
  if (process.argv.includes("--verbose")) console.error(`seed ${seed}`)
  const report = simulate({ ...defaults, crashes, seed })
  totals.steps += report.steps
  totals.restarts += report.restarts
  totals.faults += Object.values(report.faults).reduce((a, b) => a + b, 0)
  add(totals.operations, report.operations)
  add(totals.errors, report.errors)
  if (report.violations.length > 0) {
    failed++
    console.log(`seed ${seed}:`)
    for (const violation of report.violations.slice(0, 5)) console.log(`  ${violation.slice(0, 600)}`)
    if (failed >= argument("stop-after", 10)) break
  }
}
const seconds = (performance.now() - began) / 1000
console.log(
  JSON.stringify(
    { seeds, failed, seconds: Math.round(seconds), perSecond: Math.round(seeds / seconds), ...totals },
    null,
    2
  )
)
process.exitCode = failed === 0 ? 0 : 1
