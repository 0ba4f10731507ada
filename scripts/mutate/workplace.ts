/** Makes a copy of the project for plain node, which contains every mutant behind a switch. */
import { transformSync } from "esbuild"
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import type { Mutant } from "./instrument.js"
import { instrument } from "./instrument.js"

export const root = path.resolve(import.meta.dirname, "..", "..")

export interface Workplace {
  /** the copy */
  readonly folder: string
  readonly mutants: ReadonlyArray<Mutant>
  readonly remove: () => void
}

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
  "README.md"
]

/** The module with the switch. The worker sets `control`; a process that a test starts reads its environment. */
const switchSource = (mutants: number): string => `
export const count = ${mutants}
export const control = { chosen: Number(process.env.MEERKAT_MUTANT ?? "-1"), reached: null }
export const __m = (id) => {
  if (control.reached !== null) control.reached[id] = 1
  return id === control.chosen
}
`

/** Hooks that resolve packages by other names, for the whole process. */
const hooksSource = `
const instead = new Map([
  ["vitest", new URL("./scripts/mutate/harness.js", import.meta.url).href],
  ["effect-meerkat", new URL("./src/index.js", import.meta.url).href],
  ["effect-meerkat/sqlite", new URL("./layers/RuntimeStoreSqlite.js", import.meta.url).href]
])
export const resolve = (name, context, next) => {
  const url = instead.get(name)
  return url === undefined ? next(name, context) : { url, shortCircuit: true }
}
`

export const isMutated = (file: string): boolean =>
  file.endsWith(".ts") && !file.endsWith(".d.ts") && (file.startsWith("src/kernel/") || file.startsWith("layers/"))

const filesOf = (base: string, folder: string): ReadonlyArray<string> =>
  fs.readdirSync(path.join(base, folder), { recursive: true, encoding: "utf8" })
    .map((name) => path.join(folder, name).split(path.sep).join("/"))
    .filter((name) => name.endsWith(".ts") && !name.endsWith(".d.ts"))
    .sort()

export const testFiles = (): ReadonlyArray<string> => filesOf(root, "test").filter((file) => file.endsWith(".test.ts"))

/** Compiles the copy. Names are kept, so that a file finds its neighbours and child processes find their files. */
const compile = (folder: string): void => {
  const tsconfigRaw = { compilerOptions: { verbatimModuleSyntax: true } }
  for (
    const file of ["src", "services", "layers", "test", "examples", "scripts"].flatMap((of) => filesOf(folder, of))
  ) {
    const at = path.join(folder, file)
    const { code } = transformSync(fs.readFileSync(at, "utf8"), {
      loader: "ts",
      format: "esm",
      target: "node20",
      tsconfigRaw,
      sourcefile: file
    })
    fs.writeFileSync(at.replace(/\.ts$/, ".js"), code)
  }
}

/** Copies, rewrites and compiles the project in its own folder. */
export const prepare = (): Workplace => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "meerkat-mutants-"))
  for (const name of copied) fs.cpSync(path.join(root, name), path.join(folder, name), { recursive: true })
  fs.symlinkSync(path.join(root, "node_modules"), path.join(folder, "node_modules"))
  fs.writeFileSync(path.join(folder, "mutantHooks.js"), hooksSource)
  const mutants: Array<Mutant> = []
  for (const file of [...filesOf(root, "src/kernel"), ...filesOf(root, "layers")].filter(isMutated)) {
    const up = path.relative(path.dirname(file), "mutantSwitch.js")
    const written = instrument(file, fs.readFileSync(path.join(root, file), "utf8"), mutants.length, up)
    mutants.push(...written.mutants)
    fs.writeFileSync(path.join(folder, file), written.text)
  }
  fs.writeFileSync(path.join(folder, "mutantSwitch.js"), switchSource(mutants.length))
  compile(folder)
  return { folder, mutants, remove: () => fs.rmSync(folder, { recursive: true, force: true }) }
}

/** Returns a number that depends on seed and mutant alone. */
const lot = (seed: number, key: string): number =>
  createHash("sha256").update(`${seed}|${key}`).digest().readUInt32BE(0)

/** Draws mutants from each file in proportion to its size, at least one. */
export const sampled = (mutants: ReadonlyArray<Mutant>, size: number, seed: number): ReadonlyArray<Mutant> => {
  const byFile = new Map<string, Array<Mutant>>()
  for (const mutant of mutants) byFile.set(mutant.file, [...(byFile.get(mutant.file) ?? []), mutant])
  return [...byFile.values()].flatMap((of) =>
    of.toSorted((a, b) => lot(seed, a.key) - lot(seed, b.key))
      .slice(0, Math.max(1, Math.round((size * of.length) / mutants.length)))
  )
}
