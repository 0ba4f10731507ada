/**
 * The messages of a session's body, and their text and media blocks. Executors produce messages, the store keeps them,
 * and inputs use the same blocks. Invariant: the order of messages and blocks is the order of the conversation.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { Json, optional } from "./Json.js"
import { Name } from "./Text.js"

/** Media bytes: inline base64, or a reference into the blob store. @since 0.1.0 @category schemas */
export const MediaData = Schema.Union(
  Schema.Struct({ type: Schema.Literal("inline"), base64: Schema.String }),
  Schema.Struct({ type: Schema.Literal("blob"), blobId: Name })
)
/** Media bytes: inline base64, or a reference into the blob store. @since 0.1.0 @category models */
export type MediaData = InlineData | BlobData
/** Media bytes that the message itself holds. @since 0.1.0 @category models */
export interface InlineData {
  readonly type: "inline"
  readonly base64: string
}
/** Media bytes that the blob store holds. @since 0.1.0 @category models */
export interface BlobData {
  readonly type: "blob"
  readonly blobId: string
}

/** One block of a message. @since 0.1.0 @category schemas */
export const ContentBlock = Schema.Union(
  Schema.Struct({ type: Schema.Literal("text"), text: Schema.String }),
  Schema.Struct({ type: Schema.Literal("image"), mediaType: Name, data: MediaData }),
  Schema.Struct({
    type: Schema.Literal("video"),
    mediaType: Name,
    durationMs: Schema.NonNegativeInt,
    data: MediaData
  })
)
/** One block of a message. @since 0.1.0 @category models */
export type ContentBlock = TextBlock | ImageBlock | VideoBlock
/** A block of text. @since 0.1.0 @category models */
export interface TextBlock {
  readonly type: "text"
  readonly text: string
}
/** An image. @since 0.1.0 @category models */
export interface ImageBlock {
  readonly type: "image"
  readonly mediaType: string
  readonly data: MediaData
}
/** A video. @since 0.1.0 @category models */
export interface VideoBlock {
  readonly type: "video"
  readonly mediaType: string
  readonly durationMs: number
  readonly data: MediaData
}

/** One message of a session's body. @since 0.1.0 @category schemas */
export const Message = Schema.Struct({
  role: Schema.Literal("user", "assistant", "system", "tool"),
  blocks: Schema.Array(ContentBlock),
  name: optional(Name),
  metadata: optional(Schema.Record({ key: Schema.String, value: Json }))
})
/** One message of a session's body. @since 0.1.0 @category models */
export interface Message {
  readonly role: "user" | "assistant" | "system" | "tool"
  /** text and media, in order; `textOf` returns their text */
  readonly blocks: ReadonlyArray<ContentBlock>
  readonly name?: string
  readonly metadata?: { readonly [name: string]: Json }
}

/** Makes a text block. @since 0.1.0 @category constructors */
export const text = (value: string): ContentBlock => ({ type: "text", text: value })

/** Makes a message of one text block. @since 0.1.0 @category constructors */
export const ofText = (role: Message["role"], value: string): Message => ({ role, blocks: [text(value)] })

/** Returns the blocks as text; media become `[image: <type>]` and `[video: <type>]`. @since 0.1.0 @category accessors */
export const textOf = (blocks: ReadonlyArray<ContentBlock>): string =>
  blocks.map((block) => block.type === "text" ? block.text : `[${block.type}: ${block.mediaType}]`).join("\n")
