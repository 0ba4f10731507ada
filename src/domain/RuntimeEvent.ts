/**
 * The events of a session, as subscribers get them. The kernel emits most of them; the authority publishes them in order.
 * Invariant: the sequences of a session's events have no gaps and follow the order of the decisions.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { CompletionOutcome } from "./Completion.js"
import { DrainExitReason } from "./DrainSlot.js"
import { InputId, OperationId, RunId, SessionId } from "./Ids.js"
import { InputKind } from "./Input.js"
import { InputTerminal } from "./InputRecord.js"
import { Json, optional } from "./Json.js"
import { OperationOutcome, OperationStatus } from "./Operation.js"
import { RuntimeState } from "./RuntimeState.js"

/** One event of a session. @since 0.1.0 @category schemas */
export const RuntimeEvent = Schema.Union(
  Schema.TaggedStruct("InputAccepted", { inputId: InputId, kind: InputKind, correlationId: optional(Schema.String) }),
  Schema.TaggedStruct("InputDeduplicated", { inputId: InputId, existingId: InputId }),
  Schema.TaggedStruct("InputStaged", { inputId: InputId, runId: RunId, attempt: Schema.NonNegativeInt }),
  Schema.TaggedStruct("InputRequeued", { inputId: InputId, notBefore: optional(Schema.Number) }),
  Schema.TaggedStruct("InputEnded", {
    inputId: InputId,
    terminal: InputTerminal,
    outcome: CompletionOutcome
  }),
  Schema.TaggedStruct("RunStarted", { runId: RunId, inputIds: Schema.Array(InputId) }),
  Schema.TaggedStruct("RunCompleted", { runId: RunId, inputIds: Schema.Array(InputId) }),
  Schema.TaggedStruct("RunFailed", { runId: RunId, detail: Schema.String, willRetry: Schema.Boolean }),
  Schema.TaggedStruct("RunCancelled", { runId: RunId, reason: Schema.String }),
  Schema.TaggedStruct("StateChanged", { from: RuntimeState, to: RuntimeState }),
  Schema.TaggedStruct("OperationChanged", {
    operationId: OperationId,
    status: OperationStatus,
    outcome: optional(OperationOutcome)
  }),
  /** the task that drains the peer inbox ended by itself, or a caller reported its end */
  Schema.TaggedStruct("DrainExited", { reason: DrainExitReason }),
  /** the session cannot commit any more: nothing runs until it is registered again */
  Schema.TaggedStruct("ReloadRequired", { reason: Schema.String }),
  Schema.TaggedStruct("Custom", { kind: Schema.String, payload: Json })
)
/** @since 0.1.0 @category models */
export type RuntimeEvent = typeof RuntimeEvent.Type

/** An event with its place in the session's order. @since 0.1.0 @category schemas */
export const RuntimeEventEnvelope = Schema.Struct({
  sequence: Schema.NonNegativeInt,
  at: Schema.Number,
  sessionId: SessionId,
  event: RuntimeEvent
})
/** @since 0.1.0 @category models */
export type RuntimeEventEnvelope = typeof RuntimeEventEnvelope.Type
