/**
 * One file that several processes want. A stopped holder still holds the file. A killed holder releases it, even if it
 * was stopped. Of several processes in a race one gets it. A holder whose lock was removed cannot write.
 */
import { rmSync } from "node:fs"
import type { Programs } from "./bundle.js"
import type { Job } from "./driver.js"
import { kill, noCounts, verified } from "./kills.js"
import * as Log from "./log.js"
import { type Random, random } from "./random.js"
import { type Answer, type Puppet, puppet } from "./strings.js"
import * as World from "./world.js"

export interface HolderCounts {
  rounds: number
  stopped: number
  refused: number
  wentOn: number
  killedWhileStopped: number
  races: number
  fenced: number
  readBeside: number
  readonly violations: Array<string>
}

export const noHolders = (): HolderCounts => ({
  rounds: 0,
  stopped: 0,
  refused: 0,
  wentOn: 0,
  killedWhileStopped: 0,
  races: 0,
  fenced: 0,
  readBeside: 0,
  violations: []
})

/** Runs rounds of all kinds in turn, each in its own world. */
export const holding = async (programs: Programs, rounds: number, seed: number): Promise<HolderCounts> => {
  const counts = noHolders()
  for (let n = 0; n < rounds && counts.violations.length === 0; n++) {
    const chance = random(seed + n)
    const wrong = (what: string) => counts.violations.push(`holders seed ${seed + n}: ${what}`)
    const round = [stopped, race, fenced][n % 3] ?? stopped
    await round({ programs, seed: seed + n, chance, counts, wrong })
    counts.rounds++
  }
  return counts
}

// --- internal ---

interface Round {
  readonly programs: Programs
  readonly seed: number
  readonly chance: Random
  readonly counts: HolderCounts
  readonly wrong: (what: string) => void
}

const said = (answer: Answer): string => JSON.stringify(answer)

/** Stops a busy machine somewhere. Other processes ask for its file. Then it continues or is killed. */
const stopped = async ({ chance, counts, programs, seed, wrong }: Round): Promise<void> => {
  const at = World.folder("holders")
  const job = (life: number, drain: boolean): Job => ({
    db: at.db,
    log: at.log,
    life,
    seed,
    sessions: 4,
    executor: "library",
    agent: programs.agent,
    agentLog: at.agentLog,
    drain
  })
  const acks = () => Log.read(at.log).filter(({ _ }) => _ === "ack").length
  const life = World.start(programs.driver, [JSON.stringify(job(0, false))], at)
  const pid = life.process.pid ?? 0
  const second = await puppet({ program: programs.puppet, wrong }, [at.db])
  await World.within(120, life.process, life.ready, wrong, "the holder was not ready")
  for (let n = 0; n < 4 && counts.violations.length === 0; n++) {
    await World.sleep(chance.below(120))
    life.process.kill("SIGSTOP")
    counts.stopped++
    const before = acks()
    await refusedBy(second, pid, counts, wrong)
    await beside(second, counts, wrong)
    life.process.kill("SIGCONT")
    if (await until(() => acks() > before, 10_000)) counts.wentOn++
    else wrong("the holder did not continue after it was stopped")
  }
  life.process.kill("SIGSTOP")
  await refusedBy(second, pid, counts, wrong)
  life.process.kill("SIGKILL")
  const end = await life.ended
  if (end.signal !== "SIGKILL") wrong(`the holder ended by itself: ${end.code ?? ""} ${end.stderr}`)
  const answer = await second.tell("open")
  if (answer.opened === undefined) wrong(`the file of a killed holder cannot be opened: ${said(answer)}`)
  else counts.killedWhileStopped++
  await second.release()
  const check = noCounts()
  await verified(at, { entries: Log.read(at.log), killed: new Set([0]) }, new Map(), false, check, wrong)
  for (const left of World.living(at)) kill(left)
  if (counts.violations.length === 0) at.remove()
}

