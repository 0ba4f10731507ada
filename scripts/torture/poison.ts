/**
 * Inputs that are in flight when their process dies. In one kind of round the turn of one input kills the process again
 * and again, beside twenty harmless inputs: only that input may be abandoned. In the other kind the process is killed from
 * outside three times in a row: at most the input that ran alone may be abandoned.
 */
import type { Programs } from "./bundle.js"
import * as Image from "./image.js"
import { random } from "./random.js"
import * as World from "./world.js"

const innocents = 20
/** The maximum of lives: more than the poison can kill, plus one life per suspect. */
const mostLives = 40

export interface PoisonCounts {
  rounds: number
  kills: number
  completed: number
  abandoned: number
  readonly violations: Array<string>
}

export const poisoning = async (programs: Programs, rounds: number, seed: number): Promise<PoisonCounts> => {
  const counts: PoisonCounts = { rounds: 0, kills: 0, completed: 0, abandoned: 0, violations: [] }
  for (let n = 0; n < rounds && counts.violations.length === 0; n++) {
    await round(programs, n % 2 === 0 ? "inside" : "outside", seed + n, counts)
    counts.rounds++
  }
  return counts
}

// --- internal ---

const round = async (programs: Programs, kind: "inside" | "outside", seed: number, counts: PoisonCounts) => {
  const at = World.folder(`poison-${kind}`)
  const chance = random(seed)
  const wrong = (what: string) => counts.violations.push(`poison ${kind}, seed ${seed}: ${what} (${at.path})`)
  const inside = kind === "inside"
  const sessions = inside ? innocents + 1 : innocents
  let kills = 0
  for (let lives = 0;; lives++) {
    if (lives > mostLives) return wrong(`the inputs have not ended after ${lives} lives`)
    // long turns while the process must still be killed from outside
    const outside = !inside && kills < 3
    const pause = outside ? 60_000 : 20 + chance.below(80)
    const life = World.start(programs.victim, [at.db, `${sessions}`, `${pause}`, inside ? "1" : "0"], at)
    if (outside) {
      await World.within(60, life.process, life.ready, wrong, `life ${lives} was not ready`)
      await World.sleep(100 + chance.below(200))
      life.process.kill("SIGKILL")
    }
    const end = await World.within(120, life.process, life.ended, wrong, `life ${lives} did not end`)
    if (end.code === 0) break
    if (end.signal !== "SIGKILL") {
      return wrong(`life ${lives} ended with ${end.code ?? end.signal ?? ""}: ${end.stderr}`)
    }
    kills++
    counts.kills++
  }
  const image = await Image.read(at.db)
  const inputs = image?.sessions.flatMap(({ inputs, sessionId }) => inputs.map((input) => ({ ...input, sessionId }))) ??
    []
  if (inputs.length !== sessions) wrong(`${inputs.length} of ${sessions} inputs are stored`)
  const ofPhase = (phase: string) => inputs.filter((input) => input.phase === phase).map(({ sessionId }) => sessionId)
  const given = ofPhase("abandoned")
  counts.abandoned += given.length
  counts.completed += ofPhase("consumed").length
  if (given.length + ofPhase("consumed").length !== sessions) wrong("an input is still open")
  if (inside && given.join() !== "v0") wrong(`abandoned: ${given.join()}`)
  if (!inside && given.length > 1) wrong(`abandoned: ${given.join()}`)
  if (inside && kills > 4) wrong(`the poison killed ${kills} processes`)
  if (counts.violations.length === 0) at.remove()
}
