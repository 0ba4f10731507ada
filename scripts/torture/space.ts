/**
 * Fills the disk in every way that this machine allows. A commit then fails with a typed error, acknowledged commits
 * stay, and the store continues when there is room again.
 */
import { spawnSync } from "node:child_process"
import { existsSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Programs } from "./bundle.js"
import { type Random, random } from "./random.js"
import { type Answer, type Puppet, puppet } from "./strings.js"
import * as World from "./world.js"

export interface SpaceCounts {
  rounds: number
  acknowledged: number
  /** refused commits and openings, by kind of limit and error */
  readonly refused: Record<string, number>
  /** how each kind of limit was set on this machine */
  readonly ran: Record<string, string>
  /** kinds of limit that this machine cannot set, and why */
  readonly notRun: Record<string, string>
  readonly violations: Array<string>
}

export const noSpace = (): SpaceCounts => ({
  rounds: 0,
  acknowledged: 0,
  refused: {},
  ran: {},
  notRun: {},
  violations: []
})

/** Runs rounds of all kinds in turn. */
export const filling = async (programs: Programs, rounds: number, seed: number): Promise<SpaceCounts> => {
  const counts = noSpace()
  for (let n = 0; n < rounds && counts.violations.length === 0; n++) {
    const [name, kind] = kinds[n % kinds.length] ?? kinds[0]
    const at = World.folder("space")
    const chance = random(seed + n)
    const wrong = (what: string) => counts.violations.push(`space, ${name}, seed ${seed + n}: ${what}`)
    const how = await kind({ program: programs.puppet, at, chance, counts, name, wrong })
    if (how === null) counts.notRun[name] = "no mount namespaces here"
    else {
      counts.ran[name] = how
      counts.rounds++
    }
    if (counts.violations.length === 0) at.remove()
  }
  return counts
}

// --- internal ---

interface Round {
  readonly program: string
  readonly at: World.Folder
  readonly chance: Random
  readonly counts: SpaceCounts
  readonly name: string
  readonly wrong: (what: string) => void
}

const said = (answer: Answer): string => JSON.stringify(answer)

/** A COMMIT that the medium cuts off is unknown until it is looked up; the round then checks what is stored. */
const expected = new Set(["StoreFull", "StoreIo", "StoreUnavailable", "StoreOutcomeUnknown"])

const refusal = ({ counts, name, wrong }: Round, answer: Answer): boolean => {
  if (answer.error === undefined || !expected.has(answer.error)) {
    wrong(`no typed error of a full medium: ${said(answer)}`)
    return false
  }
  const what = `${name}: ${answer.error}${answer.code === undefined ? "" : ` ${answer.code}`}`
  counts.refused[what] = (counts.refused[what] ?? 0) + 1
  return true
}

/** Commits of all sizes until three in a row are refused; returns how many were acknowledged. */
const fill = async (round: Round, one: Puppet, from: number): Promise<number> => {
  let next = from
  let refused = 0
  for (let n = 0; n < 2000 && refused < 3; n++) {
    const answer = await one.tell(`commit ${round.chance.pick([10, 500, 4000, 20_000, 60_000])}`)
    if (answer.acknowledged === next) {
      next++
      round.counts.acknowledged++
      refused = 0
    } else if (refusal(round, answer)) refused++
    else return next
  }
  if (refused < 3) round.wrong("the limit was never reached")
  return next
}

/** Checks that exactly the acknowledged commits are stored, and that one more fits. */
const intact = async (round: Round, one: Puppet, acknowledged: number): Promise<number> => {
  const { count } = await one.tell("count")
  if (count !== acknowledged) round.wrong(`${acknowledged} were acknowledged, there are ${count ?? "none"}`)
  const more = await one.tell("commit 2000")
  if (more.acknowledged !== acknowledged) round.wrong(`there is room, and a commit fails: ${said(more)}`)
  return acknowledged + 1
}

/** Opens the file in another process, without limits. */
const afresh = async (round: Round, acknowledged: number): Promise<void> => {
  const one = await puppet(round, [round.at.db])
  const opened = await one.tell("open")
  if (opened.opened === undefined) round.wrong(`it cannot be opened any more: ${said(opened)}`)
  else await intact(round, one, acknowledged)
  await one.release()
}

const limited = (blocks: number): ReadonlyArray<string> => [
  "/bin/sh",
  "-c",
  `ulimit -S -f ${blocks}; exec "$@"`,
  "sh"
]

