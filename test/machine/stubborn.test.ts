/** User code that never returns: hooks, inboxes and blob stores that hang or ignore their interruption. */
import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as HandoverLive from "../../layers/HandoverLive.js"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import * as RuntimeStoreMemory from "../../layers/RuntimeStoreMemory.js"
import { BlobStore } from "../../services/BlobStore.js"
import type { CommsRuntime } from "../../services/CommsRuntime.js"
import { make } from "../../services/CoreExecutor.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import * as Turn from "../../services/Turn.js"
import { SessionId } from "../../src/domain/Ids.js"
import type { ContentBlock } from "../../src/domain/Message.js"
import { LatchedExecutor } from "../../src/testkit/index.js"
import { inputId, peer } from "../support/inputs.js"

const id = SessionId.make("s")
const memory = RuntimeStoreMemory.layer.pipe(Layer.provide(HandoverLive.layer))

/** A call into user code that never returns. One kind can be interrupted, the other ignores its interruption. */
interface Call {
  readonly call: Effect.Effect<never>
  /** whether the call has ended */
  readonly ended: () => boolean
  readonly release: Effect.Effect<void>
}

const patient = Effect.sync((): Call => {
  const end = { seen: false }
  return {
    call: Effect.onInterrupt(Effect.never, () =>
      Effect.sync(() => {
        end.seen = true
      })),
    ended: () => end.seen,
    release: Effect.void
  }
})

const stubborn = Effect.map(Effect.makeLatch(false), (latch): Call => ({
  call: Effect.zipRight(Effect.uninterruptible(latch.await), Effect.never),
  ended: () => true,
  release: latch.open
}))

const kinds = { "hangs is interrupted": patient, "ignores its interruption is abandoned": stubborn }

/** Lets every runnable fiber run, then passes one minute: more than the bound of any hook. */
const aMinute = Effect.zipRight(Effect.repeatN(Effect.yieldNow(), 100), TestClock.adjust("1 minute"))

const image = (length: number): ContentBlock => ({
  type: "image",
  mediaType: "image/png",
  data: { type: "inline", base64: "A".repeat(length) }
})

const withStore = (put: Effect.Effect<never>) =>
  Layer.succeed(
    BlobStore,
    BlobStore.of({
      put: () => put,
      get: () => Effect.succeedNone,
      remove: () => Effect.succeed(false),
      list: Stream.empty
    })
  )

for (const [what, kind] of Object.entries(kinds)) {
  describe(`user code that ${what} after a while:`, () => {
    it.effect("the stop hook of an executor", () =>
      Effect.gen(function*() {
        const { call, ended, release } = yield* kind
        const machine = yield* MeerkatMachine
        const executor = yield* make(() => Effect.succeed(Turn.reply("answer")), { stop: () => call })
        yield* machine.ensureSessionWithExecutor(id, executor)
        const stop = yield* Effect.fork(machine.stopRuntimeExecutor(id, "enough"))
        yield* aMinute
        assert.isTrue((yield* Fiber.join(stop)).joined)
        assert.isTrue(ended())
        assert.strictEqual(yield* machine.runtimeState(id), "stopped")
        yield* release
      }).pipe(Effect.provide(MeerkatMachineLive.layer), Effect.provide(memory)))

    it.effect("the confirm of an inbox, after which the next input is admitted", () =>
      Effect.gen(function*() {
        const { call, ended, release } = yield* kind
        const machine = yield* MeerkatMachine
        const inputs = [peer(1), peer(2)]
        const inbox: CommsRuntime = {
          next: Effect.suspend(() => {
            const input = inputs.shift()
            return input === undefined ? Effect.never : Effect.succeedSome(input)
          }),
          confirm: ({ header }) => header.id === inputId(1) ? call : Effect.void
        }
        yield* machine.registerSession(id)
        yield* machine.updatePeerIngressContext(id, { keepAlive: true, commsRuntime: inbox })
        yield* aMinute
        yield* aMinute
        assert.isTrue(ended())
        assert.deepStrictEqual(yield* machine.listActiveInputs(id), [inputId(1), inputId(2)])
        yield* release
      }).pipe(Effect.provide(MeerkatMachineLive.layer), Effect.provide(memory)))

    it.effect("the put of a blob store, after which the media of the answer stay inline", () =>
      Effect.gen(function*() {
        const { call, ended, release } = yield* kind
        yield* Effect.gen(function*() {
          const machine = yield* MeerkatMachine
          const executor = yield* make(() =>
            Effect.succeed({
              session: { _tag: "Reply" as const, messages: [{ role: "assistant" as const, blocks: [image(400_000)] }] },
              terminal: { _tag: "RunResult" as const, result: { text: "seen" } }
            })
          )
          yield* machine.ensureSessionWithExecutor(id, executor)
          const asked = yield* Effect.fork(machine.session(id).ask("draw"))
          yield* aMinute
          assert.strictEqual((yield* Fiber.join(asked)).text, "seen")
          assert.isTrue(ended())
          yield* release
        }).pipe(
          Effect.provide(MeerkatMachineLive.layer),
          Effect.provide(Layer.merge(memory, withStore(call)))
        )
      }))
  })
}