const refusedBy = async (
  second: Puppet,
  pid: number,
  counts: HolderCounts,
  wrong: (what: string) => void
): Promise<void> => {
  const answer = await second.tell("open")
  if (answer.error === "StoreLocked" && answer.holder?.includes(`process ${pid} `) === true) counts.refused++
  else wrong(`beside its holder ${pid} the file was opened, or refused in another way: ${said(answer)}`)
}

/** A reader is never kept out, whatever the holder did when it was stopped. */
const beside = async (second: Puppet, counts: HolderCounts, wrong: (what: string) => void): Promise<void> => {
  const answer = await second.tell("look")
  if (answer.count === undefined) wrong(`a reader beside a stopped holder: ${said(answer)}`)
  else counts.readBeside++
}

/** Starts several processes at once: one gets the file, new or used. It is killed, and the others try again. */
const race = async ({ chance, counts, programs, wrong }: Round): Promise<void> => {
  const at = World.folder("race")
  let acknowledged = 0
  for (let n = 0; n < 4; n++) {
    const all = await Promise.all(Array.from({ length: 3 }, () => puppet({ program: programs.puppet, wrong }, [at.db])))
    const answers = await Promise.all(all.map(async (one) => {
      await World.sleep(chance.below(6))
      return one.tell("open")
    }))
    const winners = all.filter((_, i) => answers[i]?.opened !== undefined)
    counts.races++
    if (winners.length > 1 || answers.some(({ error, opened }) => opened === undefined && error !== "StoreLocked")) {
      wrong(`a race ended with ${answers.map(said).join(" ")}`)
    }
    // in a race each may block another for a moment; in sequence the result is certain
    const winner = winners[0] ?? all[0]
    const opened = winners.length > 0 ? answers[all.findIndex((one) => one === winner)] : await winner?.tell("open")
    if ((opened?.opened ?? -1) < acknowledged) wrong(`${acknowledged} acknowledged, found ${said(opened ?? {})}`)
    acknowledged = (opened?.opened ?? 0) + 1
    const committed = await winner?.tell("commit 100")
    if (committed?.acknowledged !== acknowledged - 1) wrong(`the winner cannot commit: ${said(committed ?? {})}`)
    for (const one of all) one.kill("SIGKILL")
    await Promise.all(all.map(({ ended }) => ended))
  }
  at.remove()
}

/** Deletes the lock file of a stopped holder; another process opens the file; then the first one continues. */
const fenced = async ({ counts, programs, wrong }: Round): Promise<void> => {
  const at = World.folder("fenced")
  const first = await puppet({ program: programs.puppet, wrong }, [at.db])
  const second = await puppet({ program: programs.puppet, wrong }, [at.db])
  await first.tell("open")
  await first.tell("commit 100")
  first.kill("SIGSTOP")
  rmSync(`${at.db}.lock`)
  const taken = await second.tell("open")
  await second.tell("commit 100")
  first.kill("SIGCONT")
  const late = await first.tell("commit 100")
  const later = await first.tell("commit 100")
  if (taken.opened !== 1) wrong(`the file without a lock was not opened: ${said(taken)}`)
  if (late.error !== "WriterFenced" || later.error !== "WriterFenced") {
    wrong(`a holder that lost its file wrote, or failed in another way: ${said(late)} ${said(later)}`)
  } else counts.fenced++
  const held = await second.tell("count")
  if (held.count !== 2) wrong(`2 were acknowledged, there are ${said(held)}`)
  await first.release()
  const again = await second.tell("commit 100")
  if (again.acknowledged !== 2) wrong(`the second holder was disturbed by the end of the first: ${said(again)}`)
  await second.release()
  at.remove()
}

const until = async (what: () => boolean, withinMs: number): Promise<boolean> => {
  const end = performance.now() + withinMs
  while (!what()) {
    if (performance.now() > end) return false
    await World.sleep(10)
  }
  return true
}
