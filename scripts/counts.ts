/**
 * Counts the cost of a turn, a registration and a recovery, and compares the figures with the recorded budgets.
 *
 * `npm run bench:counts [-- --write]`; ends with 1 when a figure exceeds its budget by more than 5 %. `--write` records
 * figures that fell; a budget that rises is edited by hand, with the reason in the commit.
 *
 * Counts hardly depend on the machine. Bytes do a little: their budgets allow 10 %.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { root, transpile } from "./bench/transpile.js"
import * as Options from "./options.js"

const file = join(root, "scripts", "bench", "budgets.json")
const { has } = Options.read({ flags: ["write"] })

interface Budget {
  /** The highest recorded figure. */
  readonly budget: number
  /** The target of the project. */
  readonly bar?: number
}

const allowance = (name: string): number => /bytes|heap/.test(name) ? 1.1 : 1.05

const measure = async (): Promise<Readonly<Record<string, number>>> => {
  const built = await transpile()
  try {
    const { status, stderr, stdout } = built.run("counts.js", [])
    process.stderr.write(stderr)
    if (status !== 0) throw new Error(`the counting process ended with ${status}`)
    return JSON.parse(stdout.trim().split("\n").at(-1) ?? "{}") as Readonly<Record<string, number>>
  } finally {
    built.remove()
  }
}

const figures = await measure()
const budgets = JSON.parse(readFileSync(file, "utf8")) as Record<string, Budget>
let exceeded = 0
const lines: Array<string> = ["| what | counted | budget | bar |", "|---|---|---|---|"]
const next: Record<string, Budget> = {}
for (const [name, value] of Object.entries(figures)) {
  const known = budgets[name]
  const over = known !== undefined && value > known.budget * allowance(name) + 0.01
  if (over) exceeded++
  lines.push(`| ${name} | ${value} | ${known?.budget ?? "new"}${over ? " **exceeded**" : ""} | ${known?.bar ?? "–"} |`)
  next[name] = known === undefined ? { budget: value } : { ...known, budget: Math.min(known.budget, value) }
}
const missing = Object.keys(budgets).filter((name) => figures[name] === undefined)
for (const name of missing) lines.push(`| ${name} | **not counted** | ${budgets[name]?.budget} | – |`)
process.stdout.write(`${lines.join("\n")}\n`)
if (has("write")) writeFileSync(file, `${JSON.stringify(next, null, 2)}\n`)
const failures = exceeded + missing.length
process.stdout.write(failures === 0 ? "all counts are within their budgets\n" : `${failures} budgets do not hold\n`)
process.exitCode = failures === 0 ? 0 : 1
