/** @since 0.1.0 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { OperationId, RuntimeId, SessionId } from "./Ids.js"
import { RuntimeState } from "./RuntimeState.js"

/** Why an input, or another value of a caller, was refused. @since 0.1.0 @category schemas */
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
  /** a decision about tools names some (sorted) that it must not, or not with this witness */
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

/** The session does not take this command in its state. @since 0.1.0 @category errors */
export class NotReady extends Schema.TaggedError<NotReady>()("NotReady", {
  state: RuntimeState,
  detail: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
}

/** The caller's value is wrong; nothing was changed. @since 0.1.0 @category errors */
export class ValidationFailed extends Schema.TaggedError<ValidationFailed>()("ValidationFailed", {
  reason: Schema.String,
  detail: ValidationDetail
}) {
  override get message(): string {
    return this.reason
  }
}

/** The session exists and was destroyed; nothing brings it back. @since 0.1.0 @category errors */
export class Destroyed extends Schema.TaggedError<Destroyed>()("Destroyed", {
  sessionId: SessionId
}) {
  override get message(): string {
    return `session "${this.sessionId}" was destroyed`
  }
}

/** What is stored of a session contradicts itself or cannot be read. @since 0.1.0 @category errors */
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

/** The store failed, or its answer is unknown. `retryable` says whether the same call may be repeated. @since 0.1.0 @category errors */
export class Internal extends Schema.TaggedError<Internal>()("Internal", {
  detail: Schema.String,
  cause: Schema.optional(Schema.Defect),
  retryable: Schema.Boolean
}) {
  override get message(): string {
    return this.detail
  }
}

/** What a session-addressed call can fail with (D1). @since 0.1.0 @category errors */
export type RuntimeDriverError = NotReady | ValidationFailed | Destroyed | RecoveryCorruption | Internal

/** @since 0.1.0 @category errors */
export class NotFound extends Schema.TaggedError<NotFound>()("NotFound", {
  runtimeId: Schema.String
}) {
  override get message(): string {
    return `no runtime "${this.runtimeId}" is registered`
  }
}

/** @since 0.1.0 @category errors */
export class InvalidState extends Schema.TaggedError<InvalidState>()("InvalidState", {
  state: RuntimeState,
  detail: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
}

/** @since 0.1.0 @category errors */
export class StoreError extends Schema.TaggedError<StoreError>()("StoreError", {
  detail: Schema.String,
  cause: Schema.optional(Schema.Defect),
  retryable: Schema.Boolean
}) {
  override get message(): string {
    return this.detail
  }
}

/** What a call addressed by runtime id can fail with (D1). @since 0.1.0 @category errors */
export type RuntimeControlPlaneError = NotFound | InvalidState | StoreError | Internal

/** An unknown session (D2): told apart from one that is just being taken down. @since 0.1.0 @category constructors */
export const unknownSession = (sessionId: string): NotReady =>
  new NotReady({ state: "destroyed", detail: `session "${sessionId}" is not registered` })

/** @since 0.1.0 @category guards */
export const isUnknownSession = (error: RuntimeDriverError): boolean =>
  error._tag === "NotReady" && error.state === "destroyed" && error.detail.endsWith("is not registered")

/** A run ended well, and its end could not be stored. Seen as the cause of an `Internal` only. @since 0.1.0 @category errors */
export class ResultNotCommitted extends Schema.TaggedError<ResultNotCommitted>()("ResultNotCommitted", {
  /** what the run came to */
  result: Schema.Unknown,
  /** why it was not stored */
  cause: Schema.Unknown
}) {
  override get message(): string {
    return "the run ended well, but its end could not be stored"
  }
}

/** What a run came to whose end could not be stored. @since 0.1.0 @category accessors */
export const uncommittedResult = (error: { readonly _tag: string }): Option.Option<unknown> =>
  error instanceof Internal && error.cause instanceof ResultNotCommitted
    ? Option.some(error.cause.result)
    : Option.none()

/** The entry was replaced, or its unregistration is under way (D1). @since 0.1.0 @category constructors */
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

/** One attempt failed. `retryable` overrules the default for its cause (D10). @since 0.1.0 @category errors */
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

/** Something inside the executor is broken. @since 0.1.0 @category errors */
export class ExecutorFault extends Schema.TaggedError<ExecutorFault>()("ExecutorFault", {
  detail: Schema.String,
  retryable: Schema.optional(Schema.Boolean)
}) {
  override get message(): string {
    return this.detail
  }
}

/** What `apply` can fail with. @since 0.1.0 @category errors */
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

/** @since 0.1.0 @category errors */
export class OpNotFound extends Schema.TaggedError<OpNotFound>()("OpNotFound", { id: OperationId }) {
  override get message(): string {
    return `operation ${this.id} is not known`
  }
}
/** @since 0.1.0 @category errors */
export class OpAlreadyRegistered
  extends Schema.TaggedError<OpAlreadyRegistered>()("OpAlreadyRegistered", { id: OperationId })
{
  override get message(): string {
    return `operation ${this.id} is registered already`
  }
}
/** @since 0.1.0 @category errors */
export class OpInvalidTransition extends Schema.TaggedError<OpInvalidTransition>()("OpInvalidTransition", {
  id: OperationId,
  status: Schema.String,
  action: Schema.String
}) {
  override get message(): string {
    return `operation ${this.id} is ${this.status}: ${this.action} is refused`
  }
}
/** @since 0.1.0 @category errors */
export class OpPeerNotExpected
  extends Schema.TaggedError<OpPeerNotExpected>()("OpPeerNotExpected", { id: OperationId })
{
  override get message(): string {
    return `operation ${this.id} is no member child and has no peer`
  }
}
/** @since 0.1.0 @category errors */
export class OpAlreadyPeerReady
  extends Schema.TaggedError<OpAlreadyPeerReady>()("OpAlreadyPeerReady", { id: OperationId })
{
  override get message(): string {
    return `the peer of operation ${this.id} is ready already`
  }
}
/** @since 0.1.0 @category errors */
export class OpMaxConcurrentExceeded extends Schema.TaggedError<OpMaxConcurrentExceeded>()("OpMaxConcurrentExceeded", {
  limit: Schema.Number,
  active: Schema.Number
}) {
  override get message(): string {
    return `${this.active} operations are active, the limit is ${this.limit}`
  }
}
/** @since 0.1.0 @category errors */
export class OpDuplicateWait extends Schema.TaggedError<OpDuplicateWait>()("OpDuplicateWait", { id: OperationId }) {
  override get message(): string {
    return `operation ${this.id} is in the list twice`
  }
}
/** @since 0.1.0 @category errors */
export class OpWaitAlreadyActive extends Schema.TaggedError<OpWaitAlreadyActive>()("OpWaitAlreadyActive", {}) {
  override get message(): string {
    return "somebody waits for operations of this session already"
  }
}
/** The session was unregistered or destroyed, or never was registered. @since 0.1.0 @category errors */
export class OpOwnerRetired extends Schema.TaggedError<OpOwnerRetired>()("OpOwnerRetired", { sessionId: SessionId }) {
  override get message(): string {
    return `session "${this.sessionId}" is not there to own operations`
  }
}
/** Nobody will complete this watch: the session ended first (D28). @since 0.1.0 @category errors */
export class WatchClosed extends Schema.TaggedError<WatchClosed>()("WatchClosed", { reason: Schema.String }) {
  override get message(): string {
    return this.reason
  }
}
/** The change could not be stored; the operation is as it was, repeat the call if `retryable`. @since 0.1.0 @category errors */
export class OpInternal extends Schema.TaggedError<OpInternal>()("OpInternal", {
  detail: Schema.String,
  cause: Schema.optional(Schema.Defect),
  retryable: Schema.Boolean
}) {
  override get message(): string {
    return this.detail
  }
}

/** The caller's value is none that could be stored and read back; nothing was changed. @since 0.1.0 @category errors */
export class OpInvalid extends Schema.TaggedError<OpInvalid>()("OpInvalid", { detail: Schema.String }) {
  override get message(): string {
    return this.detail
  }
}

/** What a call on the operation registry can fail with. @since 0.1.0 @category errors */
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