describe("a hook that runs while its session is unregistered", () => {
  const cancelling = (hook: Effect.Effect<void>) =>
    Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      const begun = yield* Effect.makeLatch(false)
      const latched = yield* LatchedExecutor.make({
        held: true,
        hardCancel: () => Effect.zipRight(begun.open, hook)
      })
      yield* machine.ensureSessionWithExecutor(id, latched.executor)
      yield* machine.session(id).prompt("hello")
      yield* latched.started(1)
      yield* machine.hardCancelCurrentRun(id, "enough")
      yield* begun.await
      return yield* Effect.fork(machine.unregisterSession(id))
    })

  it.effect("is interrupted and waited for", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const leaving = yield* cancelling(Effect.onInterrupt(
        Effect.never,
        () => Effect.zipRight(Effect.sleep("1 second"), Effect.sync(() => log.push("ended")))
      ))
      yield* Effect.repeatN(Effect.yieldNow(), 100)
      assert.isNull(leaving.unsafePoll())
      yield* TestClock.adjust("1 second")
      assert.isFalse((yield* Fiber.join(leaving)).forced)
      assert.deepStrictEqual(log, ["ended"])
    }).pipe(Effect.provide(MeerkatMachineLive.layer), Effect.provide(memory)))

  it.effect("is reported as a forced teardown when it ignores its interruption", () =>
    Effect.gen(function*() {
      const { call, release } = yield* stubborn
      const leaving = yield* cancelling(call)
      yield* aMinute
      assert.isTrue((yield* Fiber.join(leaving)).forced)
      yield* release
    }).pipe(Effect.provide(MeerkatMachineLive.layer), Effect.provide(memory)))
})

describe("an inbox", () => {
  it.effect("ends its drain as failed and publishes that when it interrupts the drain", () =>
    Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      yield* machine.registerSession(id)
      const told = yield* Effect.fork(
        machine.runtimeEvents(id).pipe(
          Stream.filterMap((fed) =>
            fed._tag === "Event" && fed.envelope.event._tag === "DrainExited"
              ? Option.some(fed.envelope.event.reason)
              : Option.none()
          ),
          Stream.take(1),
          Stream.runCollect
        )
      )
      yield* Effect.repeatN(Effect.yieldNow(), 20)
      yield* machine.updatePeerIngressContext(id, {
        keepAlive: true,
        commsRuntime: { next: Effect.interrupt, confirm: () => Effect.void }
      })
      assert.deepStrictEqual(Chunk.toReadonlyArray(yield* Fiber.join(told)), ["failed"])
    }).pipe(Effect.provide(MeerkatMachineLive.layer), Effect.provide(memory)))
})
