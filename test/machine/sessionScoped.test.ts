/** Sessions that belong to a scope, executors that belong to an attachment, and handles of replaced sessions. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scheduler from "effect/Scheduler"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as CoreExecutorEcho from "../../layers/CoreExecutorEcho.js"
import * as HandoverLive from "../../layers/HandoverLive.js"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import * as RuntimeStoreMemory from "../../layers/RuntimeStoreMemory.js"
import type { AttachOutcome } from "../../services/MeerkatMachine.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import type { RuntimeDriverError } from "../../src/domain/Errors.js"
import { SessionId } from "../../src/domain/Ids.js"
import { StoreBusy } from "../../src/domain/StoreErrors.js"
import { FaultyStore, LatchedExecutor } from "../../src/testkit/index.js"
import { inputId, prompt } from "../support/inputs.js"

const id = SessionId.make("s")

/** Takes the session in a scope of its own, closes the scope, and returns whether the session is still registered. */
const isThereAfter = (machine: MeerkatMachine["Type"]) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    yield* Scope.extend(machine.sessionScoped("s", CoreExecutorEcho.make), scope)
    assert.isTrue(yield* machine.containsSession(id))
    yield* Scope.close(scope, Exit.void)
    return yield* machine.containsSession(id)
  })

describe("a session whose executor factory fails", () => {
  const ensure = (machine: MeerkatMachine["Type"]) =>
    Effect.flip(machine.ensureSessionWithExecutorFactory(id, Effect.fail("no executor")))

  it.effect("is unregistered when the failing call had registered it", () =>
    Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      assert.strictEqual(yield* ensure(machine), "no executor")
      assert.isFalse(yield* machine.containsSession(id))
    }).pipe(Effect.provide(MeerkatMachineLive.layerEphemeral)))

  it.effect("stays registered when it was registered before", () =>
    Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      yield* machine.registerSession(id)
      assert.strictEqual(yield* ensure(machine), "no executor")
      assert.isTrue(yield* machine.containsSession(id))
    }).pipe(Effect.provide(MeerkatMachineLive.layerEphemeral)))
})

describe("resources of an executor factory", () => {
  it.effect("belong to the attachment, so that the caller needs no scope", () =>
    Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      const log: Array<string> = []
      const made = Effect.acquireRelease(
        Effect.sync(() => {
          log.push("made")
          return CoreExecutorEcho.make
        }),
        () => Effect.sync(() => log.push("released"))
      )
      // This annotation is the test: without it, the caller would have to provide the scope.
      const attached: Effect.Effect<AttachOutcome, RuntimeDriverError> = machine.ensureSessionWithExecutorFactory(
        id,
        made
      )
      assert.strictEqual(yield* attached, "attached")
      assert.deepStrictEqual(log, ["made"])
      yield* machine.unregisterSession(id)
      assert.deepStrictEqual(log, ["made", "released"])
    }).pipe(Effect.provide(MeerkatMachineLive.layerEphemeral)))
})

describe("a session taken in a scope", () => {
  it.effect("is unregistered when the scope closes, if this call registered it", () =>
    Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      assert.isFalse(yield* isThereAfter(machine))
      assert.strictEqual(yield* machine.fiberCount, 0)
    }).pipe(Effect.provide(MeerkatMachineLive.layerEphemeral)))

  it.effect("stays registered when the scope closes, if it was registered before", () =>
    Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      yield* machine.registerSession(id)
      assert.isTrue(yield* isThereAfter(machine))
      assert.strictEqual((yield* machine.session(id).ask("still here")).text, "still here")
    }).pipe(Effect.provide(MeerkatMachineLive.layerEphemeral)))
})

describe("a session whose scope closes while the store refuses commits for a while", () => {
  it.effect("is unregistered: its waiters are told and its stop hook is called", () =>
    Effect.flatMap(FaultyStore.make, (faults) =>
      Effect.gen(function*() {
        const machine = yield* MeerkatMachine
        const { counts, executor } = yield* LatchedExecutor.make({ held: true })
        const scope = yield* Scope.make()
        const session = yield* Scope.extend(machine.sessionScoped("s", executor), scope)
        // The closing commit terminates background work, so there is something to commit.
        yield* session.operations.run(Effect.never, { displayName: "work" })
        const { completion } = yield* session.prompt("hello")
        yield* TestClock.adjust("1 second")
        const waiter = yield* Effect.fork(completion.wait)
        for (const nth of [1, 2, 3]) faults.failCommit(new StoreBusy({ operation: "commit", waitedMs: 1 }), { nth })
        const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
        yield* TestClock.adjust("1 minute")
        yield* Fiber.join(closing)
        assert.strictEqual((yield* Fiber.join(waiter))._tag, "RuntimeTerminated")
        assert.isFalse(yield* machine.containsSession(id))
        assert.strictEqual(counts().stop, 1)
      }).pipe(
        Effect.provide(MeerkatMachineLive.layer),
        Effect.provide(FaultyStore.layer(faults)),
        Effect.provide(Layer.provide(RuntimeStoreMemory.layer, HandoverLive.layer))
      )))
})

