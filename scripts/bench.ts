/**
 * Measures the machine against raw programs of the same run and prints one table.
 *
 * `npm run bench -- [--quick] [--write] [--only name,name] [--profile folder]`; exits with 1 if a workload fails.
 *
 * Every workload runs in its own process, on JavaScript that was transpiled before. Ratios are medians of pairs that
 * were measured alternately. L is the rate of a raw program with one row per FULL commit in the same process.
 */
import { mkdirSync, writeFileSync } from "node:fs"
import { cpus } from "node:os"
import { join } from "node:path"
import type { Row } from "./bench/support.js"
import { root, transpile } from "./bench/transpile.js"
import * as Options from "./options.js"

const { has, text } = Options.read({ texts: ["only", "profile"], flags: ["quick", "write"] })
const quick = has("quick")
const only = text("only")?.split(",") ?? null
if (has("write") && only !== null) Options.refuse("--write needs the rows of all workloads: omit --only")

const out = await transpile()

const child = (flags: ReadonlyArray<string>, name: string) =>
  out.run("child.js", [name, JSON.stringify({ quick })], flags)

/** Counts workloads that failed and names that do not exist. */
let failures = 0

const failed = (name: string, note: string): Row => ({
  what: name,
  value: Number.NaN,
  unit: "",
  atMost: true,
  bar: null,
  moonshot: null,
  note: `failed: ${note}`
})

const measure = (name: string): ReadonlyArray<Row> => {
  process.stderr.write(`${name} …\n`)
  const folder = text("profile")
  const flags = folder === undefined
    ? []
    : ["--cpu-prof", `--cpu-prof-name=${name}.cpuprofile`, `--cpu-prof-dir=${folder}`]
  const { status, stderr, stdout } = child(flags, name)
  process.stderr.write(stderr)
  if (status === 0) return JSON.parse(stdout.trim().split("\n").at(-1) ?? "[]") as ReadonlyArray<Row>
  failures++
  const lines = stderr.split("\n").filter((line) => line.includes("Error"))
  return [failed(name, (lines[0] ?? `exit ${status}`).slice(0, 120))]
}

const shown = (value: number, unit: string): string => {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : Math.abs(value) >= 1 ? 2 : 4
  return `${Number(value.toFixed(digits))} ${unit}`.trim()
}

const verdictOf = ({ atMost, bar, moonshot, value }: Row): string => {
  if (Number.isNaN(value)) return "–"
  const meets = (level: number) => atMost ? value <= level : value >= level
  if (moonshot !== null && meets(moonshot)) return "moonshot"
  if (bar === null) return "–"
  if (meets(bar)) return "bar"
  return bar === 0 ? "missed" : `missed by ${Math.round(Math.abs(value - bar) / bar * 100)} %`
}

const line = (row: Row): string => {
  const side = row.atMost ? "≤" : "≥"
  const level = (value: number | null) => value === null ? "–" : `${side} ${shown(value, row.unit)}`
  const value = Number.isNaN(row.value) ? "–" : shown(row.value, row.unit)
  const note = row.note === undefined || row.note === "" ? "" : ` (${row.note})`
  return `| ${row.what} | ${level(row.bar)} | ${level(row.moonshot)} | ${value}${note} | ${verdictOf(row)} |`
}

const header = (): ReadonlyArray<string> => [
  "# Benchmarks",
  "",
  `${new Date().toISOString().slice(0, 10)}, node ${process.version}, ${process.platform} ${process.arch}, ` +
  `${cpus().length} cores, \`npm run bench${quick ? " -- --quick" : ""}\`.`,
  "",
  "Ratios are medians of pairs measured in turns. L is what a raw program with one small row per commit reaches in the",
  "same process at the same time (better-sqlite3, WAL, `synchronous = FULL`). Where other work shares the machine,",
  "figures move by a fifth or more from run to run: compare the ratios, not the milliseconds.",
  "",
  "| what | bar | moonshot | measured | verdict |",
  "|---|---|---|---|---|"
]

try {
  const names = JSON.parse(child([], "names").stdout) as ReadonlyArray<string>
  for (const name of only ?? []) {
    if (names.includes(name)) continue
    failures++
    process.stderr.write(`there is no workload "${name}"; there are ${names.join(", ")}\n`)
  }
  const rows = names.filter((name) => only === null || only.includes(name)).flatMap(measure)
  const table = [...header(), ...rows.map(line), ""].join("\n")
  process.stdout.write(table)
  if (has("write")) {
    mkdirSync(join(root, "docs"), { recursive: true })
    writeFileSync(join(root, "docs", "verification", "benchmarks.md"), table)
  }
  process.exitCode = failures === 0 ? 0 : 1
} finally {
  out.remove()
}
