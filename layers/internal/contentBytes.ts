/**
 * The size of inputs and outputs, in the bytes that their author counts. Admission and the ends of turns compare it
 * with `maxCommitBytes`.
 *
 * Text counts its UTF-8 bytes, not the escapes of its JSON. Free JSON counts as JSON. Fixed fields of the schema count
 * nothing; the store bounds them with its own limit (`storedCeiling`).
 *
 * @since 0.1.0
 */
import { Buffer } from "node:buffer"
import type { CompletionOutcome } from "../../src/domain/Completion.js"
import type { Input, InputHeader } from "../../src/domain/Input.js"
import type { ContentBlock, Message } from "../../src/domain/Message.js"
import type { SessionPart } from "../../src/domain/RuntimeCommit.js"

/** The size of an input's content, with the names and settings that it carries. */
export const ofInput = (input: Input): number => ofBlocks(input) + ofWords(input) + ofSource(input.header.source)

/** The size of messages: media and text blocks, and their free fields. */
export const ofMessages = (messages: ReadonlyArray<Message>): number =>
  messages.reduce(
    (bytes, message) => bytes + ofBlocks(message) + ofText(message.name) + ofJson(message.metadata),
    0
  )

/** The size of a turn's change to the body. */
export const ofPart = (part: SessionPart | null): number =>
  part === null ? 0 : part._tag === "Opaque" ? part.bytes.byteLength : ofMessages(part.messages)

/** The size of the result in an outcome. */
export const ofOutcome = (outcome: CompletionOutcome): number => {
  switch (outcome._tag) {
    case "Completed":
    case "CompletedWithFinalizationFailure":
      return ofText(outcome.result.text) + ofJson(outcome.result.data)
    case "CallbackPending":
      return ofText(outcome.toolName) + ofJson(outcome.args)
    default:
      return 0
  }
}

/** The UTF-8 bytes of a text. */
export const ofText = (text: string | undefined): number => text === undefined ? 0 : Buffer.byteLength(text)

// --- internal ---

const ofJson = (value: unknown): number => value === undefined ? 0 : Buffer.byteLength(JSON.stringify(value))

const ofSource = (source: InputHeader["source"]): number =>
  source.type === "operator" || source.type === "system" ? 0 : ofJson(source)

const ofBlocks = (of: Input | Message): number =>
  "blocks" in of && of.blocks !== undefined ? of.blocks.reduce((bytes, block) => bytes + ofBlock(block), 0) : 0

const ofBlock = (block: ContentBlock): number =>
  block.type === "text"
    ? ofText(block.text)
    : ofText(block.mediaType) + ofText(block.data.type === "inline" ? block.data.base64 : block.data.blobId)

const ofWords = (input: Input): number => {
  switch (input._tag) {
    case "Prompt":
      return ofText(input.text) + ofJson(input.metadata)
    case "Peer":
      return ofText(input.body) + ofJson(input.payload) + ofJson(input.convention)
    case "FlowStep":
      return ofText(input.instructions) + ofText(input.stepId) + ofJson(input.metadata)
    case "ExternalEvent":
      return ofText(input.eventType) + ofJson(input.payload) + ofJson(input.renderMetadata)
    case "Continuation":
      return ofText(input.reason) + ofText(input.requestId)
    case "Operation":
      return ofText(input.operationId) + ofJson(input.event)
  }
}
