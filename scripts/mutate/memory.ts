/** What earlier runs found out, kept outside the sources: verdicts, and what the compiler said. */
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import type { Mutant } from "./instrument.js"
import { root } from "./workplace.js"

export type Verdict = "caught" | "survived" | "unreached"

export interface Result {
  readonly key: string
  readonly file: string
  readonly line: number
  readonly group: string
  readonly operator: string
  readonly code: string
  readonly verdict: Verdict
  /** "failed", "hung", "killed the process", "does not load"; empty unless caught */
  readonly how: string
  /** the test that caught it */
  readonly by: string
  /** how many tests reach it, and how many of them ran */
  readonly reachedBy: number
  readonly ran: number
  /** some of the tests that reach it */
  readonly tests: ReadonlyArray<string>
}

const folder = path.join(root, "node_modules", ".cache", "meerkat-mutate")
const read = (name: string): string => {
  const at = path.join(folder, name)
  return fs.existsSync(at) ? fs.readFileSync(at, "utf8") : ""
}

/** The last verdict of each mutant. */
export const results = (): ReadonlyMap<string, Result> => {
  const lines = read("results.jsonl").split("\n").filter((line) => line !== "")
  return new Map(lines.map((line) => JSON.parse(line) as Result).map((result) => [result.key, result]))
}

export const remember = (result: Result): void => {
  fs.mkdirSync(folder, { recursive: true })
  fs.appendFileSync(path.join(folder, "results.jsonl"), `${JSON.stringify(result)}\n`)
}

const compiled = (): Record<string, boolean> => {
  const text = read("compiles.json")
  return text === "" ? {} : JSON.parse(text) as Record<string, boolean>
}

const digest = (text: string): string => createHash("sha256").update(text).digest("hex").slice(0, 16)

/** Asks only for those whose file has changed since. */
export const onceCompiled = (
  mutants: ReadonlyArray<Mutant>,
  ask: (unknown: ReadonlyArray<Mutant>) => ReadonlySet<number>
): ReadonlyArray<Mutant> => {
  const known = compiled()
  const digests = new Map<string, string>()
  const nameOf = ({ file, key }: Mutant): string => {
    const of = digests.get(file) ?? digest(fs.readFileSync(path.join(root, file), "utf8"))
    digests.set(file, of)
    return `${of} ${key}`
  }
  const unknown = mutants.filter((mutant) => known[nameOf(mutant)] === undefined)
  const good = unknown.length === 0 ? new Set<number>() : ask(unknown)
  for (const mutant of unknown) known[nameOf(mutant)] = good.has(mutant.id)
  fs.mkdirSync(folder, { recursive: true })
  fs.writeFileSync(path.join(folder, "compiles.json"), JSON.stringify(known))
  return mutants.filter((mutant) => known[nameOf(mutant)] === true)
}
