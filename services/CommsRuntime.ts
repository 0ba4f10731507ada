/** @since 0.1.0 */
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { CompletionOutcome } from "../src/domain/Completion.js"
import type { RuntimeDriverError } from "../src/domain/Errors.js"
import type { InputId } from "../src/domain/Ids.js"
import type { Input } from "../src/domain/Input.js"

/** The transport failed; the drain ends as failed, and what was not confirmed is still in the inbox. @since 0.1.0 @category errors */
export class CommsFailed extends Schema.TaggedError<CommsFailed>()("CommsFailed", {
  detail: Schema.String,
  cause: Schema.optional(Schema.Defect)
}) {
  override get message(): string {
    return this.detail
  }
}

/** What became of an input that the session was handed. @since 0.1.0 @category models */
export type CommsReceipt =
  /** durable; `completion` waits for its end, and is none when it had ended already or nobody is to wait for it */
  | {
    readonly _tag: "Admitted"
    readonly inputId: InputId
    /** the session knew it already */
    readonly duplicate: boolean
    readonly completion: Option.Option<Effect.Effect<CompletionOutcome>>
  }
  | { readonly _tag: "Refused"; readonly error: RuntimeDriverError }

/**
 * The inbox that a session's peers write to: a value per session, made by users or by `CommsRuntimeMailbox`. Two
 * runtimes are the same if they are the same object.
 *
 * An input is looked at first and taken off afterwards, when the session has it: whatever is interrupted in between is
 * delivered again, and the session knows it by its id. So nothing is lost and nothing doubled when a drain is
 * replaced, fails, or ends with the process while the inbox outlives it.
 *
 * @since 0.1.0
 * @category models
 */
export interface CommsRuntime {
  /**
   * The oldest input, left where it is; waits while there is none. None once the peer was dismissed and nothing is
   * left. Asked again after each `confirm`, so that a wake-up cannot be missed; it may be interrupted while it waits.
   */
  readonly next: Effect.Effect<Option.Option<Input>, CommsFailed>
  /** Takes that input off; it was admitted, or refused for good. Given up after `hookTimeout`. */
  readonly confirm: (input: Input, receipt: CommsReceipt) => Effect.Effect<void, CommsFailed>
}
