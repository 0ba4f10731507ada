/**
 * Unregistering a session (D7): what is refused from the first step on, and the closing commit.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import type { Command } from "../../domain/Command.js"
import type { RunId } from "../../domain/Ids.js"
import type { Env } from "../../domain/SessionState.js"
import { membersOf } from "../facts.js"
import { terminateOperations } from "../operations.js"
import { foldDirty, isHard } from "../round.js"
import { tokenOf } from "../rows/registration.js"
import type { Fold, Step } from "../table.js"
import * as Table from "../table.js"
import { answered, internal } from "./command.js"
import { requeued } from "./run.js"

/** What waiters and watchers of an unregistered session are told. @since 0.1.0 @category constructors */
export const unregistered = "runtime session unregistered"

/** Who is still at work in a session that is being unregistered. @since 0.1.0 @category models */
export interface Unregistering {
  /** the loop, or the attachment on its way */
  readonly token: number | null
  readonly runId: RunId | null
}

/** Refuses everything but loop and teardown from here on; again and again the same. @since 0.1.0 @category commands */
export const beginUnregister: Command<Unregistering> = internal(
  "beginUnregister",
  (fold) =>
    answered(Table.fire(fold, "BeginUnregister", {}), ({ state }) => ({
      token: tokenOf(state),
      runId: state.lifecycle._tag === "Running" ? state.lifecycle.runId : null
    }))
)

/** What the closing commit did. @since 0.1.0 @category models */
export interface CloseReport {
  /** false: there was nothing to write, and nothing was */
  readonly needsCommit: boolean
  readonly requeued: number
  readonly terminatedOperations: number
}

/**
 * Ends the session's time in this process: what is staged goes back into the queue uncharged, operations of the process
 * end, waiters are released. Commits only if there is anything to write.
 *
 * @since 0.1.0
 * @category commands
 */
export const closeSession: Command<CloseReport> = internal("closeSession", (fold, env) => {
  if (fold.state.registration._tag !== "Draining") return Either.left(Table.refuse(fold, "unregister_begun"))
  const { lifecycle } = fold.state
  const members = lifecycle._tag === "Running" ? membersOf(fold.state, lifecycle).length : 0
  return Either.map(ended(fold, env), (closing) => {
    const terminated = terminateOperations(closing.state, env, unregistered, { onlyProcessOwned: true })
    const rest = Table.absorb(closing, terminated)
    const needsCommit = hasPuts(rest)
    const settled = Table.also(
      needsCommit ? Table.also(rest, { _tag: "Close" }) : rest,
      { _tag: "SettleAll", outcome: { _tag: "RuntimeTerminated", reason: unregistered } }
    )
    return Table.answer(settled, {
      needsCommit,
      requeued: members,
      terminatedOperations: terminated.reply.length
    })
  })
})

// --- internal ---

const ended = (fold: Fold, env: Env): Step => {
  const { lifecycle } = fold.state
  const back = lifecycle._tag === "Running" ? requeued(fold, env, lifecycle.runId) : Either.right(fold)
  return Table.thenFire(Table.thenFire(back, "DropLoop", {}), "DetachLoop", {})
}

const hasPuts = ({ emits, state }: Fold): boolean => isHard(emits) || isHard(foldDirty(state).emits)
