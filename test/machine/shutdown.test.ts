/** Closing a machine: its waiters, and calls that arrive while it closes. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import * as RuntimeStoreMemory from "../../layers/RuntimeStoreMemory.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import { SessionId } from "../../src/domain/Ids.js"
import { StoreIo } from "../../src/domain/StoreErrors.js"
import { FaultyStore, LatchedExecutor } from "../../src/testkit/index.js"
import { memory } from "../support/layers.js"

describe("closing the machine", () => {
  // Found by simulation, seed 23.
  it.live("answers every waiter when the closing commit fails", () =>
    Effect.gen(function*() {
      const faults = yield* FaultyStore.make
      const waiter = yield* Effect.gen(function*() {
        const machine = yield* MeerkatMachine
        const id = SessionId.make("s")
        yield* machine.registerSession(id)
        const { completion } = yield* machine.session(id).prompt("hello")
        // The closing commit terminates background work, so there is something to commit.
        yield* machine.session(id).operations.run(Effect.as(Effect.sleep("1 hour"), ""), { displayName: "work" })
        for (const nth of [1, 2, 3]) {
          faults.failCommit(new StoreIo({ operation: "commit", code: "TEST", detail: "no" }), { nth })
        }
        return yield* Effect.forkDaemon(completion.wait)
      }).pipe(
        Effect.provide(Layer.provide(
          MeerkatMachineLive.layer,
          Layer.provide(FaultyStore.layer(faults), RuntimeStoreMemory.layer)
        ))
      )
      const outcome = yield* Effect.timeoutOption(Fiber.join(waiter), "5 seconds")
      assert.strictEqual(outcome._tag === "Some" ? outcome.value._tag : "never told", "RuntimeTerminated")
    }))
})

const id = SessionId.make("late")

/** Runs `late` while the machine closes. A held stop hook keeps the close from finishing. */
const closing = <A, E>(late: (machine: MeerkatMachine["Type"]) => Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const [begun, go] = yield* Effect.all([Effect.makeLatch(false), Effect.makeLatch(false)])
    const scope = yield* Scope.make()
    const layer = Layer.provide(MeerkatMachineLive.layer, memory)
    const machine = Context.get(yield* Layer.buildWithScope(layer, scope), MeerkatMachine)
    const { executor } = yield* LatchedExecutor.make({ stop: Effect.zipRight(begun.open, go.await) })
    yield* machine.ensureSessionWithExecutor(SessionId.make("slow"), executor)
    const end = yield* Effect.fork(Scope.close(scope, Exit.void))
    yield* begun.await
    const result = yield* late(machine)
    yield* go.open
    yield* Fiber.join(end)
    return { machine, result }
  })

const refusal = { _tag: "Internal", detail: "the machine is closed", retryable: false } as const

describe("a machine that closes", () => {
  it.effect("refuses to register a session", () =>
    Effect.gen(function*() {
      const { machine, result } = yield* closing((machine) =>
        Effect.all({
          registered: Effect.flip(machine.registerSession(id)),
          prompted: Effect.flip(machine.session(id).prompt("hello")),
          again: Effect.flip(machine.registerSession(SessionId.make("slow")))
        })
      )
      assert.deepInclude(result.registered, refusal)
      assert.deepInclude(result.prompted, { _tag: "NotReady" })
      assert.deepInclude(result.again, refusal)
      assert.deepInclude(yield* Effect.flip(machine.unregisterSession(id)), { _tag: "NotReady" })
      assert.deepInclude(yield* Effect.flip(machine.registerSession(id)), refusal)
    }))

  it.effect("refuses a scoped session, and the scope can still be closed", () =>
    Effect.gen(function*() {
      const own = yield* Scope.make()
      const { executor } = yield* LatchedExecutor.make()
      const { result } = yield* closing((machine) =>
        Effect.flip(Scope.extend(machine.sessionScoped("late", executor), own))
      )
      assert.deepInclude(result, refusal)
      yield* Scope.close(own, Exit.void)
    }))
})
