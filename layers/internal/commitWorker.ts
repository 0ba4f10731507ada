/**
 * The commit worker of one session: folds queued commands, commits the result, publishes it and answers the callers.
 *
 * `sessionAuthority` runs it. Invariants: a state is published only after its commit; callers get their answers in arrival
 * order, after the publication; an error of one command fails no other command, as far as the store can tell them apart.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { SubmitError } from "../../services/MachineAuthority.js"
import type { Env } from "../../src/domain/SessionState.js"
import type { CommitError } from "../../src/domain/StoreErrors.js"
import { isDefinite } from "../../src/domain/StoreErrors.js"
import * as Rounds from "../../src/kernel/round.js"
import { isDirty } from "../../src/kernel/softFacts.js"
import type { Pending, Round } from "./commitRound.js"
import { fold } from "./commitRound.js"
import type { Cell, WorkerDeps } from "./commitWrite.js"
import { commitOf, isNobodys, write } from "./commitWrite.js"
import { writeSoftFacts } from "./softFacts.js"

/** Steps 4 and 5: publishes the state, which is durable by now, then answers the callers in arrival order. */
const settle = (cell: Cell, round: Round, at: number): void => {
  cell.publish(round.state)
  for (const member of round.members) {
    if (member._tag === "Rejected") {
      member.pending.fail({ _tag: "Rejected", rejection: member.rejection })
      continue
    }
    for (const emit of member.step.emits) cell.tell(emit, at)
    member.step.settle()
  }
  for (const emit of round.closing) cell.tell(emit, at)
}

const envOf = ({ ids, limits }: WorkerDeps, now: number): Effect.Effect<Env> =>
  Effect.map(ids.input, (continuationId) => ({ now, continuationId, limits }))

/** Settles the members without the store: a member with something to commit fails with this error, the others succeed. */
const unwritten = (deps: WorkerDeps, cell: Cell, members: ReadonlyArray<Pending>, error: CommitError, now: number) =>
  Effect.forEach(members, (member) =>
    Effect.map(envOf(deps, now), (env) => {
      const alone = fold(cell.state, [member], env)
      if (Rounds.isHard(alone.emits)) member.fail({ _tag: "CommitFailed", error })
      else settle(cell, alone, now)
    }), { discard: true })

/** Commits the deferred writes alone, then repeats the round without them. */
const relieved = (deps: WorkerDeps, cell: Cell, members: ReadonlyArray<Pending>, now: number): Effect.Effect<void> =>
  Effect.flatMap(writeSoftFacts(deps, cell, now), (written) => {
    switch (written._tag) {
      case "Written":
        return runRound(deps, cell, members)
      case "Lost":
        return Effect.sync(() => cell.reload(written.reason, members))
      case "Refused":
        return unwritten(deps, cell, members, written.error, now)
    }
  })

/**
 * Handles a refused round. It repeats the round command by command, so that only the refused command fails. If no single
 * command can be the cause, all members that have something to commit fail.
 */
const refused = (
  deps: WorkerDeps,
  cell: Cell,
  members: ReadonlyArray<Pending>,
  error: CommitError,
  now: number
): Effect.Effect<void> => {
  if (isDefinite(error) && isDirty(cell.state)) return relieved(deps, cell, members, now)
  return members.length === 1 || isNobodys(error)
    ? unwritten(deps, cell, members, error, now)
    : Effect.forEach(members, (member) => runRound(deps, cell, [member]), { discard: true })
}

/** Commits a folded round and settles its members. */
const commitRound = (deps: WorkerDeps, cell: Cell, folded: Round, now: number): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { commit, state } = yield* commitOf(deps, cell, folded, now)
    const round: Round = { ...folded, state }
    const members = folded.members.map((member) => member.pending)
    const written = yield* write(deps, commit, members.some(({ mayBeRefused }) => mayBeRefused))
    switch (written._tag) {
      case "Written":
        cell.revision = written.revision
        return settle(cell, round, now)
      case "Lost":
        return cell.reload(written.reason, members, commit)
      case "Refused":
        return yield* refused(deps, cell, members, written.error, now)
    }
  })

/**
 * Does steps 2 to 5 (docs/explanation/architecture.md) for the commands that have arrived. It runs in an uninterruptible
 * fiber; the commit deadline of the store limits the time.
 */
export const runRound = (
  deps: WorkerDeps,
  cell: Cell,
  members: ReadonlyArray<Pending>
): Effect.Effect<void> =>
  Effect.gen(function*() {
    if (cell.health._tag === "ReloadRequired") {
      const error: SubmitError = { _tag: "ReloadRequired", reason: cell.health.reason }
      for (const member of members) member.fail(error)
      return
    }
    const now = yield* Clock.currentTimeMillis
    // make the environment first: nothing may change the state between reading it and the fold
    const env = yield* envOf(deps, now)
    const folded = fold(cell.state, members, env)
    if (Rounds.isHard(folded.emits)) yield* commitRound(deps, cell, folded, now)
    else settle(cell, folded, now)
    if (folded.rest.length > 0) yield* runRound(deps, cell, folded.rest)
  })
