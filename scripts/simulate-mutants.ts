/**
 * `npm run simulate:mutants -- [--seeds N] [--only TEXT] [--preempt P]`: plants one bug after another and tells how
 * many seeds a sweep needs to find it. Exits with 1 if a bug is not found within N (2,000) seeds, or if its seed also
 * fails without the bug.
 */
import * as Options from "./options.js"
import { mutants, plugin } from "./simulate/mutants.js"
import { breaksUnplanted, bundle, Worker } from "./simulate/workers.js"

const options = Options.read({ numbers: { seeds: 1, preempt: 0 }, texts: ["only"] })
const limit = options.number("seeds", 2000)
const only = options.text("only")
const preempt = options.has("preempt") ? options.number("preempt", 0) : null

const search = async (name: string): Promise<number | null> => {
  const program = await bundle(plugin(mutants[name] ?? []))
  const worker = new Worker(program)
  try {
    for (let from = 0; from < limit; from += 10) {
      const task = {
        from,
        seeds: Math.min(10, limit - from),
        preempt,
        sqlite: false,
        shrink: false,
        stopAtFirst: true,
        lines: 0
      }
      const [failed] = (await worker.run(task)).failed
      if (failed === undefined) continue
      if (await breaksUnplanted(task, failed.seed)) {
        console.log(`${name}: seed ${failed.seed} fails WITHOUT IT TOO: ${failed.violations[0]?.slice(0, 160)}`)
        return null
      }
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
if (names.length === 0) {
  console.error(`no planted bug has "${only ?? ""}" in its name: ${Object.keys(mutants).join("; ")}`)
}
const lost: Array<string> = []
for (const name of names) if (await search(name) === null) lost.push(name)
console.log(`${names.length - lost.length} of ${names.length} planted bugs were found`)
process.exitCode = lost.length === 0 && names.length > 0 ? 0 : 1
