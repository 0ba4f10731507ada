/**
 * The commands that claim, publish and detach a session's loop. The attachment code of the machine submits them.
 * Invariant: a session has at most one loop.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import type { Command } from "../../domain/Command.js"
import type { SessionState } from "../../domain/SessionState.js"
import { isDrained, loopOf, membersOf } from "../facts.js"
import { isRetired } from "../selection.js"
import * as Table from "../table.js"
import { answered, external, internal } from "./command.js"
import { requeued } from "./run.js"

/**
 * Claims the loop for one attachment; a retired session takes a loop only to drain its queue (D5).
 *
 * @since 0.1.0
 * @category commands
 */
export const beginAttach = (token: number): Command<void> =>
  external(
    "beginAttach",
    (fold) => answered(Table.thenFire(Table.fire(fold, "ClaimLoop", {}), "BeginAttach", { token }), () => undefined)
  )

/**
 * Publishes the loop. `drainOnly` is true if the loop ends itself once the queue is empty.
 *
 * @since 0.1.0
 * @category commands
 */
export const publishAttachment = (token: number): Command<{ readonly drainOnly: boolean }> =>
  external("publishAttachment", (fold) => {
    const drainOnly = isRetired(fold.state)
    return answered(
      Table.thenFire(Table.fire(fold, "AttachLoop", {}), "PublishLoop", { token, drainOnly }),
      () => ({ drainOnly })
    )
  })

/** Releases the claim of an attachment that failed before it was published. @since 0.1.0 @category commands */
export const abortAttach = (token: number): Command<void> =>
  internal("abortAttach", (fold) => answered(Table.fire(fold, "AbortAttach", { token }), () => undefined))

/**
 * Records that the loop has ended. Its unfinished run is requeued uncharged. With `waiters`, every waiter is released
 * with `RuntimeTerminated`; the inputs stay open.
 *
 * @since 0.1.0
 * @category commands
 */
export const detach = (
  token: number,
  options: { readonly waiters?: string } = {}
): Command<{ readonly requeued: number }> =>
  internal("detach", (fold, env) => {
    const left = leftByLoop(fold.state)
    const back = left === null ? Either.right(fold) : requeued(fold, env, left.runId)
    const detached = Table.thenFire(Table.thenFire(back, "LoopEnded", { token }), "DetachLoop", {})
    const told = Either.map(detached, (ended) =>
      options.waiters === undefined
        ? ended
        : Table.also(ended, { _tag: "SettleAll", outcome: { _tag: "RuntimeTerminated", reason: options.waiters } }))
    return answered(told, () => ({ requeued: left === null ? 0 : membersOf(fold.state, left).length }))
  })

/**
 * Ends a drain-only loop once the queue is empty (D24) and replies whether it has ended. Commands that revive the
 * session are ordered before this command or after it, so neither is lost.
 *
 * @since 0.1.0
 * @category commands
 */
export const endDrained = (token: number): Command<boolean> =>
  internal("endDrained", (fold) =>
    loopOf(fold.state) === token && isDrained(fold.state)
      ? answered(Table.thenFire(Table.fire(fold, "LoopEnded", { token }), "DetachLoop", {}), () => true)
      : answered(Either.right(fold), () => false))

// --- internal ---

const leftByLoop = ({ lifecycle }: SessionState) =>
  lifecycle._tag === "Running" && lifecycle.owner === "loop" ? lifecycle : null
