/**
 * The completion feed of a session: its reads, its cursors and its retention. Operation commands, runs and the wake
 * rule call it. Invariants: sequences have no gap, and a cursor never moves back or beyond the feed.
 *
 * @since 0.1.0
 */
import type { Emit } from "../domain/Command.js"
import type { CompletionEntry, FeedBatch, FeedCursors } from "../domain/Operation.js"
import type { Operations, SessionState } from "../domain/SessionState.js"

/**
 * Returns the entries with a sequence above `after`, and the gap if some were dropped.
 *
 * @since 0.1.0
 * @category reading
 */
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

/** Returns the entries that the next run receives (D29). @since 0.1.0 @category reading */
export const unapplied = (state: SessionState): ReadonlyArray<CompletionEntry> =>
  listSince(state, state.operations.epoch.cursors.agentApplied).entries

/** Merges cursors: each takes the higher value. @since 0.1.0 @category cursors */
export const mergeCursors = (a: FeedCursors, b: Partial<FeedCursors>): FeedCursors => ({
  agentApplied: Math.max(a.agentApplied, b.agentApplied ?? 0),
  observed: Math.max(a.observed, b.observed ?? 0),
  injected: Math.max(a.injected, b.injected ?? 0)
})

/** Moves cursors forward; never back and never beyond the feed. @since 0.1.0 @category cursors */
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
 * True if the feed holds a completion that must wake an idle session: the end of a background operation that was
 * neither injected nor received by the agent. Entries that were dropped unread count, because their kinds are unknown.
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

/** Moves `observed` to the end of the feed unless an entry waits for a wake. @since 0.1.0 @category wake */
export const observe = (operations: Operations): Operations =>
  operations.epoch.cursors.observed === operations.epoch.lastSeq || hasWakeWorthy(operations)
    ? operations
    : advanceCursors(operations, { observed: operations.epoch.lastSeq })

/**
 * Records that the agent received the feed up to `seq`. It is part of the boundary commit of the turn that received it
 * (D29). Without a change it emits nothing.
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

/** How many times `feedRetention` unread entries are kept before they are dropped. @since 0.1.0 @category retention */
export const unreadFactor = 4

/**
 * Appends entries and drops old ones. Entries that agent and machine have both read are dropped beyond `retention`;
 * unread entries only beyond `unreadFactor` times that. `droppedThrough` is the sequence of the last dropped entry.
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
