/**
 * The public interface of the machine: the calls by session id, and `SessionHandle`, the same calls for one session.
 *
 * `MeerkatMachineLive` implements it; applications and the command line call it. Invariants: an admission returns after
 * the input is durable, unless it is ephemeral; a state is visible only after all that must be durable in it is committed.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { CompletionOutcome, RunResult, TurnFailed } from "../src/domain/Completion.js"
import type { DrainSnapshot } from "../src/domain/DrainSlot.js"
import type { Internal, RuntimeDriverError, TurnCancelled } from "../src/domain/Errors.js"
import type { EpochId, InputId, RunId, SessionId } from "../src/domain/Ids.js"
import type { Input } from "../src/domain/Input.js"
import type { InputState } from "../src/domain/InputRecord.js"
import type { Json } from "../src/domain/Json.js"
import type { ContentBlock, Message } from "../src/domain/Message.js"
import type { RunBoundaryReceipt } from "../src/domain/Receipt.js"
import type { RuntimeEventEnvelope } from "../src/domain/RuntimeEvent.js"
import type { RunOwner, RuntimeState } from "../src/domain/RuntimeState.js"
import type { SessionToolVisibilityState } from "../src/domain/ToolVisibility.js"
import type { TurnMetadata } from "../src/domain/Turn.js"
import type { CoreExecutor, TurnOutput } from "./CoreExecutor.js"
import type { SessionFilter, StoredSession } from "./RuntimeStore.js"
import type { BindingsControl, SessionRuntimeBindings } from "./SessionBindings.js"
import type { CommsControl, SessionComms } from "./SessionComms.js"
import type { LlmControl, SessionLlm } from "./SessionLlm.js"
import type { OperationsControl, SessionOperations } from "./SessionOperations.js"
import type { InlineTurn, RunsControl } from "./SessionRuns.js"
import type { SessionTools, ToolsControl } from "./SessionTools.js"

/** Whether an input was admitted, or is the duplicate of an admitted input. @since 0.1.0 @category models */
export type AcceptOutcome =
  | { readonly _tag: "Accepted"; readonly inputId: InputId; readonly state: InputState }
  | { readonly _tag: "Deduplicated"; readonly inputId: InputId; readonly existingId: InputId }

/** The handle of an accepted input, to wait for its end. @since 0.1.0 @category models */
export interface Completion {
  readonly inputId: InputId
  /**
   * Waits for the end of the input and returns its outcome. It never fails, and callers may wait many times.
   * Interrupting a waiter does not affect the work.
   */
  readonly wait: Effect.Effect<CompletionOutcome>
}

/** The result of an admission, and the handle to wait for the end. @since 0.1.0 @category models */
export interface AcceptedWithCompletion {
  readonly outcome: AcceptOutcome
  /** empty for an input that had already ended */
  readonly completion: Option.Option<Completion>
}

/** A stored prompt: the result of its admission, and the handle to wait for the end. @since 0.1.0 @category models */
export interface Prompted {
  readonly outcome: AcceptOutcome
  readonly completion: Completion
}

/** Whether this call attached the executor. @since 0.1.0 @category models */
export type AttachOutcome = "attached" | "alreadyAttached"

/** What an unregistration found and did (D7). @since 0.1.0 @category models */
export interface UnregisterReport {
  /** the number of staged inputs that went back to their lane */
  readonly requeued: number
  /** the number of process-owned operations that were terminated */
  readonly terminatedOperations: number
  /** true if a fiber did not end within `teardownTimeout`; it was left behind, fenced */
  readonly forced: boolean
  /** false for a call from inside the session: the call began the end and did not wait for it */
  readonly joined: boolean
}

/** What a stop, reset or destroy did. @since 0.1.0 @category models */
export interface EndReport {
  readonly inputsAbandoned: number
  /** false for a call from inside the session: the call began the end and did not wait for it */
  readonly joined: boolean
}

/** What a retirement did. @since 0.1.0 @category models */
export interface RetireReport {
  readonly inputsAbandoned: number
  /** inputs that will still run, including those of the current run */
  readonly inputsPendingDrain: number
}

