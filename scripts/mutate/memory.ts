/** Stores what earlier runs found out, outside the sources: verdicts, compiler results and coverage. */
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import type { Known, Reach } from "./campaign.js"
import type { Mutant } from "./instrument.js"
import type { Test } from "./runner.js"
import type { Result } from "./verdict.js"
import { root } from "./workplace.js"

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

/** Compiles only the mutants whose file has changed since. */
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

interface StoredReach {
  readonly digest: string
  readonly ms: number
  readonly passed: boolean
  /** places in `keys` */
  readonly reached: ReadonlyArray<number>
}

interface Stored {
  readonly keys: ReadonlyArray<string>
  readonly tests: Record<string, StoredReach>
}

const stored = (): Stored => {
  const text = read("reach.json")
  return text === "" ? { keys: [], tests: {} } : JSON.parse(text) as Stored
}

export interface Reaches extends Known {
  readonly isNew: (id: number) => boolean
  readonly save: () => void
}

/**
 * Stores what each passed test reached, until its file changes. A change of the sources does not invalidate it: a
 * mutant that is unknown since then runs against all tests of its file. A test counts only if it passes again without
 * the mutant (`runner.ts`). A test that failed runs again each time.
 */
export const reaches = (mutants: ReadonlyArray<Mutant>): Reaches => {
  const before = stored()
  const ids = new Map(mutants.map(({ id, key }) => [key, id]))
  const keys = before.keys.slice()
  const places = new Map(keys.map((key, place) => [key, place]))
  const known = new Set(before.keys)
  const tests = { ...before.tests }
  const digests = new Map<string, string>()
  let reused = false
  const digestOf = (file: string): string => {
    const of = digests.get(file) ?? digest(fs.readFileSync(path.join(root, file), "utf8"))
    digests.set(file, of)
    return of
  }
  const placeOf = (id: number): ReadonlyArray<number> => {
    const key = mutants[id]?.key
    if (key === undefined) return []
    const place = places.get(key) ?? keys.push(key) - 1
    places.set(key, place)
    return [place]
  }
  const nameOf = ({ file, name }: Test): string => `${file} ${name}`
  return {
    get: (test) => {
      const of = tests[nameOf(test)]
      if (of === undefined || of.digest !== digestOf(test.file)) return undefined
      const old = before.tests[nameOf(test)] === of
      if (old && !of.passed) return undefined
      reused ||= old
      return { ...of, reached: of.reached.flatMap((place) => ids.get(keys[place] ?? "") ?? []) }
    },
    put: (test, { ms, passed, reached }: Reach) => {
      tests[nameOf(test)] = { digest: digestOf(test.file), ms, passed, reached: reached.flatMap(placeOf) }
    },
    isNew: (id) => reused && !known.has(mutants[id]?.key ?? ""),
    save: () => {
      if (!reused) { for (const { id } of mutants) placeOf(id) }
      fs.mkdirSync(folder, { recursive: true })
      fs.writeFileSync(path.join(folder, "reach.json"), JSON.stringify({ keys, tests } satisfies Stored))
    }
  }
}
