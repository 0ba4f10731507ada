/**
 * The executor: the value that runs a session's inputs, the turn that it is given, and the output that it returns.
 * Users implement it; the loop of the machine calls it. Each run calls `apply` once.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { RunResult } from "../src/domain/Completion.js"
import type { ControlFailed, ExecutorError, ExecutorFault } from "../src/domain/Errors.js"
import type { RunId, SessionId } from "../src/domain/Ids.js"
import type { Input } from "../src/domain/Input.js"
import type { Json } from "../src/domain/Json.js"
import type { MediaData, Message } from "../src/domain/Message.js"
import type { CompletionEntry } from "../src/domain/Operation.js"
import type { SessionHead } from "../src/domain/RuntimeCommit.js"
import type { SessionToolVisibilityState } from "../src/domain/ToolVisibility.js"
import type { ContextAppend, ExecutionKind, RunBoundary, TurnMetadata } from "../src/domain/Turn.js"
import type { SessionOperations } from "./SessionOperations.js"

/** How a turn changes the session's body. @since 0.1.0 @category models */
export type SessionUpdate =
  /** appends the messages of the turn's inputs, then these messages */
  | { readonly _tag: "Reply"; readonly messages: ReadonlyArray<Message> }
  | { readonly _tag: "Append"; readonly messages: ReadonlyArray<Message> }
  | { readonly _tag: "Replace"; readonly messages: ReadonlyArray<Message> }
  | { readonly _tag: "Opaque"; readonly bytes: Uint8Array; readonly messageCount: number }
  | { readonly _tag: "None" }

/**
 * How a turn ended successfully. `null` in `TurnOutput` means: consumed without a result.
 *
 * @since 0.1.0
 * @category models
 */
export type TurnTerminal =
  | { readonly _tag: "RunResult"; readonly result: RunResult }
  | { readonly _tag: "CallbackPending"; readonly toolName: string; readonly args: Json }
  | { readonly _tag: "NoPendingBoundary" }

/**
 * The result of `apply`. Body, result and the end of the inputs are committed together.
 *
 * @since 0.1.0
 * @category models
 */
export interface TurnOutput {
  readonly session: SessionUpdate
  readonly terminal: TurnTerminal | null
}

/** What the executor is given for one run. @since 0.1.0 @category models */
export interface Turn {
  readonly sessionId: SessionId
  readonly runId: RunId
  /** highest staging count among the inputs, from 1 */
  readonly attempt: number
  /** the batch, in order */
  readonly inputs: ReadonlyArray<Input>
  /** the content of the inputs as messages */
  readonly appends: ReadonlyArray<Message>
  /** the content of the inputs as keyed context */
  readonly contexts: ReadonlyArray<ContextAppend>
  readonly metadata: TurnMetadata
  readonly boundary: RunBoundary
  readonly executionKind: ExecutionKind
  /** background operations that ended since the last committed turn */
  readonly completions: ReadonlyArray<CompletionEntry>
  /** the committed body, streamed from the store; a read that fails counts as a failed attempt */
  readonly history: Stream.Stream<Message, ExecutorFault>
  readonly head: SessionHead
  /** the tools that the session shows in this run; pass it to `VisibleTools.visibleTools` */
  readonly visibility: SessionToolVisibilityState
  /** the bytes of an image or a video, inline or from the blob store; a blob that cannot be read is a failed attempt */
  readonly media: (data: MediaData) => Effect.Effect<Uint8Array, ExecutorFault>
  /** completes when the run is asked to yield at its next boundary; finishing early then is a success (D16) */
  readonly boundaryRequested: Effect.Effect<void>
  /** the session's background operations, which outlive the turn (D28) */
  readonly operations: SessionOperations
  /** hands the output over early: it counts even if the run is interrupted afterwards (D17) */
  readonly finish: (output: TurnOutput) => Effect.Effect<void>
}

/** Names the run that a control request addresses. @since 0.1.0 @category models */
export interface ControlRequest {
  readonly runId: RunId
  readonly reason: string
}

/**
 * Runs a session's inputs. It is a value per session, not a service: two sessions may have different executors.
 *
 * @since 0.1.0
 * @category models
 */
export interface CoreExecutor {
  readonly apply: (turn: Turn) => Effect.Effect<TurnOutput, ExecutorError>
  /** called once per run, with the request to yield at the next boundary; `turn.boundaryRequested` completes as well */
  readonly cancelAfterBoundary?: (request: ControlRequest) => Effect.Effect<void, ControlFailed>
  /** the interrupt handle; called before the run's fiber is interrupted (after `cancelGrace`) */
  readonly hardCancel?: (request: ControlRequest) => Effect.Effect<void, ControlFailed>
  /** called once, when the attachment ends */
  readonly stop?: (reason: string) => Effect.Effect<void, ControlFailed>
  /** called after the stop is durable; the machine logs its failures */
  readonly cleanupAfterStop?: Effect.Effect<void, ControlFailed>
}

/**
 * Makes an executor from its `apply` and captures the current context. Each turn has its own scope: resources that a
 * turn acquires are released when it ends.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as CoreExecutor from "effect-meerkat/services/CoreExecutor"
 * import * as Turn from "effect-meerkat/services/Turn"
 *
 * const echo = CoreExecutor.make(() => Effect.succeed(Turn.reply("hello")))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <R = never>(
  apply: (turn: Turn) => Effect.Effect<TurnOutput, ExecutorError, R>,
  handles?: Omit<CoreExecutor, "apply">
): Effect.Effect<CoreExecutor, never, Exclude<R, Scope.Scope>> =>
  Effect.map(Effect.context<Exclude<R, Scope.Scope>>(), (context) => ({
    ...handles,
    apply: (turn: Turn) => Effect.provide(Effect.scoped(apply(turn)), context)
  }))

/**
 * The session that the current fiber runs for, as run, operation or hook; null outside.
 *
 * @since 0.1.0
 * @category references
 */
export class CurrentSession extends Context.Reference<CurrentSession>()("effect-meerkat/services/CurrentSession", {
  defaultValue: (): {
    readonly sessionId: SessionId
    readonly runId: RunId | null
    readonly role: "run" | "operation" | "drain" | "hook" | "llmHost"
  } | null => null
}) {}
