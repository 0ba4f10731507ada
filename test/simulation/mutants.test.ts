import { assert, describe, it } from "@effect/vitest"
import { mutants, plugin } from "../../scripts/simulate/mutants.js"
import { breaksUnplanted, bundle, Worker } from "../../scripts/simulate/workers.js"

/** The mutants that a short sweep finds. `npm run simulate:mutants` looks for all of them. */
const quick = [
  "publish before durable",
  "ack before write",
  "unknown outcome taken for a refusal",
  "dedup forgotten",
  "waiter settled at a failed attempt",
  "crash budget not counted",
  "cursor moved before the commit",
  "what is staged is written late"
]

/** The number of seeds that a mutant may take. */
const limit = 40

/** Looks for a mutant, and checks that the seed passes without the mutant. */
const found = async (name: string): Promise<string> => {
  const program = await bundle(plugin(mutants[name] ?? []))
  const worker = new Worker(program)
  try {
    const task = { from: 0, seeds: limit, preempt: null, sqlite: false, shrink: false, stopAtFirst: true, lines: 0 }
    const [failed] = (await worker.run(task)).failed
    if (failed === undefined) return "not found"
    return await breaksUnplanted(task, failed.seed) ? `seed ${failed.seed} fails without it too` : "found"
  } finally {
    worker.end()
    program.remove()
  }
}

describe("a planted bug", () => {
  for (const name of quick) {
    it(`is found: ${name}`, { timeout: 120_000 }, async () => {
      assert.isDefined(mutants[name])
      assert.strictEqual(await found(name), "found")
    })
  }
})
