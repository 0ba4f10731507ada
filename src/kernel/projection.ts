/**
 * Projects inputs to messages and context for the conversation. The primitive of a run calls it.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import type { Input, InputOrigin, PeerConvention } from "../domain/Input.js"
import type { Json } from "../domain/Json.js"
import type { ContentBlock, Message } from "../domain/Message.js"
import { text } from "../domain/Message.js"
import type { ContextAppend } from "../domain/Turn.js"
import type { TerminalResponse } from "./peerResponse.js"
import { isUuid, terminalResponse } from "./peerResponse.js"

/** Returns the message that an input adds to the conversation, or null. @since 0.1.0 @category accessors */
export const appendOf = (input: Input): Message | null => {
  const blocks = blocksOf(input)
  return blocks.length === 0 ? null : { role: "user", blocks }
}

/**
 * Returns the context that an input adds beside the conversation: the final answer of a peer. Its key is unique per
 * answer, so a duplicate delivery adds nothing.
 *
 * @since 0.1.0
 * @category accessors
 */
export const contextOf = (input: Input): ContextAppend | null =>
  Either.match(terminalResponse(input), {
    // admission refuses such an input
    onLeft: () => null,
    onRight: (response) =>
      response === null || input._tag !== "Peer" ? null : {
        key: `peer_response_terminal:${response.peerId}:${response.requestId}`,
        text: terminalNotice(response, input.payload)
      }
  })

// --- internal ---

type PeerInput = Extract<Input, { readonly _tag: "Peer" }>
type EventInput = Extract<Input, { readonly _tag: "ExternalEvent" }>
type Request = Extract<PeerConvention, { readonly type: "request" }>
type Progress = Extract<PeerConvention, { readonly type: "response_progress" }>
type Blocks = ReadonlyArray<ContentBlock>

const blocksOf = (input: Input): Blocks => {
  switch (input._tag) {
    case "Prompt":
      return given(input.blocks) ?? [text(input.text)]
    case "FlowStep":
      return given(input.blocks) ?? [text(input.instructions)]
    case "ExternalEvent":
      return given(input.blocks) ?? [text(eventNotice(input))]
    case "Peer":
      return peerBlocks(input)
    case "Continuation":
    case "Operation":
      return []
  }
}

const given = (blocks: Blocks | undefined): Blocks | undefined =>
  blocks === undefined || blocks.length === 0 ? undefined : blocks

const eventNotice = ({ eventType, header: { source }, payload }: EventInput): string => {
  const name = source.type === "external" && source.sourceName.trim() !== "" ? source.sourceName : eventType
  const body = bodyOf(payload)
  return body === "" ? `[EVENT via ${name}]` : `[EVENT via ${name}] ${body}`
}

const isRecord = (value: Json): value is { readonly [key: string]: Json } =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const bodyOf = (payload: Json): string => {
  const body = isRecord(payload) ? payload["body"] : undefined
  return typeof body === "string" ? body.trim() : ""
}

// --- peers ---

const peerBlocks = (input: PeerInput): Blocks => {
  const { convention } = input
  switch (convention?.type) {
    case undefined:
      return withBody(input)
    case "message":
      return given(input.blocks) === undefined ? withBody(input) : withBanner(input)
    case "request":
      return isUuid(senderOf(input.header.source))
        ? [text(requestNotice(input, convention)), ...input.blocks ?? []]
        : withBody(input)
    case "response_progress":
      return [text(progressNotice(input, convention)), ...input.blocks ?? []]
    case "response_terminal":
      return []
  }
}

const withBody = ({ blocks = [], body }: PeerInput): Blocks =>
  body === "" || isText(blocks[0], body) ? blocks : [text(body), ...blocks]

const isText = (block: ContentBlock | undefined, value: string): boolean =>
  block !== undefined && block.type === "text" && block.text === value

/** Names the sender before media of a peer, unless the body begins with a banner that names it. */
const withBanner = ({ blocks = [], body, header }: PeerInput): Blocks => {
  const end = body.indexOf("\n")
  const firstLine = end < 0 ? body : body.slice(0, end)
  const bannered = firstLine.startsWith(banner)
  const words = bannered ? body.slice(firstLine.length).trim() : body
  const repeated = words === "" || blocks.some((block) => block.type === "text" && block.text.includes(words))
  return [
    text(bannered ? firstLine : `${banner} from ${senderOf(header.source)}]`),
    ...(repeated ? [] : [text(words)]),
    ...blocks
  ]
}

const banner = "[COMMS MESSAGE"

const senderOf = (source: InputOrigin): string => {
  switch (source.type) {
    case "peer":
      return source.peerId
    case "flow":
      return source.flowId
    case "external":
      return source.sourceName
    case "operator":
    case "system":
      return source.type
  }
}

const nameOf = (source: InputOrigin): string =>
  source.type === "peer" && source.displayIdentity !== undefined && source.displayIdentity.trim() !== ""
    ? `${source.displayIdentity} (${source.peerId})`
    : senderOf(source)

const pretty = (value: Json | undefined): string => JSON.stringify(value ?? null, null, 2)

const requestNotice = ({ header: { source }, payload }: PeerInput, { intent, requestId }: Request): string =>
  [
    `[COMMS REQUEST from ${nameOf(source)}]`,
    `intent: ${intent}`,
    `request id: ${requestId}`,
    "params:",
    pretty(payload),
    "Answer with the tool `send_response`, for example:",
    pretty({ to: senderOf(source), in_reply_to: requestId, status: "completed", result: {} })
  ].join("\n")

const progressNotice = (
  { header: { source }, payload }: PeerInput,
  { phase, requestId }: Progress
): string =>
  [
    `[COMMS PROGRESS from ${nameOf(source)}]`,
    `request id: ${requestId}`,
    `phase: ${phase.replace("_", " ")}`,
    "payload:",
    pretty(payload)
  ].join("\n")

const terminalNotice = (response: TerminalResponse, payload: Json | undefined): string =>
  [
    `[COMMS RESPONSE from ${response.displayIdentity}]`,
    `request id: ${response.requestId}`,
    `status: ${response.status}`,
    "result:",
    pretty(payload)
  ].join("\n")