/** What a recycling did. @since 0.1.0 @category models */
export interface RecycleReport {
  readonly inputsTransferred: number
}

/** What a recovery did. @since 0.1.0 @category models */
export interface RecoverReport {
  readonly inputsRecovered: number
  readonly inputsAbandoned: number
  readonly inputsRequeued: number
}

/** The live state of a session, for people and tests. Reading it changes nothing. @since 0.1.0 @category models */
export interface SpineSnapshot {
  readonly sessionId: SessionId
  readonly state: RuntimeState
  readonly driver: "Ephemeral" | "Persistent"
  readonly epochId: EpochId
  readonly incarnation: number
  readonly registration: "Queuing" | "Attaching" | "Active" | "Draining"
  readonly attachmentLive: boolean
  readonly currentRunId: RunId | null
  /** the owner of the run slot: the session's loop, a service turn, or `acceptInputAndRun` */
  readonly currentRunOwner: RunOwner | null
  readonly contributors: ReadonlyArray<InputId>
  readonly queue: ReadonlyArray<InputState>
  readonly steer: ReadonlyArray<InputState>
  readonly staged: ReadonlyArray<InputState>
  readonly waiters: ReadonlyArray<{ readonly inputId: InputId; readonly count: number }>
  readonly silentIntents: ReadonlyArray<string>
  readonly tools: SessionToolVisibilityState
  readonly cursors: { readonly agentApplied: number; readonly observed: number; readonly injected: number }
  readonly messageCount: number
  /** the task that drains the peer inbox */
  readonly drain: DrainSnapshot
  /** `storeRefuses`: the end of a run waits in memory; `reloadRequired`: nothing runs until a new registration */
  readonly health: "ready" | "storeRefuses" | "reloadRequired"
  /** broken invariants of the kernel; empty unless the code has a bug */
  readonly violations: ReadonlyArray<{ readonly id: string; readonly detail: string }>
}

/** An element of a session's event stream. @since 0.1.0 @category models */
export type SessionFeed =
  | { readonly _tag: "Snapshot"; readonly snapshot: SpineSnapshot }
  | { readonly _tag: "Event"; readonly envelope: RuntimeEventEnvelope }
  | { readonly _tag: "Lagged"; readonly missed: number }

/** The deadline passed before the answer. The input keeps its state: an admitted input stays queued or running. @since 0.1.0 @category errors */
export class DeadlineExceeded extends Schema.TaggedError<DeadlineExceeded>()("DeadlineExceeded", {
  /** whether the input was admitted; a retry with the same idempotency key is safe in each case */
  admission: Schema.Literal("admitted", "notAdmitted", "unknown"),
  inputId: Schema.optional(Schema.String)
}) {
  override get message(): string {
    return `no answer within the deadline; the input is ${this.admission}`
  }
}

/** Options of a prompt. @since 0.1.0 @category models */
export interface PromptOptions {
  readonly idempotencyKey?: string
  readonly supersessionKey?: string
  readonly correlationId?: string
  readonly blocks?: ReadonlyArray<ContentBlock>
  readonly metadata?: TurnMetadata
  /** queues the prompt without waking the session: it rides along with the next batch that another input drives */
  readonly hold?: boolean
}

/** A time limit of a call. @since 0.1.0 @category models */
export interface Deadline {
  /** how long the call may take; then it fails `DeadlineExceeded`, which says whether the input was admitted */
  readonly deadline: Duration.DurationInput
}

/** No time limit: the call cannot fail `DeadlineExceeded`. @since 0.1.0 @category models */
export interface NoDeadline {
  readonly deadline?: never
}

/** Options of a steering prompt. @since 0.1.0 @category models */
export interface SteerOptions extends Omit<PromptOptions, "hold"> {
  /** the run that the prompt is meant for; if it can no longer join that run it becomes a queued input */
  readonly expectedRunId?: RunId
}