/** Limits the file size of the process: the write fails in the middle of a transaction. */
const fileSize = async (round: Round): Promise<string> => {
  const { at, chance, wrong } = round
  const one = await puppet(round, [at.db], limited(200 + chance.below(800)))
  const opened = await one.tell("open")
  if (opened.opened !== 0) wrong(`it does not open: ${said(opened)}`)
  let acknowledged = await fill(round, one, 0)
  const raised = spawnSync("prlimit", ["--pid", String(one.pid), "--fsize=unlimited"]).status === 0
  if (raised) acknowledged = await intact(round, one, acknowledged)
  if (chance.chance(0.5)) one.kill("SIGKILL")
  await one.release()
  await afresh(round, acknowledged)
  return `ulimit -f, ${raised ? "raised by prlimit while the store was open" : "raised for the next process only"}`
}

/** Reaches the limit while the store is made or opened. */
const opening = async (round: Round): Promise<string> => {
  const { at, chance, wrong } = round
  const full = await puppet(round, [at.db], limited(chance.below(70)))
  const refused = await full.tell("open")
  let acknowledged = 0
  if (refused.opened === undefined) refusal(round, refused)
  else acknowledged = await fill(round, full, 0)
  await full.release()
  await afresh(round, acknowledged)
  const again = await puppet(round, [at.db], limited(chance.below(6)))
  const answer = await again.tell("open")
  if (answer.opened === undefined) refusal(round, answer)
  await again.release()
  if (answer.defect !== undefined) wrong(`a defect: ${answer.defect}`)
  await afresh(round, acknowledged + 1)
  return "ulimit -f before the store is opened"
}

/** Uses the store's own limit. */
const pageCount = async (round: Round): Promise<string> => {
  const { at, chance } = round
  const one = await puppet(round, [at.db, String(150_000 + chance.below(300_000))])
  await one.tell("open")
  const acknowledged = await fill(round, one, 0)
  if (chance.chance(0.5)) one.kill("SIGKILL")
  await one.release()
  await afresh(round, acknowledged)
  return "maxFileBytes, which is max_page_count"
}

/** Runs a program in its own mount namespace, which ends with the process. */
const mounted = (
  script: string
): ReadonlyArray<string> => ["unshare", "-rm", "/bin/sh", "-c", `${script}; exec "$@"`, "sh"]

const canMount = (script: string): boolean => {
  const [command = "", ...args] = mounted(script)
  return spawnSync(command, [...args, "true"]).status === 0
}

/** Uses a full medium, with a file on it that can be removed to make room. */
const medium = async (round: Round): Promise<string | null> => {
  const { at, chance, wrong } = round
  const ballast = join(at.path, "ballast")
  const script = `mount -t tmpfs -o size=${1 + chance.below(3)}m tmpfs '${at.path}' || exit 9
    head -c ${200_000 + chance.below(300_000)} /dev/zero > '${ballast}'; cd /`
  if (!canMount(script)) return null
  const one = await puppet(round, [at.db], mounted(script))
  const opened = await one.tell("open")
  if (opened.opened !== 0) wrong(`it does not open: ${said(opened)}`)
  let acknowledged = await fill(round, one, 0)
  const inside = `/proc/${one.pid}/root${ballast}`
  if (!existsSync(inside)) wrong("the ballast cannot be reached")
  rmSync(inside, { force: true })
  acknowledged = await intact(round, one, acknowledged)
  acknowledged = await fill(round, one, acknowledged)
  await one.tell("close")
  const again = await one.tell("open")
  if (again.opened === undefined) refusal(round, again)
  else if (again.opened !== acknowledged) wrong(`${acknowledged} were acknowledged: ${said(again)}`)
  await one.release()
  return "a tmpfs of a few megabytes in a mount namespace"
}

/** Uses a read-only folder. */
const readOnly = async (round: Round): Promise<string | null> => {
  const { at, wrong } = round
  const first = await puppet(round, [at.db])
  await first.tell("open")
  await first.tell("commit 5000")
  if (round.chance.chance(0.5)) first.kill("SIGKILL")
  await first.release()
  writeFileSync(join(at.path, "marker"), "")
  const script = `mount --bind '${at.path}' '${at.path}' && mount -o remount,bind,ro '${at.path}' || exit 9; cd /`
  if (!canMount(script)) return null
  const one = await puppet(round, [at.db], mounted(script))
  const answer = await one.tell("open")
  if (answer.error === "StoreUnavailable") refusal(round, answer)
  else wrong(`a read-only folder: ${said(answer)}`)
  const read = await one.tell("look")
  if (read.count !== 1) wrong(`a reader in a read-only folder: ${said(read)}`)
  await one.release()
  await afresh(round, 1)
  return "a read-only bind mount in a mount namespace"
}

const kinds: readonly [Kind, ...ReadonlyArray<Kind>] = [
  ["limit of a file's size", fileSize],
  ["limit of pages", pageCount],
  ["full medium", medium],
  ["read-only folder", readOnly],
  ["limit while opening", opening]
]

/** A kind of limit. Its round returns how the limit was set; null if this machine cannot set it. */
type Kind = readonly [name: string, round: (round: Round) => Promise<string | null>]
