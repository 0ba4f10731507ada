/** Peer inboxes: one drain at a time, a store that refuses for a while, and sessions that end during a drain. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as CommsRuntimeMailbox from "../../layers/CommsRuntimeMailbox.js"
import * as HandoverLive from "../../layers/HandoverLive.js"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import * as RuntimeStoreMemory from "../../layers/RuntimeStoreMemory.js"
import { BlobStore } from "../../services/BlobStore.js"
import type { CommsRuntime } from "../../services/CommsRuntime.js"
import { make } from "../../services/CoreExecutor.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import type { SessionComms } from "../../services/SessionComms.js"
import * as Turn from "../../services/Turn.js"
import { SessionId } from "../../src/domain/Ids.js"
import type { Input } from "../../src/domain/Input.js"
import { StoreBusy, StoreClosed, StoreCorrupt, StoreFull } from "../../src/domain/StoreErrors.js"
import { FaultyStore } from "../../src/testkit/index.js"
import { inputId, peer, prompt } from "../support/inputs.js"

const id = SessionId.make("s")
const memory = RuntimeStoreMemory.layer.pipe(Layer.provide(HandoverLive.layer))

const withFaults = <A, E>(
  body: (faults: FaultyStore.FaultyStore) => Effect.Effect<A, E, MeerkatMachine | Scope.Scope>
) =>
  Effect.flatMap(FaultyStore.make, (faults) =>
    body(faults).pipe(
      Effect.ensuring(faults.heal),
      Effect.scoped,
      Effect.provide(MeerkatMachineLive.layer),
      Effect.provide(FaultyStore.layer(faults)),
      Effect.provide(memory)
    ))

/** Lets every runnable fiber run, without any time passing. */
const settled = Effect.repeatN(Effect.yieldNow(), 100)

/**
 * An inbox over a list. It removes an input when it is confirmed, after `confirming`, and counts the calls of `next`.
 */
const listed = (inputs: Array<Input>, confirming: Effect.Effect<unknown> = Effect.void) => {
  const seen = { looks: 0, confirmed: new Array<string>() }
  const emptied = Effect.unsafeMakeLatch(false)
  const runtime: CommsRuntime = {
    next: Effect.suspend(() => {
      seen.looks++
      const [head] = inputs
      return head === undefined ? Effect.never : Effect.succeedSome(head)
    }),
    confirm: ({ header }) =>
      Effect.uninterruptible(Effect.zipRight(
        confirming,
        Effect.sync(() => {
          seen.confirmed.push(header.id)
          inputs.shift()
          if (inputs.length === 0) emptied.unsafeOpen()
        })
      ))
  }
  return { runtime, seen, emptied: emptied.await }
}

const silent: CommsRuntime = { next: Effect.never, confirm: () => Effect.void }

const busy = new StoreBusy({ operation: "commit", waitedMs: 1 })

describe("a session that ends itself, without a caller, while the store refuses commits for a while", () => {
  it.effect("stops when its inbox is dismissed", () =>
    withFaults((faults) =>
      Effect.gen(function*() {
        const machine = yield* MeerkatMachine
        yield* machine.ensureSessionWithExecutor(id, yield* make(() => Effect.succeed(Turn.reply("answer"))))
        const inbox = yield* CommsRuntimeMailbox.make()
        yield* machine.session(id).comms.attach(inbox)
        yield* settled
        faults.failCommit(busy)
        yield* inbox.dismiss
        yield* settled
        yield* TestClock.adjust("1 second")
        yield* settled
        assert.strictEqual(yield* machine.runtimeState(id), "stopped")
      })
    ))

  it.effect("is destroyed when its own run destroys it", () =>
    withFaults((faults) =>
      Effect.gen(function*() {
        const machine = yield* MeerkatMachine
        const executor = yield* make(() =>
          Effect.suspend(() => {
            faults.failCommit(busy)
            return Effect.zipRight(Effect.orDie(machine.destroyRuntime(id)), Effect.never)
          })
        )
        yield* machine.ensureSessionWithExecutor(id, executor)
        yield* machine.session(id).prompt("end it")
        yield* settled
        yield* TestClock.adjust("1 second")
        yield* settled
        assert.strictEqual(yield* machine.runtimeState(id), "destroyed")
      })
    ))
})

