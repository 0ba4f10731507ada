/**
 * How an input enters a session.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import type { AcceptReply, Command, Rejection, StagedRun } from "../../domain/Command.js"
import type { CompletionOutcome } from "../../domain/Completion.js"
import type { InputId, RunId } from "../../domain/Ids.js"
import type { Input } from "../../domain/Input.js"
import { kindOf } from "../../domain/Input.js"
import type { InputFacts, InputRecord } from "../../domain/InputRecord.js"
import type { KeyFact } from "../../domain/RuntimeCommit.js"
import type { Clearance } from "../../domain/RuntimeState.js"
import type { Env, KernelLimits, SessionState } from "../../domain/SessionState.js"
import { endedRow } from "../facts.js"
import * as Ledger from "../Ledger.js"
import type { PolicyResolution } from "../policy.js"
import { resolvePolicy } from "../policy.js"
import { replacedBy } from "../scope.js"
import { isSuspect } from "../suspicion.js"
import type { Fold, Step } from "../table.js"
import * as Table from "../table.js"
import { validateInput } from "../validateInput.js"
import type { Ruling } from "./command.js"
import { answered, external } from "./command.js"
import { beginning, stagedRun } from "./staging.js"

/** What is known of an input when it asks to be accepted. @since 0.1.0 @category models */
export interface AcceptRequest {
  readonly input: Input
  /** false: it starts no turn by itself */
  readonly wake: boolean
  /** who owns its key in the store; null when nobody does, or when it has none */
  readonly keyFact: KeyFact | null
  /** the store knows an ended input of this id */
  readonly knownTerminal: boolean
  /** a steer that cannot join this run any more waits in the queue instead (D22) */
  readonly expectedRunId?: RunId
  readonly trace?: NonNullable<InputFacts["trace"]>
}

/**
 * Accepts an input, or says which one it repeats. What it takes the place of ends in the same decision.
 *
 * @since 0.1.0
 * @category commands
 */
export const accept = (request: AcceptRequest): Command<AcceptReply> =>
  external("accept", (fold, env) =>
    Either.flatMap(admissible(fold, request), (entered) => {
      const existing = known(entered.state, env.limits, env.now, request)
      return existing === null ? admitted(entered, env, request) : Either.right(duplicate(entered, request, existing))
    }))

/** What `acceptAndStage` answered. @since 0.1.0 @category models */
export interface InlineRun extends StagedRun {
  readonly inputId: InputId
}

/**
 * Accepts an input and takes the session's single run slot for it (D23). Only where no loop is live and no other input
 * is open; an input that repeats another is refused. Who repeats the call for an input that was put back into its lane,
 * since its run failed or was interrupted, takes it from there.
 *
 * @since 0.1.0
 * @category commands
 */
export const acceptAndStage = (
  request: Omit<AcceptRequest, "wake" | "expectedRunId">,
  runId: RunId,
  clearance: Clearance
): Command<InlineRun> =>
  external("acceptAndStage", (fold, env) =>
    Either.flatMap(admissible(fold, { ...request, wake: true }), (entered) => {
      const existing = known(entered.state, env.limits, env.now, { ...request, wake: true })
      if (existing === null) return inline(entered, env, { ...request, wake: true }, runId)
      const again = putBack(entered.state, request.input)
      return again === null
        ? Either.left(invalid(fold, { _tag: "DeduplicationUnsupported", existingId: existing.id }))
        : inlineAgain(entered, env, again, { runId, clearance })
    }))

// --- internal ---

type Known = { readonly id: InputId; readonly open: boolean }

const invalid = (fold: Fold, detail: (Rejection & { readonly _tag: "Invalid" })["detail"]): Rejection => ({
  _tag: "Invalid",
  command: fold.command,
  detail
})

const admissible = (fold: Fold, { input }: AcceptRequest): Step =>
  Either.flatMap(
    Table.fire(fold, "Admit", {}),
    (entered) =>
      Either.mapBoth(validateInput(input), { onLeft: (detail) => invalid(fold, detail), onRight: () => entered })
  )

