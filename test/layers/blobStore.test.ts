/** Blob stores in memory and in files, the media that a machine keeps there, and their collection. */
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as FileSystem from "@effect/platform/FileSystem"
import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as Function from "effect/Function"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as BlobCollection from "../../layers/BlobCollection.js"
import * as BlobStoreFileSystem from "../../layers/BlobStoreFileSystem.js"
import * as BlobStoreMemory from "../../layers/BlobStoreMemory.js"
import * as HandoverLive from "../../layers/HandoverLive.js"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import * as RuntimeStoreMemory from "../../layers/RuntimeStoreMemory.js"
import { BlobFailed, BlobStore } from "../../services/BlobStore.js"
import { make } from "../../services/CoreExecutor.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import * as MeerkatMachineConfig from "../../services/MeerkatMachineConfig.js"
import { RuntimeStore } from "../../services/RuntimeStore.js"
import { runtimeIdOf, SessionId } from "../../src/domain/Ids.js"
import { header } from "../../src/domain/Input.js"
import type { ContentBlock } from "../../src/domain/Message.js"
import { inputId } from "../support/inputs.js"

const files = (directory: string) => BlobStoreFileSystem.layer({ directory }).pipe(Layer.provide(NodeContext.layer))

/** A temporary folder, removed when the scope closes. */
const folderOfItsOwn = Effect.flatMap(
  FileSystem.FileSystem,
  (fs) => fs.makeTempDirectoryScoped({ prefix: "meerkat-blobs-" })
)

const fresh = Layer.unwrapScoped(Effect.map(folderOfItsOwn, files)).pipe(Layer.provide(NodeContext.layer))

/** Runs the body with the blob store of a folder, and with the folder itself. */
const inFolder = <A, E>(
  body: (
    fs: FileSystem.FileSystem,
    directory: string,
    blobs: BlobStore["Type"]
  ) => Effect.Effect<A, E>
) =>
  Effect.flatMap(
    Effect.zip(FileSystem.FileSystem, folderOfItsOwn),
    ([fs, directory]) =>
      Effect.flatMap(BlobStore, (blobs) => body(fs, directory, blobs)).pipe(Effect.provide(files(directory)))
  ).pipe(Effect.provide(NodeContext.layer))

const bytes = (length: number, start = 0): Uint8Array => Uint8Array.from({ length }, (_, i) => (i + start) % 251)
const image = (data: Uint8Array): ContentBlock => ({
  type: "image",
  mediaType: "image/png",
  data: { type: "inline", base64: Encoding.encodeBase64(data) }
})

for (const [name, layer] of [["memory", BlobStoreMemory.layer], ["files", fresh]] as const) {
  describe(`blobs in ${name}`, () => {
    it.live("return the bytes that were put, and store equal bytes once", () =>
      Effect.gen(function*() {
        const blobs = yield* BlobStore
        const given = bytes(100_000)
        const id = yield* blobs.put(given)
        given.fill(0)
        assert.strictEqual(yield* blobs.put(bytes(100_000)), id)
        assert.deepStrictEqual(Option.getOrNull(yield* blobs.get(id)), bytes(100_000))
        const listed = Chunk.toReadonlyArray(yield* Stream.runCollect(blobs.list))
        assert.deepStrictEqual(listed.map((blob) => [blob.blobId, blob.bytes]), [[id, 100_000]])
      }).pipe(Effect.provide(layer)))

    it.live("read as none when they do not exist, and no id leads out of the store", () =>
      Effect.gen(function*() {
        const blobs = yield* BlobStore
        for (const id of ["0".repeat(64), "../../etc/passwd", ""]) {
          assert.isTrue(Option.isNone(yield* blobs.get(id)), id)
          yield* blobs.remove(id)
        }
        const id = yield* blobs.put(bytes(10))
        yield* blobs.remove(id)
        assert.isTrue(Option.isNone(yield* blobs.get(id)))
      }).pipe(Effect.provide(layer)))

    it.effect("are not removed as old when they were put again meanwhile", () =>
      Effect.gen(function*() {
        const blobs = yield* BlobStore
        const id = yield* blobs.put(bytes(10))
        yield* TestClock.adjust("2 hours")
        const condition = { writtenBefore: yield* Clock.currentTimeMillis }
        yield* blobs.put(bytes(10))
        assert.isFalse(yield* blobs.remove(id, condition))
        assert.isTrue(Option.isSome(yield* blobs.get(id)))
        yield* TestClock.adjust("1 second")
        assert.isTrue(yield* blobs.remove(id, { writtenBefore: yield* Clock.currentTimeMillis }))
        assert.isFalse(yield* blobs.remove(id, condition))
        assert.isTrue(Option.isNone(yield* blobs.get(id)))
      }).pipe(Effect.provide(layer)))
  })
}

