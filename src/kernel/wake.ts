/**
 * The detached wake (D29): the session gets one continuation when background operations have ended and nothing else
 * drives it. The end of each fold decides about it. So continuation, feed entries and cursor are one commit, no fiber
 * waits and nothing polls.
 *
 * @since 0.1.0
 */
import * as HashMap from "effect/HashMap"
import type { Decision } from "../domain/Command.js"
import { detachedCompletion } from "../domain/Input.js"
import type { InputRecord } from "../domain/InputRecord.js"
import type { EpochFacts } from "../domain/RuntimeCommit.js"
import type { Env, Operations, SessionState } from "../domain/SessionState.js"
import { advanceCursors, hasWakeWorthy, observe } from "./feed.js"
import * as Ledger from "./Ledger.js"
import { resolvePolicy } from "./policy.js"
import { isQuiescent } from "./selection.js"

/** The key of the continuation for the current feed; it prevents a second one. @since 0.1.0 @category accessors */
export const completionKey = ({ epochId, lastSeq }: EpochFacts): string => `completion:${epochId}:${lastSeq}`

/**
 * True if a wake may be added: the session is quiescent and not under teardown. A live loop is not required, because
 * the continuation is durable and waits for a loop. Retired and stopped sessions are not quiescent.
 *
 * @since 0.1.0
 * @category guards
 */
export const mayWake = (state: SessionState): boolean =>
  state.registration._tag !== "Draining" && !state.operations.epoch.retired && isQuiescent(state)

/**
 * Adds the continuation at the end of a fold if a wake is due. Without a wake-worthy entry `observed` moves to the end
 * of the feed. While a due wake is held back, no cursor moves; the fold that lifts the obstacle adds the continuation.
 *
 * @since 0.1.0
 * @category commands
 */
export const endOfFold = (state: SessionState, env: Env): Decision<void> => {
  if (!hasWakeWorthy(state.operations)) return observed(state)
  return mayWake(state) ? inject(state, env) : nothing(state)
}

// --- internal ---

const nothing = (state: SessionState): Decision<void> => ({ state, emits: [], reply: undefined })

const observed = (state: SessionState): Decision<void> => {
  const operations = observe(state.operations)
  return nothing(
    operations === state.operations ? state : { ...state, operations, dirty: { ...state.dirty, cursors: true } }
  )
}

const inject = (state: SessionState, env: Env): Decision<void> => {
  const { lastSeq } = state.operations.epoch
  const operations = advanceCursors(state.operations, { observed: lastSeq, injected: lastSeq })
  const moved = { ...state, operations, dirty: { ...state.dirty, cursors: false } }
  const epoch = { _tag: "PutEpoch", epoch: operations.epoch } as const
  const key = completionKey(operations.epoch)
  // an input with this key is the continuation: a second accept changes nothing
  if (HashMap.has(state.ledger.keys, key)) return { state: moved, emits: [epoch], reply: undefined }
  const record = continuation(state, operations, env)
  return {
    state: { ...moved, ledger: Ledger.put(state.ledger, record) },
    emits: [
      { _tag: "InsertInput", record },
      epoch,
      { _tag: "Event", event: { _tag: "InputAccepted", inputId: record.inputId, kind: record.kind } }
    ],
    reply: undefined
  }
}

const continuation = (state: SessionState, operations: Operations, env: Env): InputRecord => {
  const idempotencyKey = completionKey(operations.epoch)
  const bare = detachedCompletion(env.continuationId, env.now)
  const input = { ...bare, header: { ...bare.header, idempotencyKey } }
  const policy = resolvePolicy({ input, busy: false, silentIntents: [], withoutWake: false })
  return {
    inputId: env.continuationId,
    kind: "continuation",
    admissionSeq: Ledger.nextSeq(state.ledger),
    lane: policy.lane ?? "steer",
    hold: policy.hold,
    status: { type: "queued" },
    durability: input.header.durability,
    idempotencyKey,
    policy: policy.decision,
    semantics: policy.semantics,
    attempts: 0,
    charged: 0,
    crashed: 0,
    solo: false,
    createdAt: env.now,
    updatedAt: env.now,
    input
  }
}
