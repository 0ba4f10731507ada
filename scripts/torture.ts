/**
 * Real processes, killed for real: `npm run torture -- --kills 2000 [--seed S] [--only kills|holders|damage|space]`.
 * The seed decides what is done and how long after; what the process is doing then, the machine decides.
 */
import { bundle } from "./torture/bundle.js"
import { type Counts, noCounts, world } from "./torture/kills.js"
import { runs } from "./torture/runs.js"

const argument = (name: string, fallback: number): number => {
  const at = process.argv.indexOf(`--${name}`)
  return at < 0 ? fallback : Number(process.argv[at + 1])
}

const kills = argument("kills", 2000)
const seed = argument("seed", Math.floor(performance.timeOrigin) % 1_000_000)
const perWorld = argument("per-world", 40)
const say = (text: string) => void process.stderr.write(`${text}\n`)

/** Out of six worlds three run their turns inside the process, two as programs, one is `meerkat run`. */
const kindOf = (n: number) =>
  (["library", "command", "library", "run", "library", "command"] as const)[n % 6] ?? "library"

const killing = async (): Promise<Counts> => {
  const programs = bundle()
  const counts = noCounts()
  for (let n = 0; counts.kills < kills && counts.violations.length === 0; n++) {
    const options = { seed: seed + n, kills: Math.min(perWorld, kills - counts.kills), every: 5 }
    const kind = kindOf(n)
    await (kind === "run" ? runs(programs, options, counts) : world(programs, { ...options, kind }, counts))
    say(
      `${counts.kills} kills, ${counts.acks} acknowledged, ${counts.violations.length} violations (${kind}, seed ${options.seed})`
    )
  }
  programs.remove()
  return counts
}

const began = performance.now()
const counts = await killing()
const seconds = (performance.now() - began) / 1000
const { msAlive: _msAlive, violations, ...rest } = counts
console.log(JSON.stringify(
  {
    seed,
    seconds: Math.round(seconds),
    restartsPerSecond: Number((counts.restarts / seconds).toFixed(2)),
    ...rest,
    violations
  },
  null,
  2
))
process.exitCode = violations.length === 0 ? 0 : 1
