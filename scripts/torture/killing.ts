/** Runs worlds of all kinds until enough processes were killed. */
import type { Programs } from "./bundle.js"
import { type Counts, noCounts, world } from "./kills.js"
import { runs } from "./runs.js"

export interface KillingOptions {
  readonly seed: number
  readonly kills: number
  readonly perWorld: number
  /** how many worlds run concurrently */
  readonly lanes: number
  readonly say: (text: string) => void
}

/** The seed decides what world `n` does; what is killed decides how many worlds run. */
export const killing = async (programs: Programs, options: KillingOptions): Promise<Counts> => {
  const counts = noCounts()
  let begun = 0
  let next = 0
  const lane = async () => {
    while (begun < options.kills && counts.violations.length === 0) {
      const kills = Math.min(options.perWorld, options.kills - begun)
      begun += kills
      const n = next++
      const of = { seed: options.seed + n, kills, every: 5 }
      const kind = kindOf(n)
      await (kind === "run" ? runs(programs, of, counts) : world(programs, { ...of, kind }, counts))
      options.say(
        `${counts.kills} kills, ${counts.acks} acknowledged, ${counts.violations.length} violations (${kind}, seed ${of.seed})`
      )
    }
  }
  await Promise.all(Array.from({ length: options.lanes }, lane))
  return counts
}

// --- internal ---

/** Of six worlds three run turns inside the process, two run programs, and one is `meerkat run`. */
const kindOf = (n: number) =>
  (["library", "command", "library", "run", "library", "command"] as const)[n % 6] ?? "library"
