/**
 * Writes deferred writes ("soft facts") in parts, when one commit cannot hold them all. The commit worker calls it.
 * Invariant: a write that no commit can hold is dropped with a warning, and never blocks the others.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { Dirty } from "../../src/domain/SessionState.js"
import { isUnwritable } from "../../src/domain/StoreErrors.js"
import { single, together, without } from "../../src/kernel/softFacts.js"
import type { Cell, WorkerDeps, Written } from "./commitWrite.js"
import { commitOf, write } from "./commitWrite.js"

const writePart = (deps: WorkerDeps, cell: Cell, facts: Dirty, now: number): Effect.Effect<Written> =>
  Effect.gen(function*() {
    const { commit } = yield* commitOf(deps, cell, { state: { ...cell.state, dirty: facts }, emits: [] }, now)
    const written = yield* write(deps, commit)
    if (written._tag === "Written") {
      cell.revision = written.revision
      cell.publish(without(cell.state, facts))
    }
    return written
  })

/**
 * Drops a single deferred write that cannot be stored, as if the process had ended before. Otherwise it is retried
 * without end.
 */
const giveUp = (cell: Cell, facts: Dirty): Effect.Effect<Written> =>
  Effect.as(
    Effect.zipRight(
      Effect.sync(() => cell.publish(without(cell.state, facts))),
      Effect.logWarning(
        `a change of session "${cell.state.sessionId}" is not stored: it is larger than a commit may be`,
        facts
      )
    ),
    { _tag: "Written", revision: cell.revision }
  )

const writeAll = (
  deps: WorkerDeps,
  cell: Cell,
  facts: ReadonlyArray<Dirty>,
  now: number
): Effect.Effect<Written> =>
  Effect.flatMap(writePart(deps, cell, together(facts), now), (written) => {
    if (written._tag !== "Refused" || !isUnwritable(written.error)) return Effect.succeed(written)
    if (facts.length < 2) return giveUp(cell, together(facts))
    const half = Math.ceil(facts.length / 2)
    return Effect.flatMap(writeAll(deps, cell, facts.slice(0, half), now), (first) =>
      first._tag === "Written" ? writeAll(deps, cell, facts.slice(half), now) : Effect.succeed(first))
  })

/** Writes the deferred writes of the published state, halving the part until it fits. */
export const writeSoftFacts = (deps: WorkerDeps, cell: Cell, now: number): Effect.Effect<Written> =>
  Effect.suspend(() => writeAll(deps, cell, single(cell.state.dirty), now))
