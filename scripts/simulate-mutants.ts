/**
 * `npm run simulate:mutants -- [--seeds N] [--only TEXT] [--preempt P]`: plants one bug after the other and says how many seeds a sweep
 * needs to find it. Exits with 1 when one is not found within N (2,000) seeds.
 */
import { mutants, plugin } from "./simulate/mutants.js"
import { bundle, Worker } from "./simulate/workers.js"

const after = (name: string): string | undefined => {
  const at = process.argv.indexOf(`--${name}`)
  return at < 0 ? undefined : process.argv[at + 1]
}
const limit = Number(after("seeds") ?? 2000)
const only = after("only")
const preempt = after("preempt")

const search = async (name: string): Promise<number | null> => {
  const program = await bundle(plugin(mutants[name] ?? []))
  const worker = new Worker(program)
  try {
    for (let from = 0; from < limit; from += 10) {
      const answer = await worker.run({
        from,
        seeds: Math.min(10, limit - from),
        preempt: preempt === undefined ? null : Number(preempt),
        sqlite: false,
        shrink: false,
        stopAtFirst: true,
        lines: 0
      })
      const [failed] = answer.failed
      if (failed === undefined) continue
      const needed = failed.seed + 1
      console.log(`${name}: found with seed ${failed.seed} (${needed} seeds): ${failed.violations[0]?.slice(0, 160)}`)
      return needed
    }
    console.log(`${name}: NOT FOUND in ${limit} seeds`)
    return null
  } finally {
    worker.end()
    program.remove()
  }
}

const names = Object.keys(mutants).filter((name) => only === undefined || name.includes(only))
const lost: Array<string> = []
for (const name of names) if (await search(name) === null) lost.push(name)
console.log(`${names.length - lost.length} of ${names.length} planted bugs were found`)
process.exitCode = lost.length === 0 ? 0 : 1
