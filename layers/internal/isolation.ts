/**
 * The process-wide slot of inputs whose runs ended with an earlier process. One machine owns one `Isolation`; each run
 * loop, and each inline run of such an input, asks it through a pass of its own.
 *
 * Invariants:
 * - A pass that holds `alone` excludes every other pass; passes that hold `shared` exclude only `alone`.
 * - Turns come in the order of arrival. A pass whose session runs another input keeps its place and is passed over.
 * - A pass that was passed over once is `due`: its session starts no other input that stands behind the suspect.
 * - Nothing polls: a release grants the next turns synchronously. No fiber and no timer exists while no session waits.
 */
import * as Effect from "effect/Effect"
import type { Isolation, IsolationPass } from "../../services/RuntimeLoop.js"
import type { Clearance } from "../../src/domain/RuntimeState.js"

type Wanted = Exclude<Clearance, "none">

/** A pass from the inside. `line` holds it while `held` is "none" and a turn was asked for. */
interface Seat {
  wanted: Wanted
  held: Clearance
  due: boolean
  /** continues the session that waits; null while the session does something else */
  resume: (() => void) | null
}

export const make = (): Isolation => {
  /** in the order of arrival */
  const line = new Set<Seat>()
  let sharing = 0
  let alone = false

  const fits = (wanted: Wanted): boolean => !alone && (wanted === "shared" || sharing === 0)

  const seat = (one: Seat): void => {
    for (const earlier of line) {
      if (earlier === one) break
      earlier.due = true
    }
    line.delete(one)
    one.held = one.wanted
    one.due = false
    if (one.wanted === "alone") alone = true
    else sharing++
  }

  /** Grants turns to waiting sessions until the first that does not fit. */
  const offer = (): void => {
    for (const one of Array.from(line)) {
      const { resume } = one
      if (resume === null) continue
      if (!fits(one.wanted)) return
      seat(one)
      one.resume = null
      resume()
    }
  }

  /** Whether a session that waits in front would be overtaken. */
  const overtakes = (one: Seat): boolean => {
    for (const earlier of line) {
      if (earlier === one) return false
      if (earlier.resume !== null) return true
    }
    return false
  }

  const leave = (one: Seat): void => {
    const { held } = one
    one.held = "none"
    one.due = false
    line.delete(one)
    if (held === "alone") alone = false
    if (held === "shared") sharing--
    offer()
  }

  const pass = (): IsolationPass => {
    const one: Seat = { wanted: "shared", held: "none", due: false, resume: null }
    return {
      held: () => one.held,
      isDue: () => one.due,
      take: (wanted) => {
        if (one.held === "alone" || one.held === wanted) return true
        if (one.held === "shared") leave(one)
        one.wanted = wanted
        line.add(one)
        if (!fits(wanted) || overtakes(one)) return false
        seat(one)
        return true
      },
      turn: Effect.async<void>((resume) => {
        if (!line.has(one)) return resume(Effect.void)
        one.resume = () => resume(Effect.void)
        offer()
        return Effect.sync(() => {
          one.resume = null
        })
      }),
      release: () => leave(one)
    }
  }

  return { pass }
}
