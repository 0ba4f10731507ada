/** @since 0.1.0 */
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

/** What accepting an input came to. @since 0.1.0 @category models */
export type AcceptOutcome =
  | { readonly _tag: "Accepted"; readonly inputId: InputId; readonly state: InputState }
  | { readonly _tag: "Deduplicated"; readonly inputId: InputId; readonly existingId: InputId }

/** How an input will end. @since 0.1.0 @category models */
export interface Completion {
  readonly inputId: InputId
  /** Waits for the end of the input. Never fails, may be awaited many times; interrupting a waiter does not touch the work. */
  readonly wait: Effect.Effect<CompletionOutcome>
}

/** What accepting an input came to, and the end to wait for. @since 0.1.0 @category models */
export interface AcceptedWithCompletion {
  readonly outcome: AcceptOutcome
  /** none for an input that was terminal already */
  readonly completion: Option.Option<Completion>
}

/** A prompt that is stored: what its admission came to, and the end to wait for. @since 0.1.0 @category models */
export interface Prompted {
  readonly outcome: AcceptOutcome
  readonly completion: Completion
}

/** Whether this call attached the executor. @since 0.1.0 @category models */
export type AttachOutcome = "attached" | "alreadyAttached"

/** What an unregistration found and did (D7). @since 0.1.0 @category models */
export interface UnregisterReport {
  /** staged inputs that were put back into their lane */
  readonly requeued: number
  /** process-owned operations that were terminated */
  readonly terminatedOperations: number
  /** a fiber did not end within `teardownTimeout` and was left behind, fenced */
  readonly forced: boolean
  /** false when called from inside the session: it was begun, not awaited */
  readonly joined: boolean
}

/** What a stop, reset or destroy came to. @since 0.1.0 @category models */
export interface EndReport {
  readonly inputsAbandoned: number
  /** false when called from inside the session: it was begun, not awaited */
  readonly joined: boolean
}

/** @since 0.1.0 @category models */
export interface RetireReport {
  readonly inputsAbandoned: number
  /** inputs that still run, those of the current run included */
  readonly inputsPendingDrain: number
}

/** @since 0.1.0 @category models */
export interface RecycleReport {
  readonly inputsTransferred: number
}

/** @since 0.1.0 @category models */
export interface RecoverReport {
  readonly inputsRecovered: number
  readonly inputsAbandoned: number
  readonly inputsRequeued: number
}

/** Live facts of a session for people and tests; reading it changes nothing. @since 0.1.0 @category models */
export interface SpineSnapshot {
  readonly sessionId: SessionId
  readonly state: RuntimeState
  readonly driver: "Ephemeral" | "Persistent"
  readonly epochId: EpochId
  readonly incarnation: number
  readonly registration: "Queuing" | "Attaching" | "Active" | "Draining"
  readonly attachmentLive: boolean
  readonly currentRunId: RunId | null
  /** who has the run slot: the session's loop, a service turn, or `acceptInputAndRun` */
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
  /** the task that drains the peers' inbox */
  readonly drain: DrainSnapshot
  /** `storeRefuses`: the end of a run waits in memory; `reloadRequired`: nothing runs until it is registered again */
  readonly health: "ready" | "storeRefuses" | "reloadRequired"
  /** broken predicates of the kernel; empty unless there is a bug */
  readonly violations: ReadonlyArray<{ readonly id: string; readonly detail: string }>
}

/** What a subscriber of a session gets. @since 0.1.0 @category models */
export type SessionFeed =
  | { readonly _tag: "Snapshot"; readonly snapshot: SpineSnapshot }
  | { readonly _tag: "Event"; readonly envelope: RuntimeEventEnvelope }
  | { readonly _tag: "Lagged"; readonly missed: number }

/** The answer did not come in time; the input stays as it is. @since 0.1.0 @category errors */
export class DeadlineExceeded extends Schema.TaggedError<DeadlineExceeded>()("DeadlineExceeded", {
  /** what is known of the input: a repeated call with the same idempotency key is safe in each case */
  admission: Schema.Literal("admitted", "notAdmitted", "unknown"),
  inputId: Schema.optional(Schema.String)
}) {
  override get message(): string {
    return `no answer within the deadline; the input is ${this.admission}`
  }
}

/** How a prompt is to be taken. @since 0.1.0 @category models */
export interface PromptOptions {
  readonly idempotencyKey?: string
  readonly supersessionKey?: string
  readonly correlationId?: string
  readonly blocks?: ReadonlyArray<ContentBlock>
  readonly metadata?: TurnMetadata
  /** queued without waking the session: rides along with the next batch that something else drives */
  readonly hold?: boolean
}

