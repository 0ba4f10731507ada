/** A copy of the project in which every mutant is present, and which of them a test reaches. */
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import type { Mutant } from "./sites.js"
import { rewrite } from "./sites.js"

export const root = path.resolve(import.meta.dirname, "..", "..")
export const workplace = process.env["MUTATE_FOLDER"] ?? path.join(os.tmpdir(), "meerkat-mutants")
export const copy = path.join(workplace, "project")

const copied = [
  "src",
  "services",
  "layers",
  "test",
  "examples",
  "scripts",
  "docs",
  "package.json",
  "tsconfig.json",
  "vitest.config.ts",
  "README.md"
]

/** Runs before everything else in a file that was rewritten: which mutant is on, or which are reached by which test. */
const switchSource = `
import * as fs from "node:fs"
const chosen = Number(process.env.MUTANT ?? "-1")
const cover = process.env.MUTANT_COVER
const out = cover === undefined ? null : fs.openSync(cover, "a")
const seen = new Map()
const nameOf = (task) => {
  const names = []
  for (let at = task; at !== undefined && at !== null; at = at.suite) names.unshift(at.name)
  return names.join(" ")
}
const reached = (id) => {
  const worker = globalThis.__vitest_worker__
  const task = worker?.current ?? null
  const ids = seen.get(task) ?? new Set()
  if (ids.has(id)) return false
  ids.add(id)
  seen.set(task, ids)
  if (out !== null) {
    const line = [worker?.filepath ?? "", task === null ? "" : nameOf(task), id]
    fs.writeSync(out, JSON.stringify(line) + "\\n")
  }
  return false
}
export const __m = cover === undefined ? (id) => id === chosen : reached
`

const mutated = (file: string): boolean =>
  file.endsWith(".ts") && !file.endsWith(".d.ts") && (file.startsWith("src/kernel/") || file.startsWith("layers/"))

const filesOf = (folder: string): ReadonlyArray<string> =>
  fs.readdirSync(path.join(root, folder), { recursive: true, encoding: "utf8" })
    .map((name) => path.join(folder, name).split(path.sep).join("/"))
    .sort()

/** Copies and rewrites the project. */
export const prepare = (): ReadonlyArray<Mutant> => {
  fs.rmSync(copy, { recursive: true, force: true })
  fs.mkdirSync(copy, { recursive: true })
  for (const name of copied) {
    fs.cpSync(path.join(root, name), path.join(copy, name), { recursive: true })
  }
  fs.symlinkSync(path.join(root, "node_modules"), path.join(copy, "node_modules"))
  fs.writeFileSync(path.join(copy, "mutantSwitch.js"), switchSource)
  const mutants: Array<Mutant> = []
  for (const file of [...filesOf("src/kernel"), ...filesOf("layers")].filter(mutated)) {
    const up = path.relative(path.dirname(file), "mutantSwitch.js")
    const written = rewrite(file, fs.readFileSync(path.join(root, file), "utf8"), mutants.length, up)
    mutants.push(...written.mutants)
    fs.writeFileSync(path.join(copy, file), written.text)
  }
  return mutants
}

/** A number that depends on the seed and the mutant alone. */
export const lot = (seed: number, key: string): number =>
  createHash("sha256").update(`${seed}|${key}`).digest().readUInt32BE(0)

/** As many of each file as its share says, at least one. */
export const sampled = (mutants: ReadonlyArray<Mutant>, size: number, seed: number): ReadonlyArray<Mutant> => {
  const byFile = new Map<string, Array<Mutant>>()
  for (const mutant of mutants) byFile.set(mutant.file, [...(byFile.get(mutant.file) ?? []), mutant])
  return [...byFile.values()].flatMap((of) =>
    of.toSorted((a, b) => lot(seed, a.key) - lot(seed, b.key))
      .slice(0, Math.max(1, Math.round((size * of.length) / mutants.length)))
  )
}
