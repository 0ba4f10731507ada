/**
 * The vocabulary of decisions: commands, their emits, replies and rejections. The kernel produces them; the session
 * authority commits and publishes them. The types are pure data.
 *
 * @since 0.1.0
 */
import type * as Either from "effect/Either"
import type { CompletionOutcome } from "./Completion.js"
import type { ValidationDetail } from "./Errors.js"
import type { InputId, OperationId, RunId, Sha256, WaitRequestId } from "./Ids.js"
import type { InputFacts, InputRecord, SliceDocument, TerminalInput } from "./InputRecord.js"
import type { CompletionEntry, OperationOutcome, OperationRecord } from "./Operation.js"
import type { RunBoundaryReceipt } from "./Receipt.js"
import type { EpochFacts, KeyOwner, SessionPart } from "./RuntimeCommit.js"
import type { RuntimeEvent } from "./RuntimeEvent.js"
import type { PersistedRuntimeState, RuntimeState } from "./RuntimeState.js"
import type { Env, SessionState } from "./SessionState.js"

/**
 * An effect of a decision, in order. Commits are built from the puts, never from a diff of states.
 *
 * @since 0.1.0
 * @category models
 */
export type Emit =
  | { readonly _tag: "InsertInput"; readonly record: InputRecord }
  | { readonly _tag: "UpdateInput"; readonly facts: InputFacts }
  | { readonly _tag: "EndInput"; readonly row: TerminalInput; readonly inserted: boolean }
  | { readonly _tag: "ClearKey"; readonly owner: KeyOwner }
  | { readonly _tag: "PutLifecycle"; readonly state: PersistedRuntimeState }
  | { readonly _tag: "PutSession"; readonly part: SessionPart }
  | { readonly _tag: "PutReceipt"; readonly receipt: RunBoundaryReceipt; readonly outcome: CompletionOutcome }
  | { readonly _tag: "PutOperation"; readonly record: OperationRecord }
  | { readonly _tag: "DropOperation"; readonly id: OperationId }
  | { readonly _tag: "PutFeed"; readonly entry: CompletionEntry }
  | { readonly _tag: "PutEpoch"; readonly epoch: EpochFacts }
  | { readonly _tag: "PutSlice"; readonly slice: SliceDocument }
  | { readonly _tag: "Close" }
  /** the input ended; or its waiters are released although its end is not stored */
  | { readonly _tag: "Settle"; readonly inputId: InputId; readonly outcome: CompletionOutcome }
  | { readonly _tag: "SettleAll"; readonly outcome: CompletionOutcome }
  | { readonly _tag: "SettleOperation"; readonly id: OperationId; readonly outcome: OperationOutcome }
  /** every member of the pending wait-all ended; outcomes in the order of the call */
  | {
    readonly _tag: "BarrierSatisfied"
    readonly requestId: WaitRequestId
    readonly outcomes: ReadonlyArray<readonly [OperationId, OperationOutcome]>
  }
  | { readonly _tag: "Event"; readonly event: RuntimeEvent }

/**
 * A refusal; the state did not change. The submitting layer maps it to the error of the call.
 *
 * @since 0.1.0
 * @category models
 */
export type Rejection =
  | { readonly _tag: "TerminalPhase"; readonly command: string }
  | { readonly _tag: "NoTransition"; readonly command: string; readonly state: RuntimeState }
  | {
    readonly _tag: "GuardRejected"
    readonly command: string
    readonly state: RuntimeState
    readonly failed: ReadonlyArray<string>
  }
  | { readonly _tag: "Invalid"; readonly command: string; readonly detail: ValidationDetail }

/** The result of a command: new state, emits and reply. @since 0.1.0 @category models */
export interface Decision<out A> {
  readonly state: SessionState
  readonly emits: ReadonlyArray<Emit>
  readonly reply: A
  /** the rows of the transition table that made the decision, in order; coverage counts them */
  readonly rows?: ReadonlyArray<string>
}

/**
 * A command: its name and the pure function that decides it. A decision with a put is durable before it is visible. A
 * decision without puts is published at once; what it marks dirty waits as deferred writes.
 *
 * @since 0.1.0
 * @category models
 */
export interface Command<out A> {
  readonly name: string
  readonly decide: (state: SessionState, env: Env) => Either.Either<Decision<A>, Rejection>
}

/** The reply of the accept command. @since 0.1.0 @category models */
export type AcceptReply =
  | {
    readonly _tag: "Accepted"
    readonly inputId: InputId
    readonly terminal: CompletionOutcome | null
    readonly record: InputFacts | TerminalInput
  }
  | { readonly _tag: "Deduplicated"; readonly inputId: InputId; readonly existingId: InputId; readonly open: boolean }

/** A batch that is staged for a run. @since 0.1.0 @category models */
export interface StagedRun {
  readonly runId: RunId
  readonly attempt: number
  readonly records: ReadonlyArray<InputRecord>
  /** feed entries beyond the `agentApplied` cursor, which this run receives */
  readonly completions: ReadonlyArray<CompletionEntry>
}

/**
 * How a failed run is accounted for (D10). The caller computes `notBefore`, jitter included.
 *
 * @since 0.1.0
 * @category models
 */
export interface RunFailure {
  readonly outcome: CompletionOutcome
  readonly detail: string
  readonly retryable: boolean
  /** epoch milliseconds; when the driving members may run again */
  readonly notBefore: number
}

/** What a run hands over for the boundary commit. The caller computes the digests. @since 0.1.0 @category models */
export interface RunOutput {
  readonly session: SessionPart | null
  readonly conversationDigest: Sha256 | null
  readonly messageCount: number
  readonly outcome: CompletionOutcome
  /** the run received the feed up to here; the cursor moves with the boundary commit (D29) */
  readonly agentApplied: number
}
