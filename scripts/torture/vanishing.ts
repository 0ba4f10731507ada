/**
 * A store file that is removed, replaced or renamed while a process holds it, also with its log or its folder. Called by
 * `npm run torture -- --only vanishing` and its short form. Each round checks that the program ends with 7, that the
 * rescued file opens, and that it contains every acknowledged commit.
 */
import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync } from "node:fs"
import { join } from "node:path"
import type { Programs } from "./bundle.js"
import { type Random, random } from "./random.js"
import { puppet } from "./strings.js"
import * as World from "./world.js"

export interface VanishingCounts {
  rounds: number
  told: number
  rescued: number
  acknowledged: number
  readonly damages: Record<string, number>
  readonly violations: Array<string>
}

/** Runs rounds of a bare store and of the program in turn, each with a random damage. */
export const vanishing = async (programs: Programs, rounds: number, seed: number): Promise<VanishingCounts> => {
  const counts: VanishingCounts = { rounds: 0, told: 0, rescued: 0, acknowledged: 0, damages: {}, violations: [] }
  for (let n = 0; n < rounds && counts.violations.length === 0; n++) {
    const chance = random(seed + n)
    const [name, script] = chance.pick(damages)
    const at = World.folder("vanishing")
    mkdirSync(join(at.path, "in"))
    const round: Round = {
      programs,
      chance,
      counts,
      at: { ...at, db: join(at.path, "in", "s.db") },
      damage: () => damaged(at.path, script),
      wrong: (what) => counts.violations.push(`vanishing seed ${seed + n}, ${name}: ${what}`)
    }
    await (n % 2 === 0 ? bare(round) : program(round))
    counts.rounds++
    counts.damages[name] = (counts.damages[name] ?? 0) + 1
    if (counts.violations.length === 0) at.remove()
  }
  return counts
}

// --- internal ---

interface Round {
  readonly programs: Programs
  readonly chance: Random
  readonly counts: VanishingCounts
  readonly at: World.Folder
  readonly damage: () => void
  readonly wrong: (what: string) => void
}

type Damage = readonly [name: string, script: string]

const damages: readonly [Damage, ...ReadonlyArray<Damage>] = [
  ["the file is removed", "rm in/s.db"],
  ["the file and its log are removed", "rm in/s.db in/s.db-wal"],
  ["everything is removed", "rm -f in/s.db*"],
  ["the file is renamed", "mv in/s.db in/t.db"],
  ["the log is removed", "rm in/s.db-wal"],
  ["the log is replaced", "cp in/s.db-wal l; mv l in/s.db-wal"],
  ["the file is replaced by a copy", "cp in/s.db c; mv c in/s.db"],
  ["the file is replaced by a link", "mv in/s.db in/t; ln -s t in/s.db"],
  ["the folder is renamed", "mv in out"],
  ["the folder is removed", "rm -r in"],
  ["the folder is made again", "rm -r in; mkdir in"]
]

const damaged = (folder: string, script: string): void => {
  spawnSync("/bin/sh", ["-c", script], { cwd: folder })
}

/** Tests a holder that commits: it reports the loss at the first commit after the damage and acknowledges no other. */
const bare = async ({ at, chance, counts, damage, programs, wrong }: Round): Promise<void> => {
  const one = await puppet({ program: programs.puppet, wrong }, [at.db])
  await one.tell("open")
  const commits = 1 + chance.below(20)
  for (let n = 0; n < commits; n++) {
    const answer = await one.tell(`commit ${chance.pick([10, 2000, 50_000])}`)
    if (answer.acknowledged !== n) wrong(`commit ${n} was answered ${JSON.stringify(answer)}`)
  }
  counts.acknowledged += commits
  damage()
  const told = await one.tell("commit 100")
  const again = await one.tell("commit 100")
  if (told.error === "StoreLost" && again.error === "StoreLost") counts.told++
  else wrong(`after the damage commits were answered ${JSON.stringify([told, again])}`)
  await one.release()
  const saved = told.rescued ?? ""
  if (!existsSync(saved)) return wrong(`nothing was rescued: ${JSON.stringify(told)}`)
  const next = await puppet({ program: programs.puppet, wrong }, [saved])
  const opened = await next.tell("open")
  // the file also contains the commit that was not acknowledged
  if (opened.opened === commits + 1) counts.rescued++
  else wrong(`${commits} were acknowledged, and the rescued file has ${JSON.stringify(opened)}`)
  await next.release()
}

/** Tests the program: the damage happens while its agent works, before or after the answer. */
const program = async ({ at, chance, counts, damage, programs, wrong }: Round): Promise<void> => {
  const run = (db: string, command: string, args: ReadonlyArray<string>) =>
    World.start(programs.meerkat, [command, "--db", db, ...args], at)
  const first = await run(at.db, "run", ["--session", "s", "--exec", "echo one", "first"]).ended
  if (first.code !== 0) return wrong(`the first turn failed: ${first.stderr}`)
  counts.acknowledged++
  const started = join(at.path, "started")
  const agent = `touch '${started}'; sleep 0.${1 + chance.below(9)}; echo two`
  const second = run(at.db, "run", ["--session", "s", "--exec", agent, "second"])
  while (!existsSync(started)) await World.sleep(2)
  await World.sleep(chance.below(80))
  damage()
  const ended = await World.within(60, second.process, second.ended, wrong, "the program did not end")
  if (ended.code === 7) counts.told++
  else return wrong(`it ended with ${ended.code ?? ended.signal ?? ""}: ${ended.stdout} ${ended.stderr}`)
  const saved = /saved as (\S+?\.rescued-\d+)/.exec(ended.stderr)?.[1] ?? ""
  if (!existsSync(saved)) return wrong(`nothing was rescued: ${ended.stderr}`)
  const resumed = await run(saved, "resume", ["--exec", "echo two"]).ended
  const history = await run(saved, "history", ["s", "--json"]).ended
  const found = ["one", "two"].map((text) => history.stdout.split(`"text":"${text}"`).length - 1)
  if (resumed.code === 0 && found.join() === "1,1") counts.rescued++
  else wrong(`the rescued file has ${found.join()} answers: ${resumed.stderr} ${history.stderr}`)
}