/** A scheduler that runs its fiber normally, but holds it before one step until `release` is called. */
const holdingAt = (step: number) => {
  let steps = 0
  let held: (() => void) | null = null
  const scheduler: Scheduler.Scheduler = {
    scheduleTask: (task, priority) => {
      if (steps === step && held === null) held = task
      else Scheduler.defaultScheduler.scheduleTask(task, priority)
    },
    shouldYield: () => ++steps === step ? 0 : false
  }
  return { scheduler, isHeld: () => held !== null, release: () => held?.() }
}

describe("the handle of a replaced session", () => {
  it.effect("reads nothing of the session that replaced it", () =>
    Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      const session = yield* machine.sessionScoped("s", CoreExecutorEcho.make)
      assert.deepInclude(Option.getOrThrow(yield* Stream.runHead(session.events)), { _tag: "Snapshot" })
      assert.isTrue(Option.isNone(yield* Stream.runHead(session.history)))
      yield* machine.unregisterSession(id)
      yield* machine.ensureSessionWithExecutor(id, CoreExecutorEcho.make)
      yield* machine.session(id).ask("whose is this?")
      const looks: ReadonlyArray<Effect.Effect<unknown, RuntimeDriverError>> = [
        session.state,
        session.outcome(inputId(1)),
        Stream.runHead(session.events),
        Stream.runHead(session.history)
      ]
      for (const look of looks) {
        const error = yield* Effect.flip(look)
        assert.deepInclude(error, { _tag: "NotReady", state: "destroyed" })
      }
      assert.isTrue(Option.isNone(yield* session.snapshot))
    }).pipe(Effect.scoped, Effect.provide(MeerkatMachineLive.layerEphemeral)))

  it.effect("changes nothing in the session that replaced it", () =>
    Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      const session = yield* machine.sessionScoped("s", CoreExecutorEcho.make)
      yield* machine.unregisterSession(id)
      yield* machine.registerSession(id)
      yield* machine.acceptInput(id, prompt(1))
      const calls = [
        session.retire,
        session.reset,
        session.recycle,
        session.destroy,
        session.stop("x"),
        session.cancel("x"),
        session.yieldRun("x"),
        session.comms.detach,
        session.comms.abort,
        session.comms.wait,
        session.comms.owner,
        session.comms.attached,
        session.retract(inputId(1)),
        session.promote(inputId(1))
      ]
      for (const call of calls) {
        const error: RuntimeDriverError = yield* Effect.flip(Effect.asVoid(call))
        assert.deepInclude(error, { _tag: "NotReady", state: "destroyed" })
        const snapshot = Option.getOrThrow(yield* machine.meerkatMachineSpineSnapshot(id))
        assert.strictEqual(snapshot.state, "idle")
        assert.deepStrictEqual(snapshot.queue.map((queued) => queued.inputId), [inputId(1)])
      }
    }).pipe(Effect.scoped, Effect.provide(MeerkatMachineLive.layerEphemeral)))

  it.live("changes nothing in it when the call began before the replacement, at whichever step it is held", () =>
    Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      for (let step = 1;; step++) {
        const scope = yield* Scope.make()
        const session = yield* Scope.extend(machine.sessionScoped("s", CoreExecutorEcho.make), scope)
        const hold = holdingAt(step)
        const call = yield* Effect.fork(Effect.withScheduler(Effect.exit(session.retire), hold.scheduler))
        yield* Effect.sleep("1 millis")
        if (!hold.isHeld()) {
          assert.isAbove(step, 3)
          yield* Scope.close(scope, Exit.void)
          return
        }
        yield* machine.unregisterSession(id)
        yield* machine.registerSession(id)
        const before = yield* machine.runtimeState(id)
        hold.release()
        yield* Fiber.join(call)
        assert.strictEqual(yield* machine.runtimeState(id), before, `held up at step ${step}`)
        yield* Scope.close(scope, Exit.void)
        // The call had retired the session before the hold.
        if (before === "retired") return
        yield* machine.unregisterSession(id)
      }
    }).pipe(Effect.provide(MeerkatMachineLive.layerEphemeral)))
})