describe("an inbox has one drain at a time", () => {
  const rounds: Readonly<
    Record<string, (comms: SessionComms, runtime: CommsRuntime) => Effect.Effect<unknown, unknown, Scope.Scope>>
  > = {
    "when it is aborted and attached again": (comms, runtime) =>
      Effect.forkScoped(comms.abort).pipe(Effect.zipRight(settled), Effect.zipRight(comms.attach(runtime))),
    "when the session is bound to another inbox and back": (comms, runtime) =>
      comms.attach(silent).pipe(Effect.zipRight(settled), Effect.zipRight(comms.attach(runtime))),
    "when the session is bound to another inbox, aborts, and is bound back": (comms, runtime) =>
      comms.attach(silent).pipe(
        Effect.zipRight(Effect.forkScoped(comms.abort)),
        Effect.zipRight(settled),
        Effect.zipRight(comms.attach(silent)),
        Effect.zipRight(comms.attach(runtime))
      )
  }

  for (const [name, round] of Object.entries(rounds)) {
    it.effect(`${name} while the drain admits an input`, () =>
      withFaults((faults) =>
        Effect.gen(function*() {
          const machine = yield* MeerkatMachine
          yield* machine.registerSession(id)
          const { comms } = machine.session(id)
          const { emptied, runtime, seen } = listed([peer(1), peer(2)])
          const admitting = faults.park("terminalInput")
          yield* comms.attach(runtime)
          yield* admitting.reached
          yield* round(comms, runtime)
          yield* settled
          assert.strictEqual(seen.looks, 1)
          yield* admitting.release
          yield* emptied
          assert.deepStrictEqual(seen.confirmed, [inputId(1), inputId(2)])
          assert.deepStrictEqual(yield* machine.listActiveInputs(id), [inputId(1), inputId(2)])
        })
      ))

    it.effect(`${name} while the drain confirms an input`, () =>
      withFaults(() =>
        Effect.gen(function*() {
          const machine = yield* MeerkatMachine
          yield* machine.registerSession(id)
          const { comms } = machine.session(id)
          const begun = yield* Effect.makeLatch(false)
          const go = yield* Effect.makeLatch(false)
          const { emptied, runtime, seen } = listed([peer(1), peer(2)], Effect.zipRight(begun.open, go.await))
          yield* comms.attach(runtime)
          yield* begun.await
          yield* round(comms, runtime)
          yield* settled
          assert.strictEqual(seen.looks, 1)
          yield* go.open
          yield* emptied
          assert.deepStrictEqual(yield* machine.listActiveInputs(id), [inputId(1), inputId(2)])
        })
      ))
  }
})

describe("an inbox whose drain the store refuses for two minutes", () => {
  /** A registered session with an attached inbox, whose commits the store has refused for two minutes. */
  const refused = (faults: FaultyStore.FaultyStore, runtime: CommsRuntime) =>
    Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      yield* machine.registerSession(id)
      for (let nth = 1; nth <= 100; nth++) {
        faults.failCommit(new StoreFull({ operation: "commit", detail: "disk full" }), { nth })
      }
      yield* machine.session(id).comms.attach(runtime)
      for (let steps = 0; steps < 12; steps++) {
        yield* Effect.zipRight(TestClock.adjust("10 seconds"), settled)
      }
      return machine
    })

  it.effect("is drained in order, without loss, once the store takes commits again", () =>
    withFaults((faults) =>
      Effect.gen(function*() {
        const { emptied, runtime, seen } = listed([peer(1), peer(2), peer(3)])
        const machine = yield* refused(faults, runtime)
        assert.deepStrictEqual(seen, { looks: 1, confirmed: [] })
        yield* faults.heal
        yield* TestClock.adjust("10 seconds")
        yield* emptied
        assert.deepStrictEqual(seen.confirmed, [1, 2, 3].map(inputId))
        assert.deepStrictEqual(yield* machine.listActiveInputs(id), [1, 2, 3].map(inputId))
      })
    ))

  it.effect("stops its drain at once on detach, without waiting for the next retry", () =>
    withFaults((faults) =>
      Effect.gen(function*() {
        const { runtime, seen } = listed([peer(1)])
        const machine = yield* refused(faults, runtime)
        yield* machine.session(id).comms.detach
        assert.deepStrictEqual(seen.confirmed, [])
        assert.strictEqual(yield* machine.fiberCount, 0)
      })
    ))

  it.effect("is left to the next drain when the store is closed or the session must be opened again", () =>
    withFaults((faults) =>
      Effect.gen(function*() {
        const machine = yield* MeerkatMachine
        const { comms } = yield* Effect.as(machine.registerSession(id), machine.session(id))
        const { emptied, runtime, seen } = listed([peer(1)])
        for (const error of [new StoreClosed(), new StoreCorrupt({ table: "inputs", key: id, detail: "damaged" })]) {
          faults.failCommit(error)
          yield* comms.attach(runtime)
          yield* comms.wait
          assert.deepStrictEqual(seen.confirmed, [])
        }
        yield* machine.registerSession(id)
        yield* comms.attach(runtime)
        yield* emptied
      })
    ))
})

