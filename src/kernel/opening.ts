/**
 * Plans the opening of a session: checks its stored state, recovers it, and makes the opening commit.
 *
 * The authority passes the plan to `openRuntime`. Invariants: the plan is pure; it opens a session completely or fails; a
 * run that did not end with its process is never charged as a crash.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import type { Emit } from "../domain/Command.js"
import type { CompletionOutcome } from "../domain/Completion.js"
import { Destroyed, RecoveryCorruption } from "../domain/Errors.js"
import type { EpochId, InputId, OperationId, RequestId, RunId, SessionId } from "../domain/Ids.js"
import { runtimeIdOf } from "../domain/Ids.js"
import type { AbandonReason, InputRecord } from "../domain/InputRecord.js"
import type { Json } from "../domain/Json.js"
import type { Opening, RuntimeImage } from "../domain/RuntimeCommit.js"
import type { KernelLimits, SessionState } from "../domain/SessionState.js"
import { SessionToolVisibilityState } from "../domain/ToolVisibility.js"
import { imageCorruption } from "./imageCorruption.js"
import * as Ledger from "./Ledger.js"
import type { OperationsOpening } from "./operationsOpening.js"
import { openOperations } from "./operationsOpening.js"
import { toCommit } from "./round.js"
import { silentIntentsSlice } from "./rows/lifecycle.js"
import { charged, isRetired } from "./selection.js"
import { clean } from "./softFacts.js"
import { chargedOnceMore, isGivenUp } from "./suspicion.js"
import type { Fold, Step } from "./table.js"
import * as Table from "./table.js"
import { recovered as recoveredTools, visibilitySlice } from "./toolVisibility.js"

/** What an opening found and did. @since 0.1.0 @category models */
export interface OpeningReport {
  /** the store did not know the session */
  readonly created: boolean
  /** the session was stopped; this registration resumes it (D4) */
  readonly revived: boolean
  readonly epoch: "created" | "adopted"
  /** the number of open inputs that were found, including the abandoned ones */
  readonly inputsRecovered: number
  /** the inputs of these that were staged and are queued again */
  readonly inputsRequeued: ReadonlyArray<InputId>
  /** the inputs of these that ended at the opening: crash budget used up, or cancelled before */
  readonly inputsAbandoned: ReadonlyArray<InputId>
  readonly operationsTerminated: ReadonlyArray<OperationId>
}

/**
 * What this process knows about the runs of its own earlier incarnations of the session.
 *
 * @since 0.1.0
 * @category models
 */
export interface Remembered {
  /** runs that did not end with a crash of the process: their inputs are queued again, uncharged */
  readonly runs: ReadonlySet<RunId>
  /** inputs whose cancel was acknowledged but not stored: the opening ends them */
  readonly cancelled: ReadonlySet<InputId>
}

/** What an opening is planned from. @since 0.1.0 @category models */
export interface OpeningRequest {
  readonly sessionId: SessionId
  readonly image: RuntimeImage
  readonly requestId: RequestId
  /** the new epoch, for a session without one (D30) */
  readonly epochCandidate: EpochId
  /** epoch milliseconds */
  readonly now: number
  readonly limits: KernelLimits
  readonly remembered?: Remembered | undefined
}

/** The recovered session. @since 0.1.0 @category models */
export interface OpenedSession {
  readonly state: SessionState
  readonly report: OpeningReport
  /** rows of the transition table that fired, for coverage */
  readonly rows: ReadonlyArray<string>
}

/**
 * Plans the opening of a session. Fails `Destroyed` for a destroyed session (D4), and `RecoveryCorruption` if a row cannot
 * be read or contradicts another. A failed plan writes nothing, and opens no part of the session.
 *
 * @since 0.1.0
 * @category opening
 */
export const planOpening = (
  request: OpeningRequest
): Either.Either<Opening<OpenedSession>, RecoveryCorruption | Destroyed> =>
  Either.flatMap(sound(request), (operations) => {
    const { image, now, requestId } = request
    const opened = opening(request, operations)
    return Either.mapBoth(cancelled(recovered(opened, request), request), {
      // after the checks above no transition can be refused; a refusal means that the image contradicts itself
      onLeft: (rejection) => corruption(request, "input", "", `recovery was refused: ${rejection._tag}`),
      onRight: (fold) => ({
        commit: toCommit(
          { requestId, incarnation: image.incarnation, basis: image.revision, at: now },
          fold.state,
          fold.emits
        ),
        value: { state: fold.state, report: report(request, fold, operations), rows: fold.rows }
      })
    })
  })

// --- internal ---

const corruption = (
  { sessionId }: OpeningRequest,
  table: string,
  key: string,
  reason: string
): RecoveryCorruption => new RecoveryCorruption({ runtimeId: runtimeIdOf(sessionId), table, key, reason })

const sound = (request: OpeningRequest): Either.Either<OperationsOpening, RecoveryCorruption | Destroyed> => {
  const { epochCandidate, image, limits, now, sessionId } = request
  const found = imageCorruption(image)
  if (found !== null) return Either.left(corruption(request, found.table, found.key, found.reason))
  if (image.lifecycle === "destroyed") return Either.left(new Destroyed({ sessionId }))
  return Either.mapLeft(
    openOperations(image, epochCandidate, { now, limits }),
    ({ key, reason, table }) => corruption(request, table, key, reason)
  )
}

const isVisibility = Schema.is(SessionToolVisibilityState)

