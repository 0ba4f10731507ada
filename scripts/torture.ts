/**
 * Kills real processes and damages real files: `npm run torture -- --kills 2000 [--seed S]
 * [--only kills|poison|holders|vanishing|damage|space] [--rounds N] [--lanes N]`. The seed decides the actions and their
 * delays; the speed of the machine decides what a process is doing at that moment. Prints the results as JSON. Ends with 1
 * if an acknowledged commit was lost or doubled, or damaged data was served.
 */
import * as Options from "./options.js"
import { bundle } from "./torture/bundle.js"
import { damaging } from "./torture/damage.js"
import { holding } from "./torture/holders.js"
import { killing } from "./torture/killing.js"
import { poisoning } from "./torture/poison.js"
import { filling } from "./torture/space.js"
import { vanishing } from "./torture/vanishing.js"

const { number, text } = Options.read({
  numbers: { kills: 1, seed: 0, rounds: 1, lanes: 1, "per-world": 1 },
  texts: ["only"]
})

const seed = number("seed", Math.floor(performance.timeOrigin) % 1_000_000)
const rounds = number("rounds", 60)
const say = (line: string) => void process.stderr.write(`${line}\n`)

/** The result of a part, with its violations. */
interface Done {
  readonly violations: ReadonlyArray<string>
}

const parts: Readonly<Record<string, () => Promise<Done>>> = {
  kills: () =>
    killing(programs, {
      seed,
      kills: number("kills", 2000),
      perWorld: number("per-world", 40),
      lanes: number("lanes", 1),
      say
    }),
  poison: () => poisoning(programs, Math.max(2, Math.ceil(rounds / 6)), seed),
  holders: () => holding(programs, rounds, seed),
  vanishing: () => vanishing(programs, rounds, seed),
  damage: () => damaging(rounds * 5, seed),
  space: async () => {
    const done = await filling(programs, rounds, seed)
    for (const [name, why] of Object.entries(done.notRun)) say(`space: NOT RUN: ${name}: ${why}`)
    return done
  }
}

const only = text("only")
const chosen = only === undefined ? Object.keys(parts) : only.split(",")
const strange = chosen.filter((name) => parts[name] === undefined)
if (strange.length > 0) {
  Options.refuse(`unknown part "${strange.join()}"; the parts are ${Object.keys(parts).join(", ")}`)
}
const programs = bundle()
const summary: Record<string, unknown> = { seed, parts: chosen }
let violations = 0
for (const [name, part] of Object.entries(parts)) {
  if (!chosen.includes(name)) continue
  const began = performance.now()
  const done = await part()
  violations += done.violations.length
  summary[name] = { seconds: Math.round((performance.now() - began) / 1000), ...done }
  say(`${name}: ${done.violations.length} violations`)
}
programs.remove()
console.log(JSON.stringify({ ...summary, violations }, null, 2))
process.exitCode = violations === 0 ? 0 : 1