describe("blobs in files", () => {
  it.scopedLive("outlive the layer, and a damaged blob fails to read until it is put again", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const folder = yield* folderOfItsOwn
      const id = yield* Effect.flatMap(BlobStore, (blobs) => blobs.put(bytes(70_000))).pipe(
        Effect.provide(files(folder))
      )
      const place = `${folder}/${id.slice(0, 2)}/${id}`
      assert.deepStrictEqual(yield* fs.readFile(place), bytes(70_000))
      yield* fs.writeFile(place, bytes(70_000, 1))
      yield* Effect.gen(function*() {
        const blobs = yield* BlobStore
        const refused = yield* Effect.flip(blobs.get(id))
        assert.deepStrictEqual([refused.operation, refused.blobId], ["get", id])
        yield* blobs.put(bytes(70_000))
        assert.isTrue(Option.isSome(yield* blobs.get(id)))
      }).pipe(Effect.provide(files(folder)))
      assert.deepStrictEqual(yield* fs.readDirectory(`${folder}/${id.slice(0, 2)}`), [id])
    }).pipe(Effect.provide(NodeContext.layer)))

  it.scopedLive("are told apart from other files in their folder", () =>
    inFolder((fs, directory, blobs) =>
      Effect.gen(function*() {
        const id = yield* blobs.put(bytes(10))
        const [folder = ""] = yield* fs.readDirectory(directory)
        yield* fs.writeFileString(`${directory}/${folder}/${id}.tmp`, "half of it")
        yield* fs.writeFileString(`${directory}/${folder}/notes.txt`, "not ours")
        const listed = Chunk.toReadonlyArray(yield* Stream.runCollect(blobs.list))
        assert.deepStrictEqual(listed.map(({ blobId }) => blobId), [id])
      })
    ))

  it.scopedLive("are listed whatever else lies beside their folders", () =>
    inFolder((fs, directory, blobs) =>
      Effect.gen(function*() {
        const id = yield* blobs.put(bytes(10))
        yield* fs.writeFileString(`${directory}/.DS_Store`, "not ours")
        yield* fs.writeFileString(`${directory}/00`, "not ours")
        yield* fs.makeDirectory(`${directory}/lost+found`)
        yield* fs.writeFileString(`${directory}/lost+found/${"0".repeat(64)}`, "not ours either")
        const listed = Chunk.toReadonlyArray(yield* Stream.runCollect(blobs.list))
        assert.deepStrictEqual(listed.map(({ blobId }) => blobId), [id])
      })
    ))

  it.scopedLive("leave no temporary file when their put fails", () =>
    inFolder((fs, directory, blobs) =>
      Effect.gen(function*() {
        const id = yield* blobs.put(bytes(10))
        yield* blobs.remove(id)
        const folder = `${directory}/${id.slice(0, 2)}`
        yield* fs.makeDirectory(`${folder}/${id}/in the way`, { recursive: true })
        assert.strictEqual((yield* Effect.flip(blobs.put(bytes(10)))).operation, "put")
        assert.deepStrictEqual(yield* fs.readDirectory(folder), [id])
      })
    ))

  it.live("fail the layer when their folder cannot be created", () =>
    Effect.gen(function*() {
      const failure = yield* Effect.flip(Effect.provide(BlobStore, files("/dev/null/blobs")))
      assert.strictEqual(failure._tag, "BlobFailed")
    }))
})

const id = SessionId.make("m")
const memory = RuntimeStoreMemory.layer.pipe(Layer.provide(HandoverLive.layer))
const large = bytes(100_000)

/** An executor that records the kind and size of its media, and answers with media of its own. */
const viewer = (seen: Array<string>) =>
  make((turn) =>
    Effect.gen(function*() {
      for (const block of turn.appends.flatMap(({ blocks }) => blocks)) {
        if (block.type === "text") continue
        seen.push(`${block.data.type} ${(yield* turn.media(block.data)).byteLength}`)
      }
      return {
        session: { _tag: "Reply", messages: [{ role: "assistant", blocks: [image(bytes(90_000, 7))] }] },
        terminal: { _tag: "RunResult", result: { text: "seen" } }
      }
    })
  )

/** How the media of the committed body are stored. */
const stored = Effect.flatMap(
  RuntimeStore,
  (store) =>
    Effect.map(
      Stream.runCollect(store.history(runtimeIdOf(id))),
      (messages) =>
        Chunk.toReadonlyArray(messages).flatMap(({ blocks }) =>
          blocks.flatMap((block) => block.type === "text" ? [] : [block.data.type])
        )
    )
)

