/**
 * Turns a batch into what an executor receives: messages, context and merged metadata. The run code calls it.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import type { InputId } from "../domain/Ids.js"
import type { InputRecord } from "../domain/InputRecord.js"
import type { Message } from "../domain/Message.js"
import { textOf } from "../domain/Message.js"
import type { InputSemantics } from "../domain/Policy.js"
import type { ContextAppend, TurnMetadata } from "../domain/Turn.js"
import * as Metadata from "./metadata.js"
import { appendOf, contextOf } from "./projection.js"
import { lead } from "./selection.js"

/** A batch as the executor receives it. @since 0.1.0 @category models */
export interface Primitive extends InputSemantics {
  /** in batch order */
  readonly inputIds: ReadonlyArray<InputId>
  /** messages that the batch adds to the conversation, in batch order */
  readonly appends: ReadonlyArray<Message>
  /** context that the batch adds beside the conversation, in batch order */
  readonly contexts: ReadonlyArray<ContextAppend>
  readonly metadata: TurnMetadata
}

/**
 * Makes one turn from a batch. Its boundary and execution kind are those of the lead input (D13). An empty batch makes
 * an empty turn.
 *
 * @since 0.1.0
 * @category constructors
 */
export const primitive = (batch: ReadonlyArray<InputRecord>): Primitive => {
  const semantics = lead(batch)?.semantics ?? emptyTurn
  const parts = batch.map(semantics.terminalIntent === undefined ? partOf : reactionPartOf)
  return {
    ...semantics,
    inputIds: batch.map((record) => record.inputId),
    appends: parts.flatMap(({ append }) => append === null ? [] : [append]),
    contexts: parts.flatMap(({ context }) => context === null ? [] : [context]),
    metadata: batch.reduce(withMember, Metadata.none)
  }
}

// --- internal ---

const emptyTurn: InputSemantics = { boundary: "run_start", executionKind: "content_turn" }

interface Part {
  readonly append: Message | null
  readonly context: ContextAppend | null
}

const partOf = ({ input }: InputRecord): Part => ({ append: appendOf(input), context: contextOf(input) })

/**
 * A turn that reacts to a final answer has context only, so the text of the inputs that ride along becomes context too.
 * A context cannot hold media: a message with media stays a message.
 */
const reactionPartOf = (record: InputRecord): Part => {
  const part = partOf(record)
  return part.append === null || part.append.blocks.some((block) => block.type !== "text")
    ? part
    : { append: null, context: { key: `${record.kind}:${record.inputId}`, text: textOf(part.append.blocks) } }
}

/** Selection keeps conflicts out of a batch. If one occurred, the earlier member would win. */
const withMember = (metadata: TurnMetadata, record: InputRecord): TurnMetadata =>
  Either.getOrElse(Metadata.merge(metadata, Metadata.memberMetadata(record)), () => metadata)