const isStrings = (value: Json): value is ReadonlyArray<string> =>
  Array.isArray(value) && value.every((item) => typeof item === "string")

const opening = ({ image, sessionId }: OpeningRequest, { emits, operations }: OperationsOpening): Fold => {
  const silent = image.slices.find(({ name }) => name === silentIntentsSlice)?.value ?? []
  const visibility = image.slices.find(({ name }) => name === visibilitySlice)?.value
  const others = image.slices.filter(({ name }) => name !== silentIntentsSlice && name !== visibilitySlice)
  const state: SessionState = {
    sessionId,
    runtimeId: runtimeIdOf(sessionId),
    lifecycle: image.lifecycle === "retired" ? { _tag: "Retired" } : { _tag: "Idle" },
    registration: { _tag: "Queuing" },
    ledger: Ledger.fromRecords(stored(image), image.nextAdmissionSeq),
    silentIntents: isStrings(silent) ? silent : [],
    binding: null,
    operations,
    head: image.head,
    tools: isVisibility(visibility) ? recoveredTools(visibility) : null,
    slices: Object.fromEntries(others.map(({ name, value }) => [name, value])),
    dirty: clean
  }
  const born: ReadonlyArray<Emit> = !image.exists || image.lifecycle === "stopped"
    ? [{ _tag: "PutLifecycle", state: "idle" }]
    : []
  return Table.absorb(Table.begin("open", state), { state, emits: [...born, ...emits] })
}

/** The stored inputs. An ephemeral input ended with its process, even if a row of it exists. */
const stored = (image: RuntimeImage): ReadonlyArray<InputRecord> =>
  image.inputs.filter(({ durability }) => durability !== "ephemeral")

/**
 * Ends every run that the last incarnation left. Its inputs are queued again, or abandoned (D10). Only a run that ended
 * with its process is charged.
 */
const recovered = (fold: Fold, { image, limits, now, remembered }: OpeningRequest): Step => {
  const runs = new Map<RunId, ReadonlyArray<InputRecord>>()
  for (const record of stored(image)) {
    if (record.status.type === "staged") {
      runs.set(record.status.runId, [...(runs.get(record.status.runId) ?? []), record])
    }
  }
  return Array.from(runs).reduce<Step>(
    (step, [runId, batch]) =>
      Either.flatMap(step, (rest) => {
        const accounts = remembered?.runs.has(runId) === true ? [] : charged(batch, isRetired(rest.state))
        return recoverBatch(rest, batch, new Set(accounts), limits, now)
      }),
    Either.right(fold)
  )
}

/** Ends the inputs whose cancel was acknowledged, because their run must not run again even if its commit was lost. */
const cancelled = (step: Step, { now, remembered }: OpeningRequest): Step =>
  Either.flatMap(step, (fold) => {
    const open = Array.from(remembered?.cancelled ?? []).filter((id) => Ledger.get(fold.state.ledger, id) !== undefined)
    const reason: AbandonReason = { type: "cancelled" }
    const outcome: CompletionOutcome = { _tag: "Cancelled" }
    return Table.fireEach(fold, "Abandon", open.map((inputId) => ({ inputId, at: now, reason, outcome })))
  })

/**
 * Queues the inputs of a lost run again, and charges the crash to its driving members. Only a suspect that ran alone is
 * abandoned: another input may have caused the crash otherwise, so the input is queued again, at most as a suspect.
 */
const recoverBatch = (
  fold: Fold,
  batch: ReadonlyArray<InputRecord>,
  accounts: ReadonlySet<InputRecord>,
  limits: KernelLimits,
  now: number
): Step => {
  const doomed = batch.filter((record) => accounts.has(record) && isGivenUp(record, limits))
  const crashesOf = (record: InputRecord): number =>
    !accounts.has(record)
      ? record.crashed
      : doomed.includes(record)
      ? record.crashed + 1
      : chargedOnceMore(record, limits)
  const requeued = Table.fireEach(
    fold,
    "RecoverInput",
    batch.map((record) => ({
      inputId: record.inputId,
      at: now,
      crashed: crashesOf(record),
      solo: accounts.has(record) && batch.length > 1
    }))
  )
  return Either.flatMap(requeued, (rest) =>
    Table.fireEach(
      rest,
      "Abandon",
      doomed.map(({ crashed, inputId }) => ({ inputId, at: now, ...crashedOut(crashed + 1) }))
    ))
}

const crashedOut = (crashes: number): { readonly reason: AbandonReason; readonly outcome: CompletionOutcome } => ({
  reason: { type: "crash_budget_exhausted", crashes },
  outcome: { _tag: "Abandoned", reason: `its run ended with the process ${crashes} times` }
})

const report = (
  { image }: OpeningRequest,
  { emits, state }: Fold,
  { operations }: OperationsOpening
): OpeningReport => {
  const ended = emits.flatMap((emit) => emit._tag === "EndInput" ? [emit.row.inputId] : [])
  return {
    created: !image.exists,
    revived: image.lifecycle === "stopped",
    epoch: image.epoch === null ? "created" : "adopted",
    inputsRecovered: stored(image).length,
    inputsRequeued: stored(image).flatMap(({ inputId, status }) =>
      status.type === "staged" && Ledger.get(state.ledger, inputId) !== undefined ? [inputId] : []
    ),
    inputsAbandoned: ended,
    operationsTerminated: operations.feed.flatMap(({ operationId, seq }) =>
      seq > (image.epoch?.lastSeq ?? 0) ? [operationId] : []
    )
  }
}
