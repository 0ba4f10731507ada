/** The end of a loop that dies or stops by itself: later calls wait for it, and its stop hook runs once. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import * as HandoverLive from "../../layers/HandoverLive.js"
import * as IdGenLive from "../../layers/IdGenLive.js"
import * as MachineAuthorityLive from "../../layers/MachineAuthorityLive.js"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import * as RuntimeLoopLive from "../../layers/RuntimeLoopLive.js"
import * as RuntimeStoreMemory from "../../layers/RuntimeStoreMemory.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import { RuntimeLoop } from "../../services/RuntimeLoop.js"
import { SessionId } from "../../src/domain/Ids.js"
import type { CommitError } from "../../src/domain/StoreErrors.js"
import { StoreBusy, StoreFull, StoreIo } from "../../src/domain/StoreErrors.js"
import { FaultyStore, LatchedExecutor } from "../../src/testkit/index.js"

const id = SessionId.make("s")
const busy = new StoreBusy({ operation: "commit", waitedMs: 1 })
const full = new StoreFull({ operation: "commit", detail: "no room" })

const broken = new StoreIo({ operation: "commit", code: "EIO", detail: "the medium failed" })

/** Loops that die at once when the latch opens. */
const mortal = (death: Effect.Latch) =>
  Layer.effect(
    RuntimeLoop,
    Effect.map(RuntimeLoop, ({ run }) =>
      RuntimeLoop.of({
        run: (options) => Effect.raceFirst(run(options), Effect.zipRight(death.await, Effect.dieMessage("boom")))
      }))
  ).pipe(Layer.provide(RuntimeLoopLive.layer))

const machineWith = (faults: FaultyStore.FaultyStore, death: Effect.Latch) =>
  MeerkatMachineLive.layerNoDeps.pipe(
    Layer.provide(Layer.mergeAll(mortal(death), MachineAuthorityLive.layer)),
    Layer.provide(IdGenLive.layer),
    Layer.provide(FaultyStore.layer(faults)),
    Layer.provide(RuntimeStoreMemory.layer),
    Layer.provide(HandoverLive.layer)
  )

/** Kills the loop during a run while the commits fail with `errors`. Returns the result of the next attachment. */
const again = (errors: ReadonlyArray<CommitError>) =>
  Effect.gen(function*() {
    const faults = yield* FaultyStore.make
    const death = yield* Effect.makeLatch(false)
    return yield* Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      const first = yield* LatchedExecutor.make({ held: true })
      const second = yield* LatchedExecutor.make()
      yield* machine.ensureSessionWithExecutor(id, first.executor)
      yield* machine.session(id).prompt("hello")
      yield* first.started(1)
      yield* TestClock.adjust("1 second")
      errors.forEach((error, n) => faults.failCommit(error, { nth: n + 1 }))
      yield* death.open
      yield* Effect.repeatN(Effect.yieldNow(), 100)
      yield* death.close
      const attaching = yield* Effect.fork(Effect.either(machine.ensureSessionWithExecutor(id, second.executor)))
      yield* TestClock.adjust("1 minute")
      const told = yield* Fiber.join(attaching)
      yield* faults.heal
      yield* machine.ensureSessionWithExecutor(id, second.executor)
      yield* second.started(1)
      return { told: told._tag === "Right" ? told.right : told.left.message, stops: first.counts().stop }
    }).pipe(Effect.provide(machineWith(faults, death)))
  })

describe("the next attachment after a loop died during a run", () => {
  it.effect("waits for the end of the loop when the store is busy", () =>
    Effect.map(again([busy]), (came) => assert.deepStrictEqual(came, { told: "attached", stops: 1 })))

  // the session retries the commit of the loop's end until the full disk has room
  it.effect("waits for the end of the loop when the disk is full", () =>
    Effect.map(
      again(Array.from({ length: 8 }, () => full)),
      (came) => assert.deepStrictEqual(came, { told: "attached", stops: 1 })
    ))

  it.effect("fails until the session is registered again when the medium fails", () =>
    Effect.map(again(Array.from({ length: 20 }, () => broken)), ({ stops, told }) => {
      assert.include(told, "must be registered again")
      assert.strictEqual(stops, 1)
    }))
})

describe("the stop hook of a loop that ended by itself", () => {
  it.effect("completes before the unregistration when both run at the same time", () =>
    Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      const begun = yield* Effect.makeLatch(false)
      const ends: Array<string> = []
      const stop = Effect.zipRight(begun.open, Effect.sleep("5 seconds")).pipe(
        Effect.onExit((exit) => Effect.sync(() => void ends.push(exit._tag)))
      )
      const drained = yield* LatchedExecutor.make({ held: true, stop })
      yield* machine.ensureSessionWithExecutor(id, drained.executor)
      yield* machine.session(id).prompt("hello")
      yield* drained.started(1)
      yield* machine.retireRuntime(id)
      yield* drained.open
      yield* begun.await
      const leaving = yield* Effect.fork(machine.unregisterSession(id))
      yield* Effect.repeatN(Effect.yieldNow(), 100)
      assert.isNull(leaving.unsafePoll())
      yield* TestClock.adjust("5 seconds")
      assert.isFalse((yield* Fiber.join(leaving)).forced)
      assert.deepStrictEqual(ends, ["Success"])
    }).pipe(Effect.provide(MeerkatMachineLive.layerEphemeral)))
})