describe("unregistering a session that drains an inbox", () => {
  const confirming = (inbox: CommsRuntime, begun: Effect.Latch) =>
    Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      yield* machine.registerSession(id)
      yield* machine.session(id).comms.attach(inbox)
      yield* begun.await
      return yield* Effect.fork(machine.unregisterSession(id))
    })

  it.effect("waits for an input that the inbox is confirming", () =>
    withFaults(() =>
      Effect.gen(function*() {
        const begun = yield* Effect.makeLatch(false)
        const { runtime, seen } = listed([peer(1)], Effect.zipRight(begun.open, Effect.sleep("500 millis")))
        const leaving = yield* confirming(runtime, begun)
        yield* settled
        assert.isNull(leaving.unsafePoll())
        yield* TestClock.adjust("500 millis")
        assert.isFalse((yield* Fiber.join(leaving)).forced)
        assert.deepStrictEqual(seen.confirmed, [inputId(1)])
      })
    ))

  it.effect("reports a forced teardown when the inbox ignores its interruption", () =>
    withFaults(() =>
      Effect.gen(function*() {
        const machine = yield* MeerkatMachine
        const begun = yield* Effect.makeLatch(false)
        const go = yield* Effect.makeLatch(false)
        const { runtime } = listed([peer(1)], Effect.zipRight(begun.open, go.await))
        const leaving = yield* confirming(runtime, begun)
        yield* settled
        for (let steps = 0; steps < 4; steps++) yield* Effect.zipRight(TestClock.adjust("30 seconds"), settled)
        assert.isTrue((yield* Fiber.join(leaving)).forced)
        assert.strictEqual(yield* machine.fiberCount, 2)
        yield* go.open
        yield* settled
        assert.strictEqual(yield* machine.fiberCount, 0)
      })
    ))

  it.effect("does not wait for media that are being stored, since nothing is admitted yet", () =>
    Effect.gen(function*() {
      const putting = yield* Effect.makeLatch(false)
      const blobs = BlobStore.of({
        put: () => Effect.zipRight(putting.open, Effect.never),
        get: () => Effect.succeedNone,
        remove: () => Effect.succeed(false),
        list: Stream.empty
      })
      const picture: Input = {
        _tag: "Prompt",
        header: prompt(1).header,
        text: "look",
        blocks: [{ type: "image", mediaType: "image/png", data: { type: "inline", base64: "A".repeat(400_000) } }]
      }
      const { runtime, seen } = listed([picture])
      yield* Effect.gen(function*() {
        const leaving = yield* confirming(runtime, putting)
        yield* settled
        assert.isFalse((yield* Fiber.join(leaving)).forced)
        assert.deepStrictEqual(seen.confirmed, [])
      }).pipe(
        Effect.provide(MeerkatMachineLive.layer),
        Effect.provide(Layer.merge(memory, Layer.succeed(BlobStore, blobs)))
      )
    }))
})