const looking = (seen: Array<string>) =>
  Effect.gen(function*() {
    const machine = yield* MeerkatMachine
    yield* machine.ensureSessionWithExecutor(id, yield* viewer(seen))
    yield* machine.session(id).ask("look", { blocks: [image(large), image(bytes(100))] })
    return yield* stored
  })

describe("a machine", () => {
  it.effect("stores large media of inputs and answers in its blob store", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      assert.deepStrictEqual(yield* looking(seen), ["blob", "inline", "blob"])
      assert.deepStrictEqual(seen, ["blob 100000", "inline 100"])
      const blobs = yield* BlobStore
      assert.strictEqual(Chunk.size(yield* Stream.runCollect(blobs.list)), 2)
    }).pipe(
      Effect.provide(MeerkatMachineLive.layer),
      Effect.provide(Layer.merge(memory, BlobStoreMemory.layer))
    ))

  it.effect("keeps media inline when it has no blob store", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      assert.deepStrictEqual(yield* looking(seen), ["inline", "inline", "inline"])
      assert.deepStrictEqual(seen, ["inline 100000", "inline 100"])
    }).pipe(Effect.provide(MeerkatMachineLive.layer), Effect.provide(memory)))

  it.effect("accepts an input whose media exceed a commit only with a blob store", () => {
    const send = Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      yield* machine.registerSession(id)
      return yield* Effect.either(machine.session(id).prompt("look", { blocks: [image(large)] }))
    })
    const limits = MeerkatMachineConfig.layer({ maxCommitBytes: 50_000 })
    const without = Layer.provide(MeerkatMachineLive.layer, Layer.merge(memory, limits))
    return Effect.gen(function*() {
      const refused = yield* Effect.provide(send, without)
      assert.strictEqual(
        refused._tag === "Left" && refused.left._tag === "ValidationFailed" ? refused.left.detail._tag : "",
        "TooLarge"
      )
      const taken = yield* Effect.provide(send, Layer.provide(without, BlobStoreMemory.layer))
      assert.strictEqual(taken._tag, "Right")
    })
  })

  it.effect("refuses invalid base64, and fails when the blob store fails", () =>
    Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      yield* machine.registerSession(id)
      const broken: ContentBlock = {
        type: "image",
        mediaType: "image/png",
        data: { type: "inline", base64: "?".repeat(200_000) }
      }
      const invalid = yield* Effect.flip(machine.session(id).prompt("look", { blocks: [broken] }))
      assert.strictEqual(invalid._tag, "ValidationFailed")
      const full = yield* Effect.flip(machine.session(id).prompt("look", { blocks: [image(large)] }))
      assert.isTrue(full._tag === "Internal" && full.retryable)
      assert.deepStrictEqual(yield* machine.listActiveInputs(id), [])
    }).pipe(Effect.provide(MeerkatMachineLive.layer), Effect.provide(Layer.merge(memory, broken))))

  it.effect("keeps large media of an ephemeral input in memory until the answer is stored", () =>
    Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      const blobs = yield* BlobStore
      yield* machine.registerSession(id)
      const { completion } = yield* machine.acceptInputWithCompletion(id, {
        _tag: "Prompt",
        header: header(inputId(1), 0, { durability: "ephemeral" }),
        text: "look",
        blocks: [image(large)]
      })
      assert.isTrue(Chunk.isEmpty(yield* Stream.runCollect(blobs.list)))
      yield* TestClock.adjust("2 hours")
      yield* BlobCollection.collect()
      const seen: Array<string> = []
      yield* machine.ensureSessionWithExecutor(id, yield* viewer(seen))
      assert.strictEqual((yield* (yield* completion).wait)._tag, "Completed")
      assert.deepStrictEqual(seen, ["inline 100000"])
      assert.deepStrictEqual(yield* stored, ["blob", "blob"])
    }).pipe(Effect.provide(MeerkatMachineLive.layer), Effect.provide(Layer.merge(memory, BlobStoreMemory.layer))))

  it.effect("refuses media for which the blob store returns no id", () =>
    Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      yield* machine.registerSession(id)
      const refused = yield* Effect.flip(machine.session(id).prompt("look", { blocks: [image(large)] }))
      assert.include(refused.message, "returned an invalid id")
    }).pipe(Effect.provide(MeerkatMachineLive.layer), Effect.provide(Layer.merge(memory, nameless))))

  it.effect("keeps the media of an answer inline when the blob store fails", () =>
    Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      yield* machine.ensureSessionWithExecutor(id, yield* viewer([]))
      const answer = yield* machine.session(id).ask("hello")
      assert.strictEqual(answer.text, "seen")
      assert.deepStrictEqual(yield* stored, ["inline"])
    }).pipe(Effect.provide(MeerkatMachineLive.layer), Effect.provide(Layer.merge(memory, broken))))

  it.effect("counts a failed attempt when the blob of an input is gone", () =>
    Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      const blobs = yield* BlobStore
      const { completion } = yield* Effect.zipRight(
        machine.registerSession(id),
        machine.session(id).prompt("look", { blocks: [image(large)] })
      )
      yield* Stream.runForEach(blobs.list, ({ blobId }) => blobs.remove(blobId))
      yield* machine.ensureSessionWithExecutor(id, yield* viewer([]))
      const ended = yield* completion.wait
      assert.include(ended._tag === "Abandoned" ? ended.reason : ended._tag, "there is no blob")
    }).pipe(Effect.provide(MeerkatMachineLive.layer), Effect.provide(Layer.merge(memory, BlobStoreMemory.layer))))
})

