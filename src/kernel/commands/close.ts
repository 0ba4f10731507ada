/**
 * The two commands of an unregistration (D7): the first refuses external commands from then on, the second makes the
 * closing commit. The teardown of the machine submits them.
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

/** The reason that waiters and watchers of an unregistered session receive. @since 0.1.0 @category constructors */
export const unregistered = "runtime session unregistered"

/** What still works in a session that is being unregistered. @since 0.1.0 @category models */
export interface Unregistering {
  /** the live loop, or an attachment under way */
  readonly token: number | null
  readonly runId: RunId | null
}

/** Refuses all commands except those of loop and teardown from now on. Idempotent. @since 0.1.0 @category commands */
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
  /** false if there was nothing to write: then no commit was made */
  readonly needsCommit: boolean
  readonly requeued: number
  readonly terminatedOperations: number
}

/**
 * Closes the registration. Staged inputs are requeued uncharged, process-owned operations end, and waiters are
 * released. The command writes only if something changed.
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
