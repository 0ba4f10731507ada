/** @since 0.1.0 */
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

/** A batch as an executor sees it. @since 0.1.0 @category models */
export interface Primitive extends InputSemantics {
  /** in batch order */
  readonly inputIds: ReadonlyArray<InputId>
  /** messages that the batch adds to the conversation, in batch order */
  readonly appends: ReadonlyArray<Message>
  /** what the batch adds beside the conversation, in batch order */
  readonly contexts: ReadonlyArray<ContextAppend>
  readonly metadata: TurnMetadata
}

/**
 * One turn from a batch. Boundary and execution kind are those of its lead (D13). An empty batch is an empty turn.
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
 * A turn that reacts to a final answer has context only, so the words of its riders become context too. Media have no
 * place in a context: a message with media stays one.
 */
const reactionPartOf = (record: InputRecord): Part => {
  const part = partOf(record)
  return part.append === null || part.append.blocks.some((block) => block.type !== "text")
    ? part
    : { append: null, context: { key: `${record.kind}:${record.inputId}`, text: textOf(part.append.blocks) } }
}

/** Selection lets no conflict into a batch; were there one, the earlier member would win. */
const withMember = (metadata: TurnMetadata, record: InputRecord): TurnMetadata =>
  Either.getOrElse(Metadata.merge(metadata, Metadata.memberMetadata(record)), () => metadata)
