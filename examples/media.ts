import { BlobStoreMemory, CoreExecutor, MeerkatMachine, MeerkatMachineLive, Turn } from "effect-meerkat"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as Layer from "effect/Layer"

// Answers how each picture arrives, and how many bytes it has.
const viewer = CoreExecutor.make((turn) =>
  Effect.gen(function*() {
    const seen: Array<string> = []
    for (const block of turn.appends.flatMap(({ blocks }) => blocks)) {
      if (block.type === "text") continue
      const bytes = yield* turn.media(block.data) // inline or from the blob store
      seen.push(`${block.data.type}: ${bytes.byteLength}`)
    }
    return Turn.reply(seen.join(", "))
  })
)

const picture = (bytes: number) => ({
  type: "image" as const,
  mediaType: "image/png",
  data: { type: "inline" as const, base64: Encoding.encodeBase64(new Uint8Array(bytes)) }
})

export const program = Effect.gen(function*() {
  const machine = yield* MeerkatMachine.MeerkatMachine
  const session = yield* machine.sessionScoped("gallery", viewer)
  const answer = yield* session.ask("what do you see?", { blocks: [picture(200_000), picture(1_000)] })
  return answer.text
}).pipe(
  Effect.scoped,
  Effect.provide(Layer.fresh(MeerkatMachineLive.layerEphemeral)),
  // or BlobStoreFileSystem.layer({ directory: "blobs" }) of "effect-meerkat/layers/BlobStoreFileSystem"
  Effect.provide(BlobStoreMemory.layer)
)

export const expected = "blob: 200000, inline: 1000"
