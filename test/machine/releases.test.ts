/** Resources of executors and background work that delay, or refuse, the end of a session or a machine. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as Metrics from "../../layers/internal/metrics.js"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import { make } from "../../services/CoreExecutor.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import * as Turn from "../../services/Turn.js"
import { SessionId } from "../../src/domain/Ids.js"
import { memory } from "../support/layers.js"

const id = SessionId.make("s")

/**
 * Lets every runnable fiber run and passes ten minutes, one by one: more than the bounds of all teardown steps
 * together.
 */
const aWhile = Effect.repeatN(
  Effect.zipRight(Effect.repeatN(Effect.yieldNow(), 200), TestClock.adjust("1 minute")),
  10
)

/** A machine in a scope that the test closes. `closed` tells whether the close returned within `aWhile`. */
const opened = Effect.gen(function*() {
  const scope = yield* Scope.make()
  const context = yield* Layer.buildWithScope(Layer.provide(MeerkatMachineLive.layer, memory), scope)
  const closed = Effect.gen(function*() {
    const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
    yield* aWhile
    return closing.unsafePoll() !== null
  })
  return { machine: Context.get(context, MeerkatMachine), closed }
})

/** An executor whose factory acquires one resource per release. The last one acquired is released first. */
const holding = (...releases: ReadonlyArray<Effect.Effect<void>>) =>
  Effect.flatMap(
    Effect.forEach(releases, (release) => Effect.acquireRelease(Effect.void, () => release)),
    () => make(() => Effect.succeed(Turn.reply("answer")))
  )

const stubborn = (latch: Effect.Latch) => Effect.uninterruptible(latch.await)

describe("a resource of an executor", () => {
  it.effect("does not block unregistration or shutdown when its release never ends", () =>
    Effect.gen(function*() {
      const { closed, machine } = yield* opened
      yield* machine.ensureSessionWithExecutorFactory(id, holding(Effect.never))
      const before = yield* Metric.value(Metrics.abandonedFibers)
      const leaving = yield* Effect.fork(machine.unregisterSession(id))
      yield* aWhile
      assert.isTrue((yield* Fiber.join(leaving)).forced)
      assert.strictEqual((yield* Metric.value(Metrics.abandonedFibers)).count - before.count, 1)
      assert.isTrue(yield* closed)
    }))

  it.effect("is released, with all others, when the machine closes during a slow release", () =>
    Effect.gen(function*() {
      const { closed, machine } = yield* opened
      const latch = yield* Effect.makeLatch(false)
      const released: Array<string> = []
      const release = (name: string) => Effect.sync(() => released.push(name))
      const factory = holding(release("first"), Effect.zipRight(latch.await, release("last")))
      yield* machine.ensureSessionWithExecutorFactory(id, factory)
      assert.isTrue(yield* closed)
      assert.deepStrictEqual(released, [])
      yield* latch.open
      yield* aWhile
      assert.deepStrictEqual(released, ["last", "first"])
    }))
})

describe("a resource of an executor whose background work ignores its interruption", () => {
  it.effect("is released when the session is unregistered", () =>
    Effect.gen(function*() {
      const { closed, machine } = yield* opened
      const latch = yield* Effect.makeLatch(false)
      const released = { seen: false }
      const release = Effect.sync(() => {
        released.seen = true
      })
      yield* machine.ensureSessionWithExecutorFactory(id, holding(release))
      yield* machine.session(id).operations.run(Effect.as(stubborn(latch), ""), { displayName: "work" })
      const leaving = yield* Effect.fork(machine.unregisterSession(id))
      yield* aWhile
      assert.isTrue((yield* Fiber.join(leaving)).forced)
      assert.isTrue(released.seen)
      assert.isTrue(yield* closed)
      yield* latch.open
    }))
})

describe("a turn and background work that both ignore their interruption", () => {
  it.effect("do not block the shutdown of the machine", () =>
    Effect.gen(function*() {
      const { closed, machine } = yield* opened
      const latch = yield* Effect.makeLatch(false)
      const begun = yield* Effect.makeLatch(false)
      yield* machine.ensureSessionWithExecutorFactory(
        id,
        make(() => Effect.as(Effect.zipRight(begun.open, stubborn(latch)), Turn.reply("late")))
      )
      const session = machine.session(id)
      yield* session.operations.run(Effect.as(stubborn(latch), ""), { displayName: "work" })
      yield* session.prompt("hello")
      yield* begun.await
      assert.isTrue(yield* closed)
      yield* latch.open
    }))
})