/** The input that this one repeats, by id or by a key that still counts (D18). */
const known = (state: SessionState, limits: KernelLimits, now: number, request: AcceptRequest): Known | null => {
  const { id, idempotencyKey } = request.input.header
  if (Ledger.get(state.ledger, id) !== undefined) return { id, open: true }
  if (request.knownTerminal) return { id, open: false }
  if (idempotencyKey === undefined) return null
  const holder = Ledger.ofKey(state.ledger, idempotencyKey)
  if (holder !== undefined) return { id: holder.inputId, open: true }
  const fact = keyFactOf(request)
  return fact === null || isExpired(fact, limits, now) ? null : { id: fact.inputId, open: false }
}

const keyFactOf = ({ input, keyFact }: AcceptRequest): KeyFact | null =>
  keyFact !== null && keyFact.key === input.header.idempotencyKey ? keyFact : null

const isExpired = (fact: KeyFact, { keyRetentionCount, keyRetentionMs }: KernelLimits, now: number): boolean =>
  fact.completedAt !== null &&
  ((keyRetentionMs !== null && now - fact.completedAt >= keyRetentionMs) ||
    (keyRetentionCount !== null && fact.newerTerminals >= keyRetentionCount))

const duplicate = (fold: Fold, { input }: AcceptRequest, existing: Known) => {
  const inputId = input.header.id
  const reply: AcceptReply = { _tag: "Deduplicated", inputId, existingId: existing.id, open: existing.open }
  return Table.answer(
    Table.also(fold, { _tag: "Event", event: { _tag: "InputDeduplicated", inputId, existingId: existing.id } }),
    reply
  )
}

const resolved = (
  state: SessionState,
  request: AcceptRequest
): { readonly input: Input; readonly policy: PolicyResolution } => {
  const input = canJoin(state, request) ? request.input : inQueueMode(request.input)
  const policy = resolvePolicy({
    input,
    busy: state.lifecycle._tag === "Running",
    silentIntents: state.silentIntents,
    withoutWake: !request.wake
  })
  return { input, policy }
}

const canJoin = ({ lifecycle }: SessionState, { expectedRunId }: AcceptRequest): boolean =>
  expectedRunId === undefined || (lifecycle._tag === "Running" && lifecycle.runId === expectedRunId)

const inQueueMode = (input: Input): Input => {
  switch (input._tag) {
    case "Prompt":
    case "FlowStep":
      return { ...input, metadata: { ...input.metadata, handlingMode: "queue" } }
    case "Peer":
      return input.convention?.type === "response_progress" ? input : { ...input, handlingMode: "queue" }
    case "ExternalEvent":
    case "Continuation":
      return { ...input, handlingMode: "queue" }
    case "Operation":
      return input
  }
}

const recordOf = (
  state: SessionState,
  env: Env,
  request: AcceptRequest
): { readonly record: InputRecord; readonly policy: PolicyResolution } => {
  const { input, policy } = resolved(state, request)
  const { durability, id, idempotencyKey } = input.header
  const record: InputRecord = {
    inputId: id,
    kind: kindOf(input),
    admissionSeq: Ledger.nextSeq(state.ledger),
    lane: policy.lane ?? "queue",
    hold: policy.hold,
    status: { type: "queued" },
    durability,
    policy: policy.decision,
    semantics: policy.semantics,
    attempts: 0,
    charged: 0,
    crashed: 0,
    solo: false,
    createdAt: env.now,
    updatedAt: env.now,
    input,
    ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
    ...(request.trace === undefined ? {} : { trace: request.trace })
  }
  return { record, policy }
}

/**
 * An expired key is freed by the commit that gives it to its new input, if it is still that of the input that was seen to
 * own it; an input that is never written takes none.
 */
const freed = (fold: Fold, request: AcceptRequest): Fold => {
  const fact = keyFactOf(request)
  return fact === null || request.input.header.durability === "ephemeral"
    ? fold
    : Table.also(fold, { _tag: "ClearKey", owner: { key: fact.key, inputId: fact.inputId } })
}

