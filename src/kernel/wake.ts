/**
 * The detached wake (D29): when background operations have ended and nothing else drives the session, it is given one
 * continuation. It is decided at the end of each fold, so that the continuation, the entries it is for and the cursor
 * that says so are one commit; no fiber waits for it and nothing polls.
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

/** The key of the continuation for the feed as it stands: it cannot be added twice. @since 0.1.0 @category accessors */
export const completionKey = ({ epochId, lastSeq }: EpochFacts): string => `completion:${epochId}:${lastSeq}`

/**
 * Whether a wake may be added: the session is quiescent and not being taken down. A loop need not be live; the
 * continuation is durable and waits for one. Retired and stopped sessions are not quiescent.
 *
 * @since 0.1.0
 * @category guards
 */
export const mayWake = (state: SessionState): boolean =>
  state.registration._tag !== "Draining" && !state.operations.epoch.retired && isQuiescent(state)

/**
 * What the end of a fold adds: the continuation, when one is due; else `observed` follows a feed in which nothing waits
 * for a wake. While a due wake is held back nothing moves, so the fold that ends the reason adds it.
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
  // whoever holds this key is the continuation: as with every accept, the second one changes nothing
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
