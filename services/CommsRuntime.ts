/**
 * The inbox from which a session takes the inputs of its peers. The drain task of the machine calls it; users implement
 * it, or take `CommsRuntimeMailbox`.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { CompletionOutcome } from "../src/domain/Completion.js"
import type { RuntimeDriverError } from "../src/domain/Errors.js"
import type { InputId } from "../src/domain/Ids.js"
import type { Input } from "../src/domain/Input.js"

/**
 * The transport failed. The drain ends as failed; unconfirmed inputs stay in the inbox.
 *
 * @since 0.1.0
 * @category errors
 */
export class CommsFailed extends Schema.TaggedError<CommsFailed>()("CommsFailed", {
  detail: Schema.String,
  cause: Schema.optional(Schema.Defect)
}) {
  override get message(): string {
    return this.detail
  }
}

/** What the session answered to an input of the inbox. @since 0.1.0 @category models */
export type CommsReceipt =
  /** durable; `completion` waits for the outcome, and is absent if the input has ended or nothing waits for it */
  | {
    readonly _tag: "Admitted"
    readonly inputId: InputId
    /** the session had this input already */
    readonly duplicate: boolean
    readonly completion: Option.Option<Effect.Effect<CompletionOutcome>>
  }
  | { readonly _tag: "Refused"; readonly error: RuntimeDriverError }

/**
 * The inbox that a session's peers write to. It is a value per session, made by users or by `CommsRuntimeMailbox`. Two
 * runtimes are the same if they are the same object.
 *
 * The drain reads an input first and removes it only after the session has admitted or refused it. An interruption in
 * between delivers the input again, and the session recognises it by its id. So no input is lost or doubled when a
 * drain is replaced or fails, or when the process ends and the inbox survives.
 *
 * @since 0.1.0
 * @category models
 */
export interface CommsRuntime {
  /**
   * Returns the oldest input without removing it, and waits while the inbox is empty. Returns none once the peer was
   * dismissed and the inbox is empty. The drain calls it again after each `confirm`, so it cannot miss a wake-up. The
   * drain may interrupt the call while it waits.
   */
  readonly next: Effect.Effect<Option.Option<Input>, CommsFailed>
  /** Removes an input that the session admitted or refused for good. The drain gives up after `hookTimeout`. */
  readonly confirm: (input: Input, receipt: CommsReceipt) => Effect.Effect<void, CommsFailed>
}
