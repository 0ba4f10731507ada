/**
 * The typed errors of the public API: calls by session id and by runtime id, executors, operations. Kernel rejections
 * and store failures are mapped to these types; each message says what is wrong.
 *
 * @since 0.1.0
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { OperationId, RuntimeId, SessionId } from "./Ids.js"
import { RuntimeState } from "./RuntimeState.js"

/** Why an input or another argument was refused. @since 0.1.0 @category schemas */
export const ValidationDetail = Schema.Union(
  Schema.TaggedStruct("DurabilityViolation", { detail: Schema.String }),
  Schema.TaggedStruct("PeerHandlingModeInvalid", { detail: Schema.String }),
  Schema.TaggedStruct("PeerResponseTerminalInvalid", { detail: Schema.String }),
  Schema.TaggedStruct("InvalidSessionId", { detail: Schema.String }),
  Schema.TaggedStruct("InvalidInput", { detail: Schema.String }),
  Schema.TaggedStruct("TooLarge", { bytes: Schema.Number, limit: Schema.Number }),
  Schema.TaggedStruct("WouldDeadlock", { detail: Schema.String }),
  Schema.TaggedStruct("DeduplicationUnsupported", { existingId: Schema.String }),
  Schema.TaggedStruct("InputNotQueued", { inputId: Schema.String, phase: Schema.String }),
  Schema.TaggedStruct("Conflict", { detail: Schema.String }),
  /** a decision about tools names forbidden tools (sorted), or tools with wrong witnesses */
  Schema.TaggedStruct("StageError", {
    kind: Schema.Literal(
      "UnknownTools",
      "MissingWitnesses",
      "MissingFilterWitnesses",
      "InvalidWitnesses",
      "InvalidFilterWitnesses"
    ),
    names: Schema.Array(Schema.String)
  }),
  Schema.TaggedStruct("InvalidReconfigure", { detail: Schema.String }),
  Schema.TaggedStruct("NoBinding", { detail: Schema.String })
)
/** @since 0.1.0 @category models */
export type ValidationDetail = typeof ValidationDetail.Type

