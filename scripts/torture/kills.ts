/** Kills lives of the driver by SIGKILL at random moments, and verifies their store afterwards. */
import type { Programs } from "./bundle.js"
import type { Job } from "./driver.js"
import * as Image from "./image.js"
import type { Entry } from "./log.js"
import * as Log from "./log.js"
import { type Random, random } from "./random.js"
import { type Said, type Seen, verify } from "./verify.js"
import * as World from "./world.js"

export type Kind = "library" | "command" | "run"

/** What the process did when it was killed, as its log shows. */
export type Hit =
  | "starting"
  | "opening the store"
  | "recovering"
  | "in a turn"
  | "accepting"
  | "idle"
  | "closing"
  | "none"

export interface Counts {
  kills: number
  restarts: number
  acks: number
  completions: number
  answers: number
  interrupted: number
  budgets: number
  verified: number
  msAlive: number
  readonly hits: Record<string, number>
  readonly violations: Array<string>
}

export const noCounts = (): Counts => ({
  kills: 0,
  restarts: 0,
  acks: 0,
  completions: 0,
  answers: 0,
  interrupted: 0,
  budgets: 0,
  verified: 0,
  msAlive: 0,
  hits: {},
  violations: []
})

export interface WorldOptions {
  /** "library": executors inside the process; "command": each run is a program. "run" is in `runs.ts` */
  readonly kind: "library" | "command"
  readonly seed: number
  readonly kills: number
  /** the file is verified after this many kills, and at the end */
  readonly every: number
}

/** Runs one world from its first life to the last, which finishes everything and is not killed. */
export const world = async (programs: Programs, options: WorldOptions, counts: Counts): Promise<void> => {
  const at = World.folder(options.kind)
  const chance = random(options.seed)
  const killed = new Set<number>()
  const seen: Seen = new Map()
  const wrong = (what: string) => counts.violations.push(`${options.kind} seed ${options.seed}: ${what}`)
  const job = (life: number, drain: boolean): Job => ({
    db: at.db,
    log: at.log,
    life,
    seed: options.seed,
    sessions: options.kind === "library" ? 8 : 3,
    executor: options.kind,
    agent: programs.agent,
    agentLog: at.agentLog,
    drain
  })
  const check = (finished: boolean) =>
    verified(at, { entries: Log.read(at.log), killed }, seen, finished, counts, wrong)
  let life = 0
  for (let kills = 0; kills < options.kills && counts.violations.length === 0; life++) {
    const began = performance.now()
    const hit = await oneLife(programs, job(life, false), at, chance, wrong)
    counts.msAlive += performance.now() - began
    counts.restarts++
    if (hit !== "none") {
      kills++
      counts.kills++
      killed.add(life)
      counts.hits[hit] = (counts.hits[hit] ?? 0) + 1
    }
    const left = await World.emptied(at, 15_000)
    if (left.length > 0) wrong(`life ${life}: processes ${left.join(", ")} outlive it`)
    if (hit !== "none" && kills % options.every === 0) await check(false)
  }
  if (counts.violations.length === 0) {
    const last = await drain(programs, job(life, true), at)
    if (last !== undefined) wrong(last)
    await check(true)
  }
  tally(Log.read(at.log), counts)
  for (const pid of World.living(at)) kill(pid)
  if (counts.violations.length === 0) at.remove()
  else counts.violations.push(`kept: ${at.path}`)
}

/** Reads the file and compares it with the log. */
export const verified = async (
  at: World.Folder,
  said: Said,
  seen: Seen,
  finished: boolean,
  counts: Counts,
  wrong: (what: string) => void
): Promise<void> => {
  const image = await Image.read(at.db)
  if (image === undefined) {
    if (said.entries.some(({ _ }) => _ === "ack") || finished) wrong("the store is gone")
    return
  }
  counts.verified++
  for (const violation of verify(image, said, seen, finished)) wrong(violation)
}

// --- internal ---

export const kill = (pid: number) => {
  try {
    process.kill(pid, "SIGKILL")
  } catch {
    // the process has ended meanwhile
  }
}

/** Runs one life and kills it at random: while it starts, works or closes. */
const oneLife = async (
  programs: Programs,
  job: Job,
  at: World.Folder,
  chance: Random,
  wrong: (what: string) => void
): Promise<Hit> => {
  const life = World.start(programs.driver, [JSON.stringify(job)], at)
  const early = chance.chance(0.25)
  const closes = !early && chance.chance(0.12)
  if (early) await World.sleep(chance.below(400))
  else {
    await World.within(120, life.process, life.ready, wrong, `life ${job.life} was not ready`)
    await World.sleep(chance.below(chance.chance(0.1) ? 800 : 180))
    if (closes) {
      life.process.kill("SIGTERM")
      await World.sleep(chance.below(25))
    }
  }
  life.process.kill("SIGKILL")
  const end = await life.ended
  if (end.signal === "SIGKILL") return hitOf(Log.read(at.log), job.life)
  if (end.code !== 0 || !closes) {
    wrong(`life ${job.life} ended by itself: ${end.code ?? ""} ${end.signal ?? ""} ${end.stderr}`)
  }
  return "none"
}

const drain = async (programs: Programs, job: Job, at: World.Folder): Promise<string | undefined> => {
  const life = World.start(programs.driver, [JSON.stringify(job)], at)
  const timer = setTimeout(() => life.process.kill("SIGKILL"), 300_000)
  const end = await life.ended
  clearTimeout(timer)
  return end.code === 0
    ? undefined
    : `the last life did not finish: ${end.code ?? ""} ${end.signal ?? ""} ${end.stderr}`
}

const hitOf = (entries: ReadonlyArray<Entry>, life: number): Hit => {
  let hit: Hit = "starting"
  const turns = new Map<string, number>()
  let offers = 0
  for (const entry of entries) {
    if (entry.life !== life) continue
    const name = "session" in entry ? `${entry.session} ${entry.key}` : ""
    if (entry._ === "phase") hit = phases[entry.phase]
    else if (entry._ === "start") turns.set(name, 1)
    else if (entry._ === "end" || entry._ === "fail" || entry._ === "interrupt") turns.delete(name)
    else if (entry._ === "offer") offers++
    else if (entry._ === "ack") offers--
  }
  if (hit !== "idle") return hit
  return turns.size > 0 ? "in a turn" : offers > 0 ? "accepting" : "idle"
}

const phases = {
  begun: "opening the store",
  opened: "recovering",
  ready: "idle",
  closing: "closing",
  closed: "closing"
} as const

export const tally = (entries: ReadonlyArray<Entry>, counts: Counts): void => {
  const acked = new Set<string>()
  const done = new Set<string>()
  for (const entry of entries) {
    if (entry._ === "ack") acked.add(`${entry.session} ${entry.key}`)
    if (entry._ === "done") done.add(`${entry.session} ${entry.key} ${entry.end}`)
    if (entry._ === "end") counts.answers++
    if (entry._ === "interrupt") counts.interrupted++
  }
  counts.acks += acked.size
  counts.completions += done.size
  counts.budgets += Array.from(done).filter((line) => line.endsWith(" Abandoned")).length
}

/** Returns the processes that still live after `withinMs`. */
export const emptiedOf = async (pids: ReadonlyArray<number>, withinMs: number): Promise<ReadonlyArray<number>> => {
  const until = performance.now() + withinMs
  let left = pids.filter(World.lives)
  while (left.length > 0 && performance.now() < until) {
    await World.sleep(5)
    left = left.filter(World.lives)
  }
  return left
}
