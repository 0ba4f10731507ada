/**
 * The loop of a session: claimed, published, given back.
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

/** Claims the loop for one attachment; a retired session takes one only for what is left to run (D5). @since 0.1.0 @category commands */
export const beginAttach = (token: number): Command<void> =>
  external(
    "beginAttach",
    (fold) => answered(Table.thenFire(Table.fire(fold, "ClaimLoop", {}), "BeginAttach", { token }), () => undefined)
  )

/** The loop is live from here on; `drainOnly` says that it ends itself when nothing is left. @since 0.1.0 @category commands */
export const publishAttachment = (token: number): Command<{ readonly drainOnly: boolean }> =>
  external("publishAttachment", (fold) => {
    const drainOnly = isRetired(fold.state)
    return answered(
      Table.thenFire(Table.fire(fold, "AttachLoop", {}), "PublishLoop", { token, drainOnly }),
      () => ({ drainOnly })
    )
  })

/** The attachment failed before it was published. @since 0.1.0 @category commands */
export const abortAttach = (token: number): Command<void> =>
  internal("abortAttach", (fold) => answered(Table.fire(fold, "AbortAttach", { token }), () => undefined))

/**
 * The loop has ended. A run it left goes back into the queue, uncharged. With `waiters` everybody who waits is told that
 * nobody runs the session any more; their inputs stay.
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
 * A loop that only drains gives itself back when nothing is left (D24): it has ended with this command, so whatever brings
 * the session back comes before its end or after it. Replies whether it has ended.
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