const admitted = (fold: Fold, env: Env, request: AcceptRequest): Ruling<AcceptReply> => {
  const { policy, record } = recordOf(fold.state, env, request)
  const cleared = freed(fold, request)
  if (policy.lane === null) return consumedAtOnce(cleared, record)
  const enqueued = Either.flatMap(
    replaced(cleared, env, record, policy),
    (rest) => Table.fire(rest, "Enqueue", { inputId: record.inputId, record })
  )
  const steered = policy.asksYield && ownedByLoop(fold.state)
    ? Table.thenFire(enqueued, "RequestYield", { reason: `input ${record.inputId} asks for the next boundary` })
    : enqueued
  return answered(steered, () => ({ _tag: "Accepted", inputId: record.inputId, terminal: null, record }))
}

/** Service turns and inline runs have no loop that could end them early. */
const ownedByLoop = ({ lifecycle }: SessionState): boolean => lifecycle._tag === "Running" && lifecycle.owner === "loop"

const consumedAtOnce = (fold: Fold, record: InputRecord): Ruling<AcceptReply> => {
  const outcome: CompletionOutcome = { _tag: "CompletedWithoutResult" }
  const row = endedRow(record, { terminal: { type: "consumed" }, at: record.createdAt, outcome })
  return answered(
    Table.fire(fold, "ConsumeOnAccept", { inputId: record.inputId, record, outcome }),
    () => ({ _tag: "Accepted", inputId: record.inputId, terminal: outcome, record: row })
  )
}

const replaced = (fold: Fold, env: Env, record: InputRecord, policy: PolicyResolution): Step => {
  const old = replacedBy(fold.state.ledger, record.input, policy)
  if (old === undefined) return Either.right(fold)
  const payload = { inputId: old.inputId, at: env.now, by: record.inputId }
  return policy.decision.queueMode === "supersede"
    ? Table.fire(fold, "Supersede", payload)
    : Table.fire(fold, "Coalesce", payload)
}

/** The open input of this id, if it was staged before and waits again. */
const putBack = ({ ledger }: SessionState, { header }: Input): InputRecord | null => {
  const record = Ledger.get(ledger, header.id)
  return record !== undefined && record.status.type === "queued" && record.attempts > 0 ? record : null
}

const inline = (fold: Fold, env: Env, request: AcceptRequest, runId: RunId): Ruling<InlineRun> => {
  if (Ledger.size(fold.state.ledger) > 0) return Either.left(Table.refuse(fold, "no_open_inputs"))
  const { policy, record } = recordOf(fold.state, env, request)
  if (policy.lane === null) {
    return Either.left(invalid(fold, { _tag: "InvalidInput", detail: `a ${record.kind} input is no work to run` }))
  }
  const enqueued = Table.fire(freed(fold, request), "Enqueue", { inputId: record.inputId, record })
  return begunInline(enqueued, env, record, { runId, clearance: "none" })
}

/** The run that an inline caller asked for, and what the machine granted it. */
interface Granted {
  readonly runId: RunId
  readonly clearance: Clearance
}

const inlineAgain = (fold: Fold, env: Env, record: InputRecord, granted: Granted): Ruling<InlineRun> =>
  Ledger.size(fold.state.ledger) > 1
    ? Either.left(Table.refuse(fold, "no_open_inputs"))
    : begunInline(Either.right(fold), env, record, granted)

/** A suspect without the clearance is staged all the same, but not as one that ran alone: no crash gives it up. */
const begunInline = (
  queued: Step,
  env: Env,
  record: InputRecord,
  { clearance, runId }: Granted
): Ruling<InlineRun> => {
  const { inputId } = record
  const alone = clearance === "alone" && isSuspect(record, env.limits)
  const begun = Table.thenFire(queued, "BeginInline", beginning(runId, [record], env))
  return answered(Table.thenFire(begun, "Stage", { inputId, runId, at: env.now, alone }), ({ state }) => ({
    ...stagedRun(state, runId),
    inputId
  }))
}
