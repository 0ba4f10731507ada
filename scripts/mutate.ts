/**
 * Shows that the tests can fail: `npm run mutate -- [--size 300] [--seed 1] [--only layers/internal] [--list]`.
 *
 * It removes guards, orders, steps, uninterruptible regions and bounds of `src/kernel` and `layers`, one at a time. For
 * each mutant it runs the tests that reach it, cheapest first, until one fails.
 *
 *   --size N      how many mutants to draw, from each file in proportion (300)
 *   --seed S      which mutants to draw (1)
 *   --whole G,H   draw all mutants of these groups too: uninterruptible, ordering, removal, guard, bound
 *   --only PATH   draw only mutants of files whose path begins with this
 *   --tests PATH  run only test files whose path contains this, or one of several with commas
 *   --budget N    the seconds that the tests of one mutant may take without it (40)
 *   --part PATH   try only the drawn mutants of files whose path begins with this
 *   --long        run sweeps over seeds and explorations too
 *   --again       try only drawn mutants that were not caught last time and are not explained
 *   --list        print the sample and run nothing
 *   --report      write docs/verification/mutation.md from the results of earlier runs on the sample
 */
import { writeFileSync } from "node:fs"
import * as path from "node:path"
import { cover, tryOne } from "./mutate/campaign.js"
import { compiling } from "./mutate/compiles.js"
import { explained } from "./mutate/explained.js"
import type { Mutant } from "./mutate/instrument.js"
import { onceCompiled, reaches, remember, results } from "./mutate/memory.js"
import { report, summary } from "./mutate/report.js"
import { makeRunner } from "./mutate/runner.js"
import type { Result } from "./mutate/verdict.js"
import { prepare, root, sampled, testFiles } from "./mutate/workplace.js"
import * as Options from "./options.js"

const { has: isGiven, number, text } = Options.read({
  numbers: { size: 1, seed: 0, budget: 1 },
  texts: ["only", "tests", "part", "whole"],
  flags: ["long", "again", "list", "report"]
})
const say = (text: string): void => void process.stderr.write(`${text}\n`)

/** Tests that run programs and packages in other processes, where the mutants do not exist. */
const outside = /^test\/(?:cli|torture|mutate|simulation)\/|^test\/(?:package|readme|guides)\./

const size = number("size", 300)
const seed = number("seed", 1)
const only = text("only") ?? ""
const whole = (text("whole") ?? "").split(",").filter((group) => group !== "")
const wanted = (text("tests") ?? "").split(",")

const workplace = prepare()
process.on("exit", workplace.remove)
process.on("SIGINT", () => process.exit(130))
process.on("SIGTERM", () => process.exit(143))

const all = workplace.mutants.filter(({ file }) => file.startsWith(only))
const lots = new Set(sampled(all, size, seed))
const drawn = all.filter((mutant) => lots.has(mutant) || whole.includes(mutant.group))
const sample = onceCompiled(drawn, (mutants) => compiling(mutants, say))
say(`${workplace.mutants.length} mutants, ${drawn.length} drawn, ${sample.length} of them compile`)
if (sample.length === 0) Options.refuse(`no mutant was drawn: no file with mutants begins with "${only}"`)

const describe = ({ code, file, line, operator }: Mutant | Result): string => `${file}:${line} ${operator}: ${code}`

const part = sample.filter(({ file }) => file.startsWith(text("part") ?? ""))
if (part.length === 0) Options.refuse(`the sample has no mutant in files that begin with "${text("part") ?? ""}"`)

const known = (): ReadonlyArray<Result> => {
  const all = results()
  return part.flatMap(({ key, line }) => {
    const result = all.get(key)
    return result === undefined ? [] : [{ ...result, line }]
  })
}

const run = async (mutants: ReadonlyArray<Mutant>): Promise<void> => {
  const files = testFiles().filter((file) => !outside.test(file) && wanted.some((part) => file.includes(part)))
  const runner = makeRunner(workplace.folder, files, say)
  process.on("exit", runner.stop)
  const reach = reaches(workplace.mutants)
  const coverage = await cover(runner, isGiven("long"), reach, say)
  reach.save()
  for (const name of coverage.broken) say(`left out, because it fails here without a mutant: ${name}`)
  const files_ = new Map(workplace.mutants.map(({ file, id }) => [id, file]))
  const trial = {
    budgetMs: number("budget", 40) * 1000,
    fileOf: (id: number) => files_.get(id),
    isNew: reach.isNew
  }
  let n = 0
  for (const mutant of mutants) {
    const result = await tryOne(runner, coverage, mutant, trial)
    remember(result)
    const by = result.verdict === "caught" ? `${result.how}: ${result.by}` : `${result.ran} tests ran`
    say(`${++n}/${mutants.length} ${result.verdict} ${describe(mutant)} (${by})`)
  }
  runner.stop()
}

const open = (): ReadonlyArray<Mutant> => {
  const before = results()
  const reasons = new Set(explained.map(({ key }) => key))
  return part.filter(({ key }) => before.get(key)?.verdict !== "caught" && !reasons.has(key))
}
const chosen = isGiven("again") ? open() : part

if (isGiven("list")) {
  for (const mutant of chosen) console.log(describe(mutant))
} else if (isGiven("report")) {
  const tried = known()
  if (tried.length < sample.length) {
    Options.refuse(`only ${tried.length} of ${sample.length} drawn mutants were tried: run the others, then report`)
  }
  const text = report(tried, explained, { seed, size, whole, drawn: drawn.length, all: all.length })
  writeFileSync(path.join(root, "docs", "verification", "mutation.md"), text)
} else await run(chosen)
if (!isGiven("list")) {
  const { lines, ok } = summary(known(), explained)
  console.log(lines.join("\n"))
  process.exitCode = ok ? 0 : 1
}
