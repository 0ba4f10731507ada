/**
 * Controls which inputs that were charged with a crash may run at the same time. A machine has one `Isolation`; each run
 * loop, and each inline run of such an input, uses its own pass.
 *
 * Invariants:
 * - A pass that holds `alone` excludes every other pass; passes that hold `shared` exclude only `alone`.
 * - Turns are granted in the order of arrival. A pass whose session runs another input is passed over and keeps its place.
 * - A pass that was passed over once is `due`: its session then starts no other input before its turn.
 * - Nothing polls: a release grants the next turns synchronously. There is no fiber and no timer while no session waits.
 */
import * as Effect from "effect/Effect"
import type { Isolation, IsolationPass } from "../../services/RuntimeLoop.js"
import type { Clearance } from "../../src/domain/RuntimeState.js"

type Wanted = Exclude<Clearance, "none">

/** The state of a pass. It is in `line` while it waits: a clearance was asked for, and `held` is "none". */
interface Seat {
  wanted: Wanted
  held: Clearance
  due: boolean
  /** resumes the session that waits in `turn`; null while the session does something else */
  resume: (() => void) | null
}

/** Makes the isolation of a machine. */
export const make = (): Isolation => {
  /** the passes that wait, in the order of arrival */
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

  /** Grants turns in order, until the first waiting session whose clearance does not fit. */
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

  /** Whether this pass would overtake a session that waits before it. */
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
