/** Deferred writes: changes that are published at once and stored a little later. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import { RuntimeStore } from "../../services/RuntimeStore.js"
import { runtimeIdOf, SessionId } from "../../src/domain/Ids.js"
import { CommitTooLarge, StoreBusy } from "../../src/domain/StoreErrors.js"
import { FaultyStore } from "../../src/testkit/index.js"
import { memory } from "../support/layers.js"

const id = SessionId.make("s")

/** A registered session whose commits the test can hold and refuse. */
const registered = <A, E>(
  test: (machine: MeerkatMachine["Type"], faults: FaultyStore.FaultyStore) => Effect.Effect<A, E>
) =>
  Effect.flatMap(
    FaultyStore.make,
    (faults) =>
      Effect.flatMap(MeerkatMachine, (machine) => Effect.zipRight(machine.registerSession(id), test(machine, faults)))
        .pipe(
          Effect.provide(Layer.provide(MeerkatMachineLive.layer, Layer.provide(FaultyStore.layer(faults), memory)))
        )
  )

/** Registers an external operation. Its registration is a deferred write, because no caller waits for its commit. */
const known = (machine: MeerkatMachine["Type"], displayName: string) =>
  machine.session(id).operations.external({ displayName })

const written = (faults: FaultyStore.FaultyStore) =>
  faults.commits().flatMap(({ operations }) => operations.map(({ spec }) => spec.id))

describe("a deferred write", () => {
  it.effect("is committed when it arrives during the commit of another one", () =>
    registered((machine, faults) =>
      Effect.gen(function*() {
        const held = faults.park("commit")
        yield* known(machine, "one")
        yield* TestClock.adjust("1 second")
        yield* held.reached
        const two = yield* Effect.fork(known(machine, "two"))
        yield* Effect.repeatN(Effect.yieldNow(), 20)
        yield* held.release
        const operation = yield* Fiber.join(two)
        yield* TestClock.adjust("1 second")
        assert.include(written(faults), operation)
      })
    ))

  it.effect("is retried with pauses when the store refuses it", () =>
    registered((machine, faults) =>
      Effect.gen(function*() {
        const before = faults.calls("commit")
        for (const nth of [1, 2, 3]) faults.failCommit(new StoreBusy({ operation: "commit", waitedMs: 1 }), { nth })
        const operation = yield* known(machine, "one")
        yield* TestClock.adjust("500 millis")
        assert.strictEqual(faults.calls("commit") - before, 1)
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(faults.calls("commit") - before, 4)
        assert.include(written(faults), operation)
      })
    ))
})

/** A store that refuses commits with more than `limit` bytes of operations. */
const tight = (limit: number) =>
  Layer.provide(
    Layer.effect(
      RuntimeStore,
      Effect.map(RuntimeStore, (store) =>
        RuntimeStore.of({
          ...store,
          commit: (commit) => {
            const bytes = JSON.stringify(commit.operations).length
            return bytes > limit ? Effect.fail(new CommitTooLarge({ bytes, limit })) : store.commit(commit)
          }
        }))
    ),
    memory
  )

const within = <A, E>(limit: number, test: Effect.Effect<A, E, MeerkatMachine | RuntimeStore>) =>
  Effect.zipRight(Effect.flatMap(MeerkatMachine, (machine) => machine.registerSession(id)), test).pipe(
    Effect.provide(Layer.provideMerge(MeerkatMachineLive.layer, tight(limit)))
  )

const stored = Effect.flatMap(RuntimeStore, (store) =>
  Effect.map(
    Stream.runCollect(store.operations(runtimeIdOf(id))),
    (all) => Array.from(all, ({ spec }) => spec.id).toSorted()
  ))

/** Registers twenty operations, each a fifth of a commit in size. */
const twenty = Effect.flatMap(
  MeerkatMachine,
  (machine) => Effect.forEach(Array.from({ length: 20 }), () => known(machine, "x".repeat(1_000)))
)

describe("deferred writes that exceed one commit", () => {
  it.effect("are committed in parts, and no other call is refused", () =>
    within(
      5_000,
      Effect.gen(function*() {
        const machine = yield* MeerkatMachine
        const ids = yield* twenty
        yield* machine.session(id).prompt("hello")
        assert.deepStrictEqual(yield* stored, ids.toSorted())
        yield* known(machine, "one more")
        yield* TestClock.adjust("1 second")
        assert.strictEqual((yield* stored).length, 21)
      })
    ))

  it.effect("are committed in parts when nothing else is to be written", () =>
    within(
      5_000,
      Effect.gen(function*() {
        yield* twenty
        yield* TestClock.adjust("1 second")
        assert.strictEqual((yield* stored).length, 20)
      })
    ))

  it.effect("are given up singly when one of them exceeds a commit; the session stays usable", () =>
    within(
      1_000,
      Effect.gen(function*() {
        const machine = yield* MeerkatMachine
        const large = yield* known(machine, "x".repeat(2_000))
        const small = yield* known(machine, "small")
        yield* machine.session(id).prompt("hello")
        assert.deepStrictEqual(yield* stored, [small])
        assert.strictEqual(
          (yield* Effect.flip(machine.session(id).operations.complete(large, "done")))._tag,
          "OpInternal"
        )
        yield* machine.unregisterSession(id)
      })
    ))
})

describe("a session with more running operations than one commit can end", () => {
  const statuses = Effect.flatMap(
    RuntimeStore,
    (store) =>
      Effect.map(Stream.runCollect(store.operations(runtimeIdOf(id))), (all) => Array.from(all, ({ status }) => status))
  )
  const terminated = Array.from({ length: 20 }, () => "terminated")

  it.effect("is unregistered, and all its operations are terminated", () =>
    within(
      5_000,
      Effect.gen(function*() {
        const machine = yield* MeerkatMachine
        const { operations } = machine.session(id)
        yield* Effect.replicateEffect(operations.run(Effect.never, { displayName: "x".repeat(1_000) }), 20)
        assert.strictEqual((yield* machine.unregisterSession(id)).terminatedOperations, 20)
        assert.deepStrictEqual(yield* statuses, terminated)
      })
    ))

  it.effect("is destroyed, and all its operations are terminated", () =>
    within(
      5_000,
      Effect.gen(function*() {
        const machine = yield* MeerkatMachine
        yield* twenty
        yield* machine.destroyRuntime(id)
        assert.deepStrictEqual(yield* statuses, terminated)
        assert.strictEqual((yield* Effect.flip(machine.registerSession(id)))._tag, "Destroyed")
      })
    ))
})

describe("an operation whose name exceeds the limit", () => {
  const large = "x".repeat(20_000)

  it.effect("is refused, and so is a peer whose address exceeds it", () =>
    registered((machine) =>
      Effect.gen(function*() {
        const { operations } = machine.session(id)
        assert.strictEqual((yield* Effect.flip(operations.external({ displayName: large })))._tag, "OpInvalid")
        const child = yield* operations.external({
          displayName: "child",
          kind: "mob_member_child",
          expectPeerChannel: true
        })
        const peer = { peerName: "p", peerId: "p", address: large, publicKey: "k" }
        assert.strictEqual((yield* Effect.flip(operations.peerReady(child, peer)))._tag, "OpInvalid")
        yield* operations.peerReady(child, { ...peer, address: "a" })
      })
    ))
})
