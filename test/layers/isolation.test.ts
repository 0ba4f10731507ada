/** The process-wide slot of suspects: who may enter, in which order, and what a release does. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Isolation from "../../layers/internal/isolation.js"

describe("isolation", () => {
  it.effect("excludes every other pass when one pass holds alone", () =>
    Effect.sync(() => {
      const isolation = Isolation.make()
      const [one, other, third] = [isolation.pass(), isolation.pass(), isolation.pass()]
      assert.isTrue(one.take("alone"))
      assert.isFalse(other.take("alone"))
      assert.isFalse(third.take("shared"))
      one.release()
      assert.isTrue(third.take("shared"))
      assert.isFalse(other.take("alone"))
      third.release()
      assert.isTrue(other.take("alone"))
    }))

  it.effect("grants turns in the order of arrival when sessions wait", () =>
    Effect.gen(function*() {
      const isolation = Isolation.make()
      const holder = isolation.pass()
      holder.take("alone")
      const turns: Array<string> = []
      const waits = (name: string, wanted: "shared" | "alone") =>
        Effect.gen(function*() {
          const pass = isolation.pass()
          assert.isFalse(pass.take(wanted))
          const fiber = yield* Effect.fork(Effect.zipRight(pass.turn, Effect.sync(() => turns.push(name))))
          yield* Effect.yieldNow()
          return { pass, fiber }
        })
      const a = yield* waits("a", "shared")
      const b = yield* waits("b", "alone")
      const c = yield* waits("c", "shared")
      holder.release()
      yield* Fiber.await(a.fiber)
      assert.deepStrictEqual(turns, ["a"])
      a.pass.release()
      yield* Fiber.await(b.fiber)
      assert.deepStrictEqual([turns, b.pass.held(), c.pass.held()], [["a", "b"], "alone", "none"])
      b.pass.release()
      yield* Fiber.await(c.fiber)
      assert.deepStrictEqual(turns, ["a", "b", "c"])
    }))

  it.effect("does not let a shared pass overtake when a session waits for alone", () =>
    Effect.gen(function*() {
      const isolation = Isolation.make()
      const [reader, writer, late] = [isolation.pass(), isolation.pass(), isolation.pass()]
      reader.take("shared")
      writer.take("alone")
      const waiting = yield* Effect.fork(writer.turn)
      yield* Effect.yieldNow()
      assert.isFalse(late.take("shared"))
      reader.release()
      yield* Fiber.await(waiting)
      assert.strictEqual(writer.held(), "alone")
      writer.release()
      assert.isTrue(late.take("shared"))
    }))

  it.effect("keeps the place of a busy session when another session takes its turn", () =>
    Effect.gen(function*() {
      const isolation = Isolation.make()
      const [holder, busy, waiting] = [isolation.pass(), isolation.pass(), isolation.pass()]
      holder.take("alone")
      busy.take("alone")
      waiting.take("alone")
      const fiber = yield* Effect.fork(waiting.turn)
      yield* Effect.yieldNow()
      assert.isFalse(busy.isDue())
      holder.release()
      yield* Fiber.await(fiber)
      assert.deepStrictEqual([waiting.held(), busy.held(), busy.isDue()], ["alone", "none", true])
      const last = isolation.pass()
      last.take("alone")
      const lasts = yield* Effect.fork(last.turn)
      const turn = yield* Effect.fork(busy.turn)
      yield* Effect.yieldNow()
      waiting.release()
      yield* Fiber.await(turn)
      assert.deepStrictEqual([busy.held(), busy.isDue(), last.held()], ["alone", false, "none"])
      yield* Fiber.interrupt(lasts)
    }))

  it.effect("skips a waiting session when its wait was interrupted", () =>
    Effect.gen(function*() {
      const isolation = Isolation.make()
      const [holder, gone, next] = [isolation.pass(), isolation.pass(), isolation.pass()]
      holder.take("alone")
      gone.take("alone")
      next.take("alone")
      const leaving = yield* Effect.fork(gone.turn)
      const waiting = yield* Effect.fork(next.turn)
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(leaving)
      gone.release()
      assert.deepStrictEqual([gone.held(), next.held()], ["none", "none"])
      holder.release()
      yield* Fiber.await(waiting)
      assert.strictEqual(next.held(), "alone")
    }))

  it.effect("completes without a wait when the turn is granted at once", () =>
    Effect.gen(function*() {
      const pass = Isolation.make().pass()
      assert.isTrue(pass.take("alone"))
      yield* pass.turn
      assert.isTrue(pass.take("shared"))
      assert.strictEqual(pass.held(), "alone")
    }))
})
