/**
 * The completion feed of a session: reading it, and the cursors that say who has seen how much.
 *
 * @since 0.1.0
 */
import type { Emit } from "../domain/Command.js"
import type { CompletionEntry, FeedBatch, FeedCursors } from "../domain/Operation.js"
import type { Operations, SessionState } from "../domain/SessionState.js"

/** The entries with a sequence above `after`. @since 0.1.0 @category reading */
export const listSince = (state: SessionState, after: number): FeedBatch => {
  const { epoch, feed } = state.operations
  const { droppedThrough, lastSeq: watermark } = epoch
  return {
    entries: feed.slice(Math.max(0, after - droppedThrough)),
    watermark,
    droppedThrough,
    gap: after < droppedThrough ? { requestedAfter: after, droppedThrough, watermark } : null
  }
}

/** What the next run of the agent is given (D29). @since 0.1.0 @category reading */
export const unapplied = (state: SessionState): ReadonlyArray<CompletionEntry> =>
  listSince(state, state.operations.epoch.cursors.agentApplied).entries

/** Both cursors at their furthest. @since 0.1.0 @category cursors */
export const mergeCursors = (a: FeedCursors, b: Partial<FeedCursors>): FeedCursors => ({
  agentApplied: Math.max(a.agentApplied, b.agentApplied ?? 0),
  observed: Math.max(a.observed, b.observed ?? 0),
  injected: Math.max(a.injected, b.injected ?? 0)
})

/** Moves cursors forward, never back and never beyond the feed. @since 0.1.0 @category cursors */
export const advanceCursors = (operations: Operations, to: Partial<FeedCursors>): Operations => {
  const { cursors, lastSeq } = operations.epoch
  const merged = mergeCursors(cursors, to)
  const next: FeedCursors = {
    agentApplied: Math.min(merged.agentApplied, lastSeq),
    observed: Math.min(merged.observed, lastSeq),
    injected: Math.min(merged.injected, lastSeq)
  }
  return next.agentApplied === cursors.agentApplied && next.observed === cursors.observed &&
      next.injected === cursors.injected
    ? operations
    : { ...operations, epoch: { ...operations.epoch, cursors: next } }
}

/**
 * Whether the feed holds a completion for which an idle session is woken: of a background operation, not injected and
 * not given to the agent yet. Entries that were dropped unseen count, since nobody can tell what they were.
 *
 * @since 0.1.0
 * @category wake
 */
export const hasWakeWorthy = (operations: Pick<Operations, "epoch" | "feed">): boolean => {
  const { epoch, feed } = operations
  const { agentApplied, injected, observed } = epoch.cursors
  const seen = Math.max(agentApplied, injected, observed)
  if (epoch.lastSeq <= seen) return false
  if (epoch.droppedThrough > seen) return true
  for (let i = seen - epoch.droppedThrough; i < feed.length; i++) {
    if (feed[i]?.kind === "background_tool_op") return true
  }
  return false
}

/** `observed` follows the feed as long as nothing in it waits for a wake. @since 0.1.0 @category wake */
export const observe = (operations: Operations): Operations =>
  operations.epoch.cursors.observed === operations.epoch.lastSeq || hasWakeWorthy(operations)
    ? operations
    : advanceCursors(operations, { observed: operations.epoch.lastSeq })

/**
 * Says that the agent was given the feed up to `seq`; part of the boundary commit whose turn was given it (D29). No
 * puts when that is known already.
 *
 * @since 0.1.0
 * @category cursors
 */
export const setAgentApplied = (
  state: SessionState,
  seq: number
): { readonly state: SessionState; readonly emits: ReadonlyArray<Emit> } => {
  const applied = advanceCursors(state.operations, { agentApplied: seq })
  if (applied === state.operations) return { state, emits: [] }
  const operations = observe(applied)
  return {
    state: { ...state, operations, dirty: { ...state.dirty, cursors: false } },
    emits: [{ _tag: "PutEpoch", epoch: operations.epoch }]
  }
}

/** Unread entries are kept up to this many times `feedRetention`, then they are dropped too. @since 0.1.0 @category retention */
export const unreadFactor = 4

/**
 * Appends entries and forgets old ones: what agent and runtime have both seen goes as soon as the feed is longer than
 * `retention`, the rest only beyond `unreadFactor` times that. Either way `droppedThrough` names what is gone.
 *
 * @since 0.1.0
 * @category retention
 */
export const appendEntries = (
  operations: Operations,
  entries: ReadonlyArray<CompletionEntry>,
  retention: number
): Operations => {
  const lastSeq = operations.epoch.lastSeq + entries.length
  const grown = observe({
    ...operations,
    feed: [...operations.feed, ...entries],
    epoch: { ...operations.epoch, lastSeq }
  })
  return trim(grown, Math.max(1, retention))
}

// --- internal ---

const trim = (operations: Operations, retention: number): Operations => {
  const { epoch, feed } = operations
  const excess = feed.length - retention
  if (excess <= 0) return operations
  const seen = Math.min(epoch.cursors.agentApplied, epoch.cursors.observed) - epoch.droppedThrough
  const drop = Math.max(Math.min(excess, seen), feed.length - retention * unreadFactor)
  if (drop <= 0) return operations
  return {
    ...operations,
    feed: feed.slice(drop),
    epoch: { ...epoch, droppedThrough: epoch.droppedThrough + drop }
  }
}