/** The session's state does not allow the call. @since 0.1.0 @category errors */
export class NotReady extends Schema.TaggedError<NotReady>()("NotReady", {
  state: RuntimeState,
  detail: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
}

/** An argument of the caller is invalid; nothing changed. @since 0.1.0 @category errors */
export class ValidationFailed extends Schema.TaggedError<ValidationFailed>()("ValidationFailed", {
  reason: Schema.String,
  detail: ValidationDetail
}) {
  override get message(): string {
    return this.reason
  }
}

/** The session was destroyed; it cannot be registered again. @since 0.1.0 @category errors */
export class Destroyed extends Schema.TaggedError<Destroyed>()("Destroyed", {
  sessionId: SessionId
}) {
  override get message(): string {
    return `session "${this.sessionId}" was destroyed`
  }
}

/** The stored state of a session contradicts itself or cannot be read. @since 0.1.0 @category errors */
export class RecoveryCorruption extends Schema.TaggedError<RecoveryCorruption>()("RecoveryCorruption", {
  runtimeId: RuntimeId,
  table: Schema.String,
  key: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `stored state of ${this.runtimeId} is corrupt: ${this.table} ${this.key}: ${this.reason}`
  }
}

/**
 * The store failed, or its answer is unknown. `retryable` says whether the same call may be repeated.
 *
 * @since 0.1.0
 * @category errors
 */
export class Internal extends Schema.TaggedError<Internal>()("Internal", {
  detail: Schema.String,
  cause: Schema.optional(Schema.Defect),
  retryable: Schema.Boolean
}) {
  override get message(): string {
    return this.detail
  }
}

/** The errors of calls that are addressed by session id (D1). @since 0.1.0 @category errors */
export type RuntimeDriverError = NotReady | ValidationFailed | Destroyed | RecoveryCorruption | Internal

/** No session is registered under this runtime id. @since 0.1.0 @category errors */
export class NotFound extends Schema.TaggedError<NotFound>()("NotFound", {
  runtimeId: Schema.String
}) {
  override get message(): string {
    return `no runtime "${this.runtimeId}" is registered`
  }
}

/** The session's state does not allow the call, on the control plane. @since 0.1.0 @category errors */
export class InvalidState extends Schema.TaggedError<InvalidState>()("InvalidState", {
  state: RuntimeState,
  detail: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
}

/** The store refused or failed the call, on the control plane. @since 0.1.0 @category errors */
export class StoreError extends Schema.TaggedError<StoreError>()("StoreError", {
  detail: Schema.String,
  cause: Schema.optional(Schema.Defect),
  retryable: Schema.Boolean
}) {
  override get message(): string {
    return this.detail
  }
}

/** The errors of calls that are addressed by runtime id (D1). @since 0.1.0 @category errors */
export type RuntimeControlPlaneError = NotFound | InvalidState | StoreError | Internal

/**
 * The error for an unknown session; `isUnknownSession` distinguishes it from `sessionGone` (D2).
 *
 * @since 0.1.0
 * @category constructors
 */
export const unknownSession = (sessionId: string): NotReady =>
  new NotReady({ state: "destroyed", detail: `session "${sessionId}" is not registered` })

/** True for the error that `unknownSession` makes. @since 0.1.0 @category guards */
export const isUnknownSession = (error: RuntimeDriverError): boolean =>
  error._tag === "NotReady" && error.state === "destroyed" && error.detail.endsWith("is not registered")

/**
 * A run succeeded, but its end could not be stored. Only the cause of an `Internal` error.
 *
 * @since 0.1.0
 * @category errors
 */
export class ResultNotCommitted extends Schema.TaggedError<ResultNotCommitted>()("ResultNotCommitted", {
  /** the result of the run */
  result: Schema.Unknown,
  /** why it was not stored */
  cause: Schema.Unknown
}) {
  override get message(): string {
    return "the run succeeded, but its end could not be stored; uncommittedResult returns its value"
  }
}

/**
 * Returns the result of a run whose end could not be stored; none for any other error.
 *
 * @since 0.1.0
 * @category accessors
 */
export const uncommittedResult = (error: { readonly _tag: string }): Option.Option<unknown> =>
  error instanceof Internal && error.cause instanceof ResultNotCommitted
    ? Option.some(error.cause.result)
    : Option.none()

/** The error for a session that was replaced or is being unregistered (D1). @since 0.1.0 @category constructors */
export const sessionGone = (sessionId: string): NotReady =>
  new NotReady({ state: "destroyed", detail: `session "${sessionId}" is being unregistered or was replaced` })

// ---------------------------------------------------------------------------------------------------------------------
// executors
// ---------------------------------------------------------------------------------------------------------------------

/** @since 0.1.0 @category schemas */
export const ApplyFailureCause = Schema.Literal(
  "PrimitiveRejected",
  "RuntimeContextApply",
  "RuntimeTurn",
  "HookDenied",
  "HookRuntimeFailure",
  "ExecutorStopped",
  "ExecutorControlFailed",
  "ExecutorInternal",
  "Unknown"
)
/** @since 0.1.0 @category models */
export type ApplyFailureCause = typeof ApplyFailureCause.Type

/** One attempt failed. `retryable` overrides the default of its cause (D10). @since 0.1.0 @category errors */
export class ApplyFailed extends Schema.TaggedError<ApplyFailed>()("ApplyFailed", {
  cause: ApplyFailureCause,
  detail: Schema.String,
  retryable: Schema.optional(Schema.Boolean)
}) {
  override get message(): string {
    return this.detail
  }
}

/** The turn itself ended in a terminal failure with a typed cause. @since 0.1.0 @category errors */
export class TerminalFailure extends Schema.TaggedError<TerminalFailure>()("TerminalFailure", {
  outcome: Schema.Literal(
    "failed",
    "budget_exhausted",
    "time_budget_exceeded",
    "structured_output_validation_failed"
  ),
  causeKind: Schema.Literal(
    "hook_denied",
    "hook_failure",
    "llm_failure",
    "tool_failure",
    "structured_output_validation_failed",
    "budget_exhausted",
    "time_budget_exceeded",
    "retry_exhausted",
    "turn_limit_reached",
    "runtime_apply_failure",
    "fatal_failure"
  ),
  detail: Schema.String,
  retryable: Schema.optional(Schema.Boolean)
}) {
  override get message(): string {
    return this.detail
  }
}

/** A control handle of the executor failed. @since 0.1.0 @category errors */
export class ControlFailed extends Schema.TaggedError<ControlFailed>()("ControlFailed", {
  detail: Schema.String,
  retryable: Schema.optional(Schema.Boolean)
}) {
  override get message(): string {
    return this.detail
  }
}

/** The executor refuses further work. @since 0.1.0 @category errors */
export class ExecutorStopped extends Schema.TaggedError<ExecutorStopped>()("ExecutorStopped", {
  detail: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
}

/** The executor ended the turn as cancelled. @since 0.1.0 @category errors */
export class TurnCancelled extends Schema.TaggedError<TurnCancelled>()("TurnCancelled", {
  detail: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
}

/** The executor has an internal fault. @since 0.1.0 @category errors */
export class ExecutorFault extends Schema.TaggedError<ExecutorFault>()("ExecutorFault", {
  detail: Schema.String,
  retryable: Schema.optional(Schema.Boolean)
}) {
  override get message(): string {
    return this.detail
  }
}

/** The errors of `apply`. @since 0.1.0 @category errors */
export type ExecutorError =
  | ApplyFailed
  | TerminalFailure
  | ControlFailed
  | ExecutorStopped
  | TurnCancelled
  | ExecutorFault

// ---------------------------------------------------------------------------------------------------------------------
// operations
// ---------------------------------------------------------------------------------------------------------------------

/** The registry does not know this id. @since 0.1.0 @category errors */
export class OpNotFound extends Schema.TaggedError<OpNotFound>()("OpNotFound", { id: OperationId }) {
  override get message(): string {
    return `operation ${this.id} is not known`
  }
}
/** An operation with this id exists already, or its feed entry is still kept. @since 0.1.0 @category errors */
export class OpAlreadyRegistered
  extends Schema.TaggedError<OpAlreadyRegistered>()("OpAlreadyRegistered", { id: OperationId })
{
  override get message(): string {
    return `operation ${this.id} is registered already`
  }
}
/** The status of the operation does not allow this action. @since 0.1.0 @category errors */
export class OpInvalidTransition extends Schema.TaggedError<OpInvalidTransition>()("OpInvalidTransition", {
  id: OperationId,
  status: Schema.String,
  action: Schema.String
}) {
  override get message(): string {
    return `operation ${this.id} is ${this.status}: ${this.action} is refused`
  }
}
/** The operation is not a member child, so it has no peer. @since 0.1.0 @category errors */
export class OpPeerNotExpected
  extends Schema.TaggedError<OpPeerNotExpected>()("OpPeerNotExpected", { id: OperationId })
{
  override get message(): string {
    return `operation ${this.id} is not a member child and has no peer`
  }
}
/** The peer of the operation was reported ready before. @since 0.1.0 @category errors */
export class OpAlreadyPeerReady
  extends Schema.TaggedError<OpAlreadyPeerReady>()("OpAlreadyPeerReady", { id: OperationId })
{
  override get message(): string {
    return `the peer of operation ${this.id} is ready already`
  }
}
/** The machine's limit of concurrent operations is reached. @since 0.1.0 @category errors */
export class OpMaxConcurrentExceeded extends Schema.TaggedError<OpMaxConcurrentExceeded>()("OpMaxConcurrentExceeded", {
  limit: Schema.Number,
  active: Schema.Number
}) {
  override get message(): string {
    return `${this.active} operations are active, the limit is ${this.limit}`
  }
}
/** The list of a wait names an operation twice. @since 0.1.0 @category errors */
export class OpDuplicateWait extends Schema.TaggedError<OpDuplicateWait>()("OpDuplicateWait", { id: OperationId }) {
  override get message(): string {
    return `operation ${this.id} is in the list twice`
  }
}
/** Another `waitAll` of this session is active. @since 0.1.0 @category errors */
export class OpWaitAlreadyActive extends Schema.TaggedError<OpWaitAlreadyActive>()("OpWaitAlreadyActive", {}) {
  override get message(): string {
    return "another waitAll of this session is active; wait for its end or interrupt it"
  }
}
/** The session was unregistered or destroyed, or never was registered. @since 0.1.0 @category errors */
export class OpOwnerRetired extends Schema.TaggedError<OpOwnerRetired>()("OpOwnerRetired", { sessionId: SessionId }) {
  override get message(): string {
    return `session "${this.sessionId}" is not registered or was destroyed, so its operations are closed`
  }
}
/** The session ended before the operation did, so this watch cannot complete (D28). @since 0.1.0 @category errors */
export class WatchClosed extends Schema.TaggedError<WatchClosed>()("WatchClosed", { reason: Schema.String }) {
  override get message(): string {
    return this.reason
  }
}
/**
 * The change could not be stored; the operation keeps its state. Repeat the call if `retryable`.
 *
 * @since 0.1.0
 * @category errors
 */
export class OpInternal extends Schema.TaggedError<OpInternal>()("OpInternal", {
  detail: Schema.String,
  cause: Schema.optional(Schema.Defect),
  retryable: Schema.Boolean
}) {
  override get message(): string {
    return this.detail
  }
}

/** The value cannot be stored and read back unchanged; nothing changed. @since 0.1.0 @category errors */
export class OpInvalid extends Schema.TaggedError<OpInvalid>()("OpInvalid", { detail: Schema.String }) {
  override get message(): string {
    return this.detail
  }
}

/** The errors of calls on the operation registry. @since 0.1.0 @category errors */
export type OperationError =
  | OpNotFound
  | OpAlreadyRegistered
  | OpInvalidTransition
  | OpPeerNotExpected
  | OpAlreadyPeerReady
  | OpMaxConcurrentExceeded
  | OpDuplicateWait
  | OpWaitAlreadyActive
  | OpOwnerRetired
  | OpInvalid
  | OpInternal
