/**
 * Keeps large media in the blob store, if the machine has one (D34). Admission, turns and settlements call it.
 *
 * Invariant: an input or message that was committed, published or passed to an executor names the same blobs after a
 * restart.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import * as Option from "effect/Option"
import type { BlobFailed } from "../../services/BlobStore.js"
import { BlobStore } from "../../services/BlobStore.js"
import type { Turn, TurnOutput } from "../../services/CoreExecutor.js"
import { MeerkatMachineConfig } from "../../services/MeerkatMachineConfig.js"
import type { RuntimeDriverError } from "../../src/domain/Errors.js"
import { ExecutorFault, Internal } from "../../src/domain/Errors.js"
import type { Input } from "../../src/domain/Input.js"
import type { ContentBlock, MediaData, Message } from "../../src/domain/Message.js"
import { Name } from "../../src/domain/Text.js"
import { invalid } from "./driverError.js"
import { within } from "./race.js"
import { logWarning, textOf } from "./rendering.js"
import * as Stored from "./stored.js"

/** The media functions of one machine. */
export interface Blobs {
  /**
   * Returns the input with its large media in the blob store; the same object if it has none. An ephemeral input keeps
   * its media inline: no stored row names it, so no reference would keep its blobs alive.
   */
  readonly ofInput: (input: Input) => Effect.Effect<Input, RuntimeDriverError>
  /** Does the same for the output of a turn. It never fails: if the blob store fails, all media stay inline. */
  readonly ofOutput: (output: TurnOutput) => Effect.Effect<TurnOutput>
  /** Returns the bytes of media; `turn.media` of executors. */
  readonly media: Turn["media"]
}

/** Makes the media functions with the blob store of the context, if it has one. */
export const make: Effect.Effect<Blobs> = Effect.gen(function*() {
  const { blobThreshold, hookTimeout } = yield* MeerkatMachineConfig
  return Option.match(yield* Effect.serviceOption(BlobStore), {
    onNone: () => without,
    onSome: (store) => beside(store, blobThreshold, hookTimeout)
  })
})

// --- internal ---

type Blocks = ReadonlyArray<ContentBlock>

const fault = (detail: string, retryable: boolean) => new ExecutorFault({ detail, retryable })

const decode = (base64: string): Effect.Effect<Uint8Array, ExecutorFault> =>
  Either.mapLeft(
    Encoding.decodeBase64(base64),
    ({ message }) => fault(`the inline media must be base64: ${message}`, false)
  )

const checkBlobId = Stored.check(Name)

const without: Blobs = {
  ofInput: Effect.succeed,
  ofOutput: Effect.succeed,
  media: (data) =>
    data.type === "inline"
      ? decode(data.base64)
      : Effect.fail(fault(`blob ${data.blobId} cannot be read: the machine has no blob store`, false))
}

const beside = (store: BlobStore["Type"], threshold: number, limit: Duration.Duration): Blobs => {
  const isLarge = (block: ContentBlock): boolean =>
    block.type !== "text" && block.data.type === "inline" && block.data.base64.length * 3 / 4 > threshold
  const keep = (data: MediaData): Effect.Effect<MediaData, BlobFailed | ExecutorFault> =>
    data.type === "blob"
      ? Effect.succeed(data)
      : Effect.flatMap(Effect.flatMap(decode(data.base64), store.put), named)
  const ofBlocks = (blocks: Blocks): Effect.Effect<Blocks, BlobFailed | ExecutorFault> =>
    Effect.forEach(blocks, (block) =>
      block.type !== "text" && isLarge(block)
        ? Effect.map(keep(block.data), (data): ContentBlock => ({ ...block, data }))
        : Effect.succeed(block))
  return {
    ofInput: (input) =>
      input.header.durability === "ephemeral"
        ? Effect.succeed(input)
        : "blocks" in input && input.blocks?.some(isLarge) === true
        ? Effect.mapBoth(ofBlocks(input.blocks), {
          onFailure: refused,
          onSuccess: (blocks) => ({ ...input, blocks })
        })
        : Effect.succeed(input),
    ofOutput: (output) => hasLarge(output, isLarge) ? ofOutput(output, ofBlocks, limit) : Effect.succeed(output),
    media: (data) => data.type === "inline" ? decode(data.base64) : read(store, data.blobId)
  }
}

/** Checks the id that the blob store returned, because an invalid id could be stored but not read back. */
const named = (blobId: string): Effect.Effect<MediaData, ExecutorFault> =>
  Either.mapBoth(checkBlobId(blobId), {
    onLeft: (detail) => fault(`the blob store returned an invalid id: ${detail}`, false),
    onRight: (id): MediaData => ({ type: "blob", blobId: id })
  })

const refused = (error: BlobFailed | ExecutorFault): RuntimeDriverError =>
  error._tag === "BlobFailed"
    ? new Internal({ detail: `media of the input could not be kept: ${textOf(error)}`, cause: error, retryable: true })
    : invalid({ _tag: "InvalidInput", detail: error.detail })

const messagesOf = ({ session }: TurnOutput): ReadonlyArray<Message> => "messages" in session ? session.messages : []

const hasLarge = (output: TurnOutput, isLarge: (block: ContentBlock) => boolean): boolean =>
  messagesOf(output).some(({ blocks }) => blocks.some(isLarge))

/** Moves the media of an output to the blob store. If that fails or takes too long, it returns the output unchanged. */
const ofOutput = (
  output: TurnOutput,
  ofBlocks: (blocks: Blocks) => Effect.Effect<Blocks, BlobFailed | ExecutorFault>,
  limit: Duration.Duration
): Effect.Effect<TurnOutput> =>
  Effect.forEach(
    messagesOf(output),
    (message) => Effect.map(ofBlocks(message.blocks), (blocks): Message => ({ ...message, blocks }))
  ).pipe(
    Effect.map((messages): TurnOutput =>
      "messages" in output.session ? { ...output, session: { ...output.session, messages } } : output
    ),
    Effect.disconnect,
    within(limit),
    Effect.interruptible,
    Effect.flatMap(Effect.mapError(() => fault("the blob store did not answer in time", true))),
    Effect.catchAllCause((cause) =>
      Effect.as(logWarning("media of a turn stay inline: they could not be put aside", cause), output)
    )
  )

const read = (store: BlobStore["Type"], blobId: string): Effect.Effect<Uint8Array, ExecutorFault> =>
  Effect.matchEffect(store.get(blobId), {
    onFailure: (error) => Effect.fail(fault(textOf(error), true)),
    onSuccess: Option.match({
      onNone: () => Effect.fail(fault(`there is no blob ${blobId}`, false)),
      onSome: Effect.succeed
    })
  })