/** @since 0.1.0 @category models */
export interface Deadline {
  /** how long the call may take; on expiry it fails `DeadlineExceeded`, which says what is known of the input */
  readonly deadline: Duration.DurationInput
}

/** No time limit: the call cannot fail `DeadlineExceeded`. @since 0.1.0 @category models */
export interface NoDeadline {
  readonly deadline?: never
}

/** @since 0.1.0 @category models */
export interface SteerOptions extends Omit<PromptOptions, "hold"> {
  /** the run it is meant for; when it cannot join that run any more it becomes a queued input */
  readonly expectedRunId?: RunId
}

/** One deadline holds for admission and answer. @since 0.1.0 @category models */
export interface AskOptions extends PromptOptions, Partial<Deadline> {}

/** `session.prompt`. @since 0.1.0 @category models */
export interface PromptCall {
  /** Queues a prompt; durable when this returns. `completion.wait` of the result gives how it ends. */
  (text: string, options?: PromptOptions & NoDeadline): Effect.Effect<Prompted, RuntimeDriverError>
  /** Queues a prompt; durable when this returns. Fails `DeadlineExceeded` when the admission takes too long. */
  (
    text: string,
    options: PromptOptions & Partial<Deadline>
  ): Effect.Effect<Prompted, RuntimeDriverError | DeadlineExceeded>
}

/** `session.steer`. @since 0.1.0 @category models */
export interface SteerCall {
  /** Goes before queued prompts and asks a running turn to yield at its next boundary; durable when this returns. */
  (text: string, options?: SteerOptions & NoDeadline): Effect.Effect<Prompted, RuntimeDriverError>
  /** The same with a deadline: fails `DeadlineExceeded` when the admission takes too long. */
  (
    text: string,
    options: SteerOptions & Partial<Deadline>
  ): Effect.Effect<Prompted, RuntimeDriverError | DeadlineExceeded>
}

/** One session, as people use it. @since 0.1.0 @category models */
export interface SessionHandle {
  readonly sessionId: SessionId
  /** Queues a prompt; durable when this returns. */
  readonly prompt: PromptCall
  /** Goes before queued prompts and asks a running turn to yield at its next boundary. */
  readonly steer: SteerCall
  /** Queues a prompt and waits for its answer. */
  readonly ask: (
    text: string,
    options?: AskOptions
  ) => Effect.Effect<RunResult, RuntimeDriverError | TurnFailed | DeadlineExceeded>
  /** How an input ended; none while it is open or when it is unknown. */
  readonly outcome: (inputId: InputId) => Effect.Effect<Option.Option<CompletionOutcome>, RuntimeDriverError>
  /** Takes a queued input back: it ends `Cancelled`. */
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
  /** The committed body. */
  readonly history: Stream.Stream<Message, RuntimeDriverError>
  /** Which tools it shows. */
  readonly tools: SessionTools
  /** Which model it speaks to. */
  readonly llm: SessionLlm
  /** Its background operations and their completion feed. */
  readonly operations: SessionOperations
  /** A snapshot, then everything that happens. */
  readonly events: Stream.Stream<SessionFeed, RuntimeDriverError>
  readonly snapshot: Effect.Effect<Option.Option<SpineSnapshot>>
  readonly state: Effect.Effect<RuntimeState, RuntimeDriverError>
  /** The inbox of its peers. */
  readonly comms: SessionComms
  /** Accepts an input and runs it here and now; see `RunsControl.acceptInputAndRun`. For sessions without a loop. */
  readonly acceptAndRun: <A, E, R>(
    input: Input,
    op: (turn: InlineTurn) => Effect.Effect<readonly [A, TurnOutput], E, R>
  ) => Effect.Effect<A, RuntimeDriverError | TurnCancelled | E, R>
  /** Binds the session and gives its bindings: for who runs turns in it by `bindings.turn`. */
  readonly bindings: Effect.Effect<SessionRuntimeBindings, RuntimeDriverError>
}

/**
 * The kernel that owns all sessions of a process.
 *
 * A call addressed to an unknown session fails `NotReady{destroyed}` (`isUnknownSession` tells), one to a destroyed
 * session fails `Destroyed`. Store trouble is `Internal` with `retryable`.
 *
 * @since 0.1.0
 * @category models
 */
