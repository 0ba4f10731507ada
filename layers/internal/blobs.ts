/**
 * Large media live beside the session store when there is a place for them (D34): what is stored, published and handed
 * to executors names them by id, the same live and after a restart.
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

export interface Blobs {
  /**
   * An input whose large media are kept already; the same object if it has none. One that is ephemeral keeps its own: no
   * store names it, so that nothing would hold its blobs.
   */
  readonly ofInput: (input: Input) => Effect.Effect<Input, RuntimeDriverError>
  /** A turn's output likewise. It never fails: media that cannot be put aside stay where they are. */
  readonly ofOutput: (output: TurnOutput) => Effect.Effect<TurnOutput>
  readonly media: Turn["media"]
}

/** From the blob store of the context, if there is one. */
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
  Either.mapLeft(Encoding.decodeBase64(base64), ({ message }) => fault(`media that is not base64: ${message}`, false))

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

/** The id is stored as it is: one that is none could not be read back. */
const named = (blobId: string): Effect.Effect<MediaData, ExecutorFault> =>
  Either.mapBoth(checkBlobId(blobId), {
    onLeft: (detail) => fault(`the blob store answered no id: ${detail}`, false),
    onRight: (id): MediaData => ({ type: "blob", blobId: id })
  })

const refused = (error: BlobFailed | ExecutorFault): RuntimeDriverError =>
  error._tag === "BlobFailed"
    ? new Internal({ detail: `media of the input could not be kept: ${textOf(error)}`, cause: error, retryable: true })
    : invalid({ _tag: "InvalidInput", detail: error.detail })

const messagesOf = ({ session }: TurnOutput): ReadonlyArray<Message> => "messages" in session ? session.messages : []

const hasLarge = (output: TurnOutput, isLarge: (block: ContentBlock) => boolean): boolean =>
  messagesOf(output).some(({ blocks }) => blocks.some(isLarge))

/** The work is done: a blob store that fails or hangs must not cost its result, which is then stored as it is. */
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