/** Options of `ask`. One deadline covers admission and answer. @since 0.1.0 @category models */
export interface AskOptions extends PromptOptions, Partial<Deadline> {}

/** `session.prompt`. @since 0.1.0 @category models */
export interface PromptCall {
  /** Queues a prompt; it is durable when this returns. `completion.wait` of the result returns its outcome. */
  (text: string, options?: PromptOptions & NoDeadline): Effect.Effect<Prompted, RuntimeDriverError>
  /** Queues a prompt; it is durable when this returns. Fails `DeadlineExceeded` if the admission takes too long. */
  (
    text: string,
    options: PromptOptions & Partial<Deadline>
  ): Effect.Effect<Prompted, RuntimeDriverError | DeadlineExceeded>
}

/** `session.steer`. @since 0.1.0 @category models */
export interface SteerCall {
  /** Queues a prompt before all others and asks a running turn to yield at its next boundary. It is durable on return. */
  (text: string, options?: SteerOptions & NoDeadline): Effect.Effect<Prompted, RuntimeDriverError>
  /** Does the same with a deadline. Fails `DeadlineExceeded` if the admission takes too long. */
  (
    text: string,
    options: SteerOptions & Partial<Deadline>
  ): Effect.Effect<Prompted, RuntimeDriverError | DeadlineExceeded>
}

/** The calls of the machine for one session. @since 0.1.0 @category models */
export interface SessionHandle {
  readonly sessionId: SessionId
  /** Queues a prompt; it is durable when this returns. */
  readonly prompt: PromptCall
  /** Queues a prompt before all others and asks a running turn to yield at its next boundary. */
  readonly steer: SteerCall
  /** Queues a prompt and waits for its answer. */
  readonly ask: (
    text: string,
    options?: AskOptions
  ) => Effect.Effect<RunResult, RuntimeDriverError | TurnFailed | DeadlineExceeded>
  /** Returns how an input ended; empty while the input is open, or if it is unknown. */
  readonly outcome: (inputId: InputId) => Effect.Effect<Option.Option<CompletionOutcome>, RuntimeDriverError>
  /** Removes a queued input: it ends `Cancelled`. */
  readonly retract: (inputId: InputId) => Effect.Effect<void, RuntimeDriverError>
  /** Moves a queued input into the steer lane. */
  readonly promote: (inputId: InputId) => Effect.Effect<void, RuntimeDriverError>
  /** Ends the current run; its inputs end `Cancelled`. */
  readonly cancel: (reason: string) => Effect.Effect<void, RuntimeDriverError>
  /** Asks the current run to yield at its next boundary. */
  readonly yieldRun: (reason: string) => Effect.Effect<void, RuntimeDriverError>
  readonly stop: (reason: string) => Effect.Effect<EndReport, RuntimeDriverError>
  readonly retire: Effect.Effect<RetireReport, RuntimeDriverError>
  readonly reset: Effect.Effect<EndReport, RuntimeDriverError>
  readonly recycle: Effect.Effect<RecycleReport, RuntimeDriverError>
  readonly destroy: Effect.Effect<EndReport, RuntimeDriverError>
  /** The committed messages, in order. */
  readonly history: Stream.Stream<Message, RuntimeDriverError>
  /** Which tools the session shows to its executor. */
  readonly tools: SessionTools
  /** Which model the session uses. */
  readonly llm: SessionLlm
  /** The session's background operations and their completion feed. */
  readonly operations: SessionOperations
  /** A snapshot, then every event. A subscriber that falls behind gets `Lagged`. */
  readonly events: Stream.Stream<SessionFeed, RuntimeDriverError>
  readonly snapshot: Effect.Effect<Option.Option<SpineSnapshot>>
  readonly state: Effect.Effect<RuntimeState, RuntimeDriverError>
  /** The inbox for messages of peers. */
  readonly comms: SessionComms
  /** Accepts an input and runs it in the caller's fiber; see `RunsControl.acceptInputAndRun`. For sessions without a loop. */
  readonly acceptAndRun: <A, E, R>(
    input: Input,
    op: (turn: InlineTurn) => Effect.Effect<readonly [A, TurnOutput], E, R>
  ) => Effect.Effect<A, RuntimeDriverError | TurnCancelled | E, R>
  /** Binds the session and returns its bindings, for callers that run turns with `bindings.turn`. */
  readonly bindings: Effect.Effect<SessionRuntimeBindings, RuntimeDriverError>
}

