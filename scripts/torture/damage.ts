/** Damages store files: every fact that is read afterwards is what was written, or an error. */
import Sqlite from "better-sqlite3"
import * as Exit from "effect/Exit"
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { type Random, random } from "./random.js"
import * as Template from "./template.js"

export const damages = [
  "bit of the file",
  "bit of the file after a crash",
  "bit of the log",
  "log cut",
  "page lost",
  "page swapped",
  "file cut"
] as const
export type Damage = typeof damages[number]

export interface DamageCounts {
  trials: number
  refused: number
  reported: number
  harmless: number
  /** facts that were read, but never written */
  readonly violations: Array<string>
  readonly kinds: Record<string, number>
}

export const noDamage = (): DamageCounts => ({
  trials: 0,
  refused: 0,
  reported: 0,
  harmless: 0,
  violations: [],
  kinds: {}
})

const pageSize = 512

/** Damages a copy and says where. */
const damage = (kind: Damage, file: string, chance: Random): string => {
  const path = kind === "bit of the log" || kind === "log cut" ? `${file}-wal` : file
  const bytes = readFileSync(path)
  const at = chance.below(bytes.length)
  const page = Math.floor(at / pageSize)
  switch (kind) {
    case "bit of the file":
    case "bit of the file after a crash":
    case "bit of the log":
      bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << chance.below(8)), at)
      writeFileSync(path, bytes)
      return kind === "bit of the log" ? `log offset ${at}` : `offset ${at} in ${tableOf(file, page + 1)}`
    case "log cut":
    case "file cut":
      writeFileSync(path, bytes.subarray(0, at))
      return `offset ${at}`
    case "page lost":
      bytes.fill(0, page * pageSize, (page + 1) * pageSize)
      writeFileSync(path, bytes)
      return `page ${page + 1}`
    case "page swapped": {
      const other = chance.below(bytes.length / pageSize)
      bytes.copy(bytes, page * pageSize, other * pageSize, (other + 1) * pageSize)
      writeFileSync(path, bytes)
      return `page ${page + 1} is page ${other + 1}`
    }
  }
}

const tables = new Map<string, ReadonlyMap<number, string>>()
let current = ""

/** Returns the table of a page; computed once per template. */
const tableOf = (_: string, page: number): string => tables.get(current)?.get(page) ?? "no table"

const learn = (path: string) => {
  current = path
  if (tables.has(path)) return
  const file = Template.copied(path)
  const db = new Sqlite(file)
  const rows = db.prepare("SELECT pageno, name FROM dbstat").all()
  db.close()
  rmSync(join(file, ".."), { recursive: true })
  tables.set(
    path,
    new Map(rows.flatMap((row) =>
      typeof row === "object" && row !== null && "pageno" in row && "name" in row
        ? [[Number(row.pageno), String(row.name)]]
        : []
    ))
  )
}

/** Lists what was read but not written. Quarantined rows may be missing from lists. */
const lies = (truth: Template.Survey, found: Template.Survey, aside: number): ReadonlyArray<string> =>
  Array.from(truth).flatMap(([what, fact]) => {
    const now = found.get(what)
    if (now === undefined || "refused" in now || "refused" in fact || now.said === fact.said) return []
    if (aside > 0 && isSubset(now.said, fact.said)) return []
    return [what]
  })

const isSubset = (part: string, whole: string): boolean => {
  const [rows, all]: ReadonlyArray<unknown> = [JSON.parse(part), JSON.parse(whole)]
  if (!Array.isArray(rows) || !Array.isArray(all)) return false
  const known = new Set(all.map((row) => JSON.stringify(row)))
  return rows.every((row) => known.has(JSON.stringify(row)))
}

/** Runs one trial: copies the files, damages them and reads everything. */
export const trial = async (
  templates: Template.Template,
  truth: Template.Survey,
  kind: Damage,
  seed: number,
  counts: DamageCounts
): Promise<void> => {
  const chance = random(seed)
  const from = kind === "bit of the file after a crash" || kind === "bit of the log" || kind === "log cut"
    ? templates.crashed
    : templates.closed
  learn(from)
  const file = Template.copied(from)
  const where = damage(kind, file, chance)
  const exit = await Template.survey(file)
  counts.trials++
  const count = (what: "refused" | "reported" | "harmless" | "silent") => {
    counts.kinds[`${kind}: ${what}`] = (counts.kinds[`${kind}: ${what}`] ?? 0) + 1
    if (what !== "silent") counts[what]++
  }
  if (Exit.isFailure(exit)) {
    if (Template.isTyped(exit)) count("refused")
    else {
      count("silent")
      counts.violations.push(`${kind}, seed ${seed}, ${where}: a defect: ${String(exit.cause).slice(0, 200)}`)
    }
  } else {
    const { aside, facts } = exit.value
    const wrong = lies(truth, facts, aside)
    const refusals = Array.from(facts.values()).filter((fact) => "refused" in fact).length
    if (wrong.length > 0) {
      count("silent")
      counts.violations.push(`${kind}, seed ${seed}, ${where}: ${wrong.slice(0, 4).join("; ")}`)
    } else count(refusals > 0 || aside > 0 ? "reported" : "harmless")
  }
  if (existsSync(file)) rmSync(join(file, ".."), { recursive: true, force: true })
}

/** Runs the same number of trials of every kind. */
export const damaging = async (trials: number, seed: number): Promise<DamageCounts> => {
  const templates = await Template.template()
  const intact = await Template.survey(Template.copied(templates.closed))
  if (Exit.isFailure(intact)) throw new Error(`the template cannot be read: ${String(intact.cause)}`)
  const counts = noDamage()
  for (let n = 0; n < trials; n++) {
    for (const [i, kind] of damages.entries()) {
      await trial(templates, intact.value.facts, kind, seed + n * damages.length + i, counts)
    }
  }
  templates.remove()
  return counts
}
