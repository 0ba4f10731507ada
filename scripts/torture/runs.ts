/**
 * Runs `meerkat run` as people use it: one prompt per process. It kills the process at random moments and repeats the
 * prompt with the same key. Known from outside: a prompt whose agent began was accepted, and a printed answer is
 * durable.
 */
import { existsSync, readFileSync } from "node:fs"
import type { Programs } from "./bundle.js"
import { type Counts, emptiedOf, type Hit, kill, tally, verified } from "./kills.js"
import type { Entry } from "./log.js"
import { random } from "./random.js"
import type { Seen } from "./verify.js"
import * as World from "./world.js"

export interface RunsOptions {
  readonly seed: number
  readonly kills: number
  readonly every: number
}

export const runs = async (programs: Programs, options: RunsOptions, counts: Counts): Promise<void> => {
  const at = World.folder("run")
  const chance = random(options.seed)
  const killed = new Set<number>()
  const seen: Seen = new Map()
  const printed: Array<Entry> = []
  const asked = new Map<string, string>()
  const wrong = (what: string) => counts.violations.push(`run seed ${options.seed}: ${what}`)
  const entries = () => [...agents(at.agentLog), ...printed]
  const check = (finished: boolean) => verified(at, { entries: entries(), killed }, seen, finished, counts, wrong)
  const ask = (life: number, key: string, last: boolean) => run(programs, at, life, asked.get(key) ?? "", key, last)
  let life = 0
  let key = ""
  for (let kills = 0; kills < options.kills && counts.violations.length === 0; life++) {
    if (key === "" || chance.chance(0.3)) {
      const session = `s${chance.below(3)}`
      key = `${session}.${life}${chance.chance(0.03) ? ".slow" : ""}`
      asked.set(key, session)
    }
    const began = performance.now()
    const process = ask(life, key, false)
    await Promise.race([process.ended, World.sleep(chance.below(900))])
    process.process.kill("SIGKILL")
    const end = await process.ended
    counts.msAlive += performance.now() - began
    counts.restarts++
    if (end.signal === "SIGKILL") {
      kills++
      counts.kills++
      killed.add(life)
      const hit = hitOf(agents(at.agentLog), life)
      counts.hits[hit] = (counts.hits[hit] ?? 0) + 1
    } else told(end, life, asked.get(key) ?? "", key, printed, wrong)
    const left = await emptiedOf(pidsOf(at.agentLog, life), 20_000)
    if (left.length > 0) wrong(`life ${life}: agents ${left.join(", ")} outlive it`)
    if (end.signal !== "SIGKILL") key = ""
    else if (kills % options.every === 0) await check(false)
  }
  if (counts.violations.length === 0) {
    for (const each of asked.keys()) {
      const last = ask(life, each, true)
      const end = await World.within(300, last.process, last.ended, wrong, `the last run of ${each} did not end`)
      told(end, life, asked.get(each) ?? "", each, printed, wrong)
      life++
    }
    await check(true)
    // the watcher of a killed program waits for the grace of five seconds
    const left = await World.emptied(at, 20_000)
    if (left.length > 0) wrong(`processes ${left.join(", ")} outlive the grace`)
  }
  tally(entries(), counts)
  for (const pid of World.living(at)) kill(pid)
  if (counts.violations.length === 0) at.remove()
  else counts.violations.push(`kept: ${at.path}`)
}

// --- internal ---

const run = (programs: Programs, at: World.Folder, life: number, session: string, key: string, last: boolean) =>
  World.start(
    programs.meerkat,
    ["run", "--db", at.db, "--session", session, "--key", key, "--json", key, "--", "/bin/sh", programs.agent],
    at,
    { TORTURE_LOG: at.agentLog, TORTURE_LIFE: String(life), TORTURE_DRAIN: last ? "1" : "0" }
  )

/** Returns the outcome that the program printed. */
const told = (
  end: World.End,
  life: number,
  session: string,
  key: string,
  printed: Array<Entry>,
  wrong: (what: string) => void
): void => {
  const text = end.code === 0 ? answerOf(end.stdout) : undefined
  if (text !== undefined) printed.push({ _: "done", life, session, key, end: `Completed ${text}` })
  else if (end.code === 1 && /ended with the process \d times/.test(end.stderr + end.stdout)) {
    printed.push({ _: "done", life, session, key, end: "Abandoned" })
  } else wrong(`life ${life} of ${key} ended with ${end.code ?? end.signal ?? ""}: ${end.stdout}${end.stderr}`)
}

const answerOf = (stdout: string): string | undefined => {
  const value: unknown = JSON.parse(stdout)
  return typeof value === "object" && value !== null && "text" in value && typeof value.text === "string"
    ? value.text
    : undefined
}

interface Line {
  readonly what: string
  readonly life: number
  readonly key: string
  readonly pid: number
  readonly run: string
}

const lines = (path: string): ReadonlyArray<Line> =>
  (existsSync(path) ? readFileSync(path, "utf8") : "").split("\n").flatMap((line) => {
    const [what = "", life, key = "", pid, run = ""] = line.split(" ")
    return what === "" || run === "" ? [] : [{ what, life: Number(life), key, pid: Number(pid), run }]
  })

const sessionOf = (key: string): string => key.split(".")[0] ?? ""

const agents = (path: string): ReadonlyArray<Entry> =>
  lines(path).flatMap(({ key, life, pid, run, what }): ReadonlyArray<Entry> => {
    const session = sessionOf(key)
    const answer = `${key} answered by ${pid}.${run}`
    return what === "end" ? [{ _: "end", life, session, key, answer }] : [
      { _: "ack", life, session, key, id: "", fresh: true },
      { _: "start", life, session, key, answer: "" }
    ]
  })

const pidsOf = (path: string, life: number): ReadonlyArray<number> =>
  lines(path).flatMap((line) => line.life === life && line.what === "start" ? [line.pid] : [])

const hitOf = (entries: ReadonlyArray<Entry>, life: number): Hit => {
  const own = entries.filter((entry) => entry.life === life)
  const starts = own.filter(({ _ }) => _ === "start").length
  const ends = own.filter(({ _ }) => _ === "end").length
  return starts === 0 ? "starting" : starts > ends ? "in a turn" : "closing"
}