/**
 * The machine that owns all sessions of a process.
 *
 * A call to an unknown session fails `NotReady{destroyed}`; `isUnknownSession` recognizes that error. A call to a
 * destroyed session fails `Destroyed`. A failure of the store is `Internal` with `retryable`.
 *
 * @since 0.1.0
 * @category models
 */
export interface MeerkatMachineService
  extends BindingsControl, CommsControl, LlmControl, OperationsControl, RunsControl, ToolsControl
{
  // --- registration
  /** Recovers a session from the store and makes it live. Registering a live session again does nothing. */
  readonly registerSession: (sessionId: SessionId) => Effect.Effect<void, RuntimeDriverError>
  /** Ends a live session in this process (D7). No part of it acts afterwards; its inputs and messages stay in the store. */
  readonly unregisterSession: (sessionId: SessionId) => Effect.Effect<UnregisterReport, RuntimeDriverError>
  /** Does the same if the live session has this epoch; returns empty otherwise. */
  readonly unregisterSessionIfEpoch: (
    sessionId: SessionId,
    epochId: EpochId
  ) => Effect.Effect<Option.Option<UnregisterReport>, RuntimeDriverError>
  /** Registers the session if it is not live, and attaches the executor unless one is attached. */
  readonly ensureSessionWithExecutor: (
    sessionId: SessionId,
    executor: CoreExecutor
  ) => Effect.Effect<AttachOutcome, RuntimeDriverError>
  /** Another name of `ensureSessionWithExecutor`. */
  readonly registerSessionWithExecutor: (
    sessionId: SessionId,
    executor: CoreExecutor
  ) => Effect.Effect<AttachOutcome, RuntimeDriverError>
  /** Does the same, but builds the executor only after this call won the claim, in the scope of the attachment. */
  readonly ensureSessionWithExecutorFactory: <E, R>(
    sessionId: SessionId,
    make: Effect.Effect<CoreExecutor, E, R>
  ) => Effect.Effect<AttachOutcome, RuntimeDriverError | E, Exclude<R, Scope.Scope>>
  readonly containsSession: (sessionId: SessionId) => Effect.Effect<boolean>
  readonly sessionHasExecutor: (sessionId: SessionId) => Effect.Effect<boolean>
  /** Sets the silent intents: peer requests with them ride along and drive no run. */
  readonly setSessionSilentIntents: (
    sessionId: SessionId,
    intents: ReadonlyArray<string>
  ) => Effect.Effect<void, RuntimeDriverError>
  // --- admission
  readonly acceptInput: (sessionId: SessionId, input: Input) => Effect.Effect<AcceptOutcome, RuntimeDriverError>
  readonly acceptInputWithCompletion: (
    sessionId: SessionId,
    input: Input
  ) => Effect.Effect<AcceptedWithCompletion, RuntimeDriverError>
  readonly acceptInputWithoutWake: (
    sessionId: SessionId,
    input: Input
  ) => Effect.Effect<AcceptOutcome, RuntimeDriverError>
  /** Returns whether the session has open inputs, which its live loop then runs. Fails `NotReady` if it has no loop. */
  readonly wakeRuntimeIfActiveInputs: (sessionId: SessionId) => Effect.Effect<boolean, RuntimeDriverError>
  readonly retractInput: (sessionId: SessionId, inputId: InputId) => Effect.Effect<void, RuntimeDriverError>
  readonly promoteInput: (sessionId: SessionId, inputId: InputId) => Effect.Effect<void, RuntimeDriverError>
  // --- runs
  readonly hardCancelCurrentRun: (sessionId: SessionId, reason: string) => Effect.Effect<void, RuntimeDriverError>
  readonly cancelAfterBoundary: (sessionId: SessionId, reason: string) => Effect.Effect<void, RuntimeDriverError>
  // --- lifecycle
  /** Ends the loop after the current run and abandons the queue. The session is `stopped` until its next registration. */
  readonly stopRuntimeExecutor: (
    sessionId: SessionId,
    reason: string
  ) => Effect.Effect<EndReport, RuntimeDriverError>
  /** Refuses further inputs. A live loop drains the queue; without a loop the queue is abandoned. */
  readonly retireRuntime: (sessionId: SessionId) => Effect.Effect<RetireReport, RuntimeDriverError>
  /** Abandons the queue; the session stays usable. Refused during a run. */
  readonly resetRuntime: (sessionId: SessionId) => Effect.Effect<EndReport, RuntimeDriverError>
  /** Keeps the queue and makes a retired session accept inputs again. Refused during a run. */
  readonly recycleRuntime: (sessionId: SessionId) => Effect.Effect<RecycleReport, RuntimeDriverError>
  readonly recoverRuntime: (sessionId: SessionId) => Effect.Effect<RecoverReport, RuntimeDriverError>
  /** Ends the session and its run for good. */
  readonly destroyRuntime: (sessionId: SessionId) => Effect.Effect<EndReport, RuntimeDriverError>
  /** Publishes an event of the application to the session's subscribers. */
  readonly publishEvent: (
    sessionId: SessionId,
    event: { readonly kind: string; readonly payload: Json }
  ) => Effect.Effect<void, RuntimeDriverError>
  // --- reads
  readonly runtimeState: (sessionId: SessionId) => Effect.Effect<RuntimeState, RuntimeDriverError>
  /** The current state, then every change of it. */
  readonly runtimeStateChanges: (sessionId: SessionId) => Stream.Stream<RuntimeState, RuntimeDriverError>
  readonly inputState: (
    sessionId: SessionId,
    inputId: InputId
  ) => Effect.Effect<Option.Option<InputState>, RuntimeDriverError>
  readonly outcome: (
    sessionId: SessionId,
    inputId: InputId
  ) => Effect.Effect<Option.Option<CompletionOutcome>, RuntimeDriverError>
  readonly listActiveInputs: (sessionId: SessionId) => Effect.Effect<ReadonlyArray<InputId>, RuntimeDriverError>
  readonly loadBoundaryReceipt: (
    sessionId: SessionId,
    runId: RunId,
    sequence: number
  ) => Effect.Effect<Option.Option<RunBoundaryReceipt>, RuntimeDriverError>
  readonly history: (sessionId: SessionId) => Stream.Stream<Message, RuntimeDriverError>
  readonly runtimeEvents: (sessionId: SessionId) => Stream.Stream<SessionFeed, RuntimeDriverError>
  readonly meerkatMachineSpineSnapshot: (sessionId: SessionId) => Effect.Effect<Option.Option<SpineSnapshot>>
  readonly storedSessions: (filter?: SessionFilter) => Stream.Stream<StoredSession, Internal>
  /** The number of fibers that the machine runs right now; 0 after its layer is closed. */
  readonly fiberCount: Effect.Effect<number>
  // --- handles
  /** Returns a handle that looks the session up at each call. */
  readonly session: (sessionId: SessionId) => SessionHandle
  /**
   * Registers the session if it is not live, attaches the executor, and returns a handle bound to this incarnation.
   * When the scope closes, the session is unregistered if this call registered it.
   */
  readonly sessionScoped: <E = never, R = never>(
    sessionId: string,
    executor: CoreExecutor | Effect.Effect<CoreExecutor, E, R | Scope.Scope>
  ) => Effect.Effect<SessionHandle, RuntimeDriverError | E, R | Scope.Scope>
}

/** The service tag of the machine. @since 0.1.0 @category tags */
export class MeerkatMachine extends Context.Tag("effect-meerkat/services/MeerkatMachine")<
  MeerkatMachine,
  MeerkatMachineService
>() {}