export interface MeerkatMachineService
  extends BindingsControl, CommsControl, LlmControl, OperationsControl, RunsControl, ToolsControl
{
  // --- registration
  /** Makes a session live: recovers it from the store. Registering a live session again does nothing. */
  readonly registerSession: (sessionId: SessionId) => Effect.Effect<void, RuntimeDriverError>
  /** Takes a live session down (D7): nothing of it acts afterwards; what it holds stays in the store. */
  readonly unregisterSession: (sessionId: SessionId) => Effect.Effect<UnregisterReport, RuntimeDriverError>
  /** The same, if the live session still is the one of that epoch. */
  readonly unregisterSessionIfEpoch: (
    sessionId: SessionId,
    epochId: EpochId
  ) => Effect.Effect<Option.Option<UnregisterReport>, RuntimeDriverError>
  /** Registers the session if need be, and attaches the executor unless one is attached. */
  readonly ensureSessionWithExecutor: (
    sessionId: SessionId,
    executor: CoreExecutor
  ) => Effect.Effect<AttachOutcome, RuntimeDriverError>
  /** Another name of `ensureSessionWithExecutor`. */
  readonly registerSessionWithExecutor: (
    sessionId: SessionId,
    executor: CoreExecutor
  ) => Effect.Effect<AttachOutcome, RuntimeDriverError>
  /** The same; the executor is built only after the claim is won, in the scope of the attachment. */
  readonly ensureSessionWithExecutorFactory: <E, R>(
    sessionId: SessionId,
    make: Effect.Effect<CoreExecutor, E, R>
  ) => Effect.Effect<AttachOutcome, RuntimeDriverError | E, Exclude<R, Scope.Scope>>
  readonly containsSession: (sessionId: SessionId) => Effect.Effect<boolean>
  readonly sessionHasExecutor: (sessionId: SessionId) => Effect.Effect<boolean>
  /** Peer requests with these intents ride along silently. */
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
  /** Whether there is open work that a live loop now looks at again. */
  readonly wakeRuntimeIfActiveInputs: (sessionId: SessionId) => Effect.Effect<boolean, RuntimeDriverError>
  readonly retractInput: (sessionId: SessionId, inputId: InputId) => Effect.Effect<void, RuntimeDriverError>
  readonly promoteInput: (sessionId: SessionId, inputId: InputId) => Effect.Effect<void, RuntimeDriverError>
  // --- runs
  readonly hardCancelCurrentRun: (sessionId: SessionId, reason: string) => Effect.Effect<void, RuntimeDriverError>
  readonly cancelAfterBoundary: (sessionId: SessionId, reason: string) => Effect.Effect<void, RuntimeDriverError>
  // --- lifecycle
  /** Ends the loop after the current run, abandons the queue; the session is `stopped` until it is registered anew. */
  readonly stopRuntimeExecutor: (
    sessionId: SessionId,
    reason: string
  ) => Effect.Effect<EndReport, RuntimeDriverError>
  /** Accepts nothing more; a live loop drains what is there, without one it is abandoned. */
  readonly retireRuntime: (sessionId: SessionId) => Effect.Effect<RetireReport, RuntimeDriverError>
  /** Abandons the queue; the session goes on. Refused while running. */
  readonly resetRuntime: (sessionId: SessionId) => Effect.Effect<EndReport, RuntimeDriverError>
  /** Keeps the queue and brings a retired session back. Refused while running. */
  readonly recycleRuntime: (sessionId: SessionId) => Effect.Effect<RecycleReport, RuntimeDriverError>
  readonly recoverRuntime: (sessionId: SessionId) => Effect.Effect<RecoverReport, RuntimeDriverError>
  /** Ends the session for good, its run included. */
  readonly destroyRuntime: (sessionId: SessionId) => Effect.Effect<EndReport, RuntimeDriverError>
  /** Tells the session's subscribers something of one's own. */
  readonly publishEvent: (
    sessionId: SessionId,
    event: { readonly kind: string; readonly payload: Json }
  ) => Effect.Effect<void, RuntimeDriverError>
  // --- reads
  readonly runtimeState: (sessionId: SessionId) => Effect.Effect<RuntimeState, RuntimeDriverError>
  /** The state of now, then every change of it. */
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
  /** Fibers that the machine runs right now; 0 once its layer is closed. */
  readonly fiberCount: Effect.Effect<number>
  // --- handles
  /** A handle that looks the session up at each call. */
  readonly session: (sessionId: SessionId) => SessionHandle
  /**
   * Registers the session if need be, attaches the executor, and gives a handle that stays with this incarnation.
   * When the scope closes the session is unregistered if this call registered it.
   */
  readonly sessionScoped: <E = never, R = never>(
    sessionId: string,
    executor: CoreExecutor | Effect.Effect<CoreExecutor, E, R | Scope.Scope>
  ) => Effect.Effect<SessionHandle, RuntimeDriverError | E, R | Scope.Scope>
}

/** @since 0.1.0 @category tags */
export class MeerkatMachine extends Context.Tag("effect-meerkat/services/MeerkatMachine")<
  MeerkatMachine,
  MeerkatMachineService
>() {}
