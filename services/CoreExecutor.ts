/** @since 0.1.0 */
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

/** What a turn does to the session's body. @since 0.1.0 @category models */
export type SessionUpdate =
  /** appends what the turn's inputs said, then these */
  | { readonly _tag: "Reply"; readonly messages: ReadonlyArray<Message> }
  | { readonly _tag: "Append"; readonly messages: ReadonlyArray<Message> }
  | { readonly _tag: "Replace"; readonly messages: ReadonlyArray<Message> }
  | { readonly _tag: "Opaque"; readonly bytes: Uint8Array; readonly messageCount: number }
  | { readonly _tag: "None" }

/** How a turn ended well. `null` in `TurnOutput` means: consumed without a result. @since 0.1.0 @category models */
export type TurnTerminal =
  | { readonly _tag: "RunResult"; readonly result: RunResult }
  | { readonly _tag: "CallbackPending"; readonly toolName: string; readonly args: Json }
  | { readonly _tag: "NoPendingBoundary" }

/** What `apply` hands over: body and answer are committed together with the inputs' end. @since 0.1.0 @category models */
export interface TurnOutput {
  readonly session: SessionUpdate
  readonly terminal: TurnTerminal | null
}

/** One run of the executor. @since 0.1.0 @category models */
export interface Turn {
  readonly sessionId: SessionId
  readonly runId: RunId
  /** highest staging count among the inputs, from 1 */
  readonly attempt: number
  /** the batch, in order */
  readonly inputs: ReadonlyArray<Input>
  /** what the inputs say, as messages */
  readonly appends: ReadonlyArray<Message>
  /** what the inputs say, as keyed context */
  readonly contexts: ReadonlyArray<ContextAppend>
  readonly metadata: TurnMetadata
  readonly boundary: RunBoundary
  readonly executionKind: ExecutionKind
  /** background operations that ended since the last committed turn */
  readonly completions: ReadonlyArray<CompletionEntry>
  /** the committed body, streamed from the store; a read that fails is a failed attempt like any other */
  readonly history: Stream.Stream<Message, ExecutorFault>
  readonly head: SessionHead
  /** which tools the session shows in this run: for `VisibleTools.visibleTools` */
  readonly visibility: SessionToolVisibilityState
  /** the bytes of an image or a video, wherever they are kept; a blob that cannot be read is a failed attempt */
  readonly media: (data: MediaData) => Effect.Effect<Uint8Array, ExecutorFault>
  /** completes when the run is asked to yield at its next boundary; finishing early then is a success (D16) */
  readonly boundaryRequested: Effect.Effect<void>
  /** background work that outlives the turn: the operations of the session (D28) */
  readonly operations: SessionOperations
  /** hands the result over early: it counts even if the run is interrupted afterwards (D17) */
  readonly finish: (output: TurnOutput) => Effect.Effect<void>
}

/** Whom a control request is for. @since 0.1.0 @category models */
export interface ControlRequest {
  readonly runId: RunId
  readonly reason: string
}

/**
 * What runs a session's inputs. A value per session, not a service: two sessions may have different ones.
 *
 * @since 0.1.0
 * @category models
 */
export interface CoreExecutor {
  readonly apply: (turn: Turn) => Effect.Effect<TurnOutput, ExecutorError>
  /** asked once per run to yield at the next boundary; `turn.boundaryRequested` completes as well */
  readonly cancelAfterBoundary?: (request: ControlRequest) => Effect.Effect<void, ControlFailed>
  /** interrupt handle: called before the run's fiber is interrupted (after `cancelGrace`) */
  readonly hardCancel?: (request: ControlRequest) => Effect.Effect<void, ControlFailed>
  /** the attachment ends; called once */
  readonly stop?: (reason: string) => Effect.Effect<void, ControlFailed>
  /** after a durable stop; failures are logged */
  readonly cleanupAfterStop?: Effect.Effect<void, ControlFailed>
}

/**
 * An executor from its `apply`, with the context of this moment. What a turn acquires is released at its end: each has a
 * scope of its own.
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

/** The session whose run or operation the current fiber belongs to; null outside. @since 0.1.0 @category references */
export class CurrentSession extends Context.Reference<CurrentSession>()("effect-meerkat/services/CurrentSession", {
  defaultValue: (): {
    readonly sessionId: SessionId
    readonly runId: RunId | null
    readonly role: "run" | "operation" | "drain" | "hook" | "llmHost"
  } | null => null
}) {}