/** The id in the name of a temporary file that a killed process left. */
const leftover = "01996d2e-0000-7000-8000-00000000cafe"

/** A blob store whose put returns no id. */
const nameless = Layer.succeed(
  BlobStore,
  BlobStore.of({
    put: () => Effect.succeed(Function.unsafeCoerce<unknown, string>(undefined)),
    get: () => Effect.succeedNone,
    remove: () => Effect.succeed(false),
    list: Stream.empty
  })
)

/** A blob store whose put fails. */
const broken = Layer.succeed(
  BlobStore,
  BlobStore.of({
    put: () => Effect.fail(new BlobFailed({ operation: "put", blobId: "", detail: "no room" })),
    get: () => Effect.succeedNone,
    remove: () => Effect.succeed(false),
    list: Stream.empty
  })
)

describe("collecting blobs", () => {
  it.scopedLive("removes old leftovers of puts and removals that were cut off, and keeps young ones", () =>
    inFolder((fs, directory, blobs) =>
      Effect.gen(function*() {
        const id = yield* blobs.put(bytes(10))
        const folder = `${directory}/${id.slice(0, 2)}`
        const written = `${folder}/.${leftover}`
        const notice = `${folder}/.${id}.${leftover}`
        yield* fs.writeFileString(written, "half of it")
        yield* fs.makeDirectory(notice)
        yield* fs.writeFileString(`${notice}/${id}`, "all of it")
        yield* fs.writeFileString(`${folder}/.notes`, "not ours")
        assert.deepInclude(yield* BlobCollection.collect(), { kept: 3, removed: 0 })
        for (const place of [written, notice, `${folder}/.notes`]) yield* fs.utimes(place, 0, 0)
        assert.deepInclude(yield* BlobCollection.collect(), { kept: 1, removed: 2 })
        assert.deepStrictEqual((yield* fs.readDirectory(folder)).sort(), [".notes", id])
      }).pipe(Effect.provideService(BlobStore, blobs), Effect.provide(memory))
    ))

  it.scopedLive("checks the age of a leftover at the moment of its removal", () =>
    inFolder((fs, directory, blobs) =>
      Effect.gen(function*() {
        const id = `ab/.${leftover}`
        assert.isFalse(yield* blobs.remove(id))
        yield* fs.makeDirectory(`${directory}/ab`)
        yield* fs.writeFileString(`${directory}/${id}`, "half of it")
        yield* fs.utimes(`${directory}/${id}`, 10, 10)
        assert.isFalse(yield* blobs.remove(id, { writtenBefore: 10_000 }))
        assert.isTrue(yield* fs.exists(`${directory}/${id}`))
        assert.isTrue(yield* blobs.remove(id, { writtenBefore: 10_001 }))
        assert.isFalse(yield* blobs.remove(id, { writtenBefore: 10_001 }))
      })
    ))

  it.effect("removes old blobs that no session names, and keeps young ones", () =>
    Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      const blobs = yield* BlobStore
      yield* looking([])
      yield* machine.session(id).prompt("later", { blocks: [image(bytes(80_000, 3))], hold: true })
      const orphan = yield* blobs.put(bytes(66_000, 5))
      assert.deepStrictEqual(yield* BlobCollection.collect(), { kept: 4, removed: 0, bytesRemoved: 0 })
      yield* TestClock.adjust("2 hours")
      const kept = new Set([orphan])
      assert.strictEqual((yield* BlobCollection.collect({ alsoKeep: kept })).removed, 0)
      assert.deepStrictEqual(yield* BlobCollection.collect(), {
        kept: 3,
        removed: 1,
        bytesRemoved: 66_000
      })
      assert.isTrue(Option.isNone(yield* blobs.get(orphan)))
    }).pipe(Effect.provide(MeerkatMachineLive.layer), Effect.provide(Layer.merge(memory, BlobStoreMemory.layer))))
})
