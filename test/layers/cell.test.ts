import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Ref from "effect/Ref"
import * as SynchronizedRef from "effect/SynchronizedRef"
import { Cell, SynchronizedCell } from "../../layers/internal/cell.js"

describe("a cell", () => {
  it.effect("works as a Ref when the library reads and writes it", () =>
    Effect.gen(function*() {
      const cell: Ref.Ref<number> = new Cell(1)
      yield* Ref.update(cell, (n) => n + 1)
      assert.strictEqual(yield* Ref.getAndSet(cell, 5), 2)
      assert.strictEqual(yield* cell, 5)
      assert.strictEqual(yield* Ref.modify(cell, (n) => [`was ${n}`, n + 1]), "was 5")
      assert.strictEqual(yield* Ref.get(cell), 6)
    }))

  it("reads and writes in one step when it is used without an effect", () => {
    const cell = new Cell(1)
    assert.strictEqual(cell.unsafeModify((n) => [n, n + 1]), 1)
    assert.strictEqual(cell.unsafeGet(), 2)
  })

  it("holds one field of its own when it is made", () => {
    assert.deepStrictEqual(Object.keys(new Cell(1)), ["value"])
  })
})

describe("a synchronized cell", () => {
  it.effect("works as a SynchronizedRef when the library updates it with effects", () =>
    Effect.gen(function*() {
      const cell: SynchronizedRef.SynchronizedRef<number> = new SynchronizedCell(1)
      yield* SynchronizedRef.updateEffect(cell, (n) => Effect.as(Effect.yieldNow(), n + 1))
      assert.strictEqual(yield* SynchronizedRef.get(cell), 2)
      assert.isTrue(yield* Effect.isFailure(SynchronizedRef.updateEffect(cell, () => Effect.fail("no"))))
      assert.strictEqual(yield* cell, 2)
    }))

  it.effect("loses no update when changes yield in the middle", () =>
    Effect.gen(function*() {
      const cell = new SynchronizedCell(0)
      const slow = SynchronizedRef.updateEffect(cell, (n) => Effect.as(Effect.yieldNow(), n + 1))
      const fast = SynchronizedRef.update(cell, (n) => n + 1)
      yield* Effect.all(Array.from({ length: 20 }, (_, i) => i % 2 === 0 ? slow : fast), { concurrency: "unbounded" })
      assert.strictEqual(cell.unsafeGet(), 20)
    }))

  it.effect("reads without the permit and lets a waiting change be interrupted when another one holds it", () =>
    Effect.gen(function*() {
      const cell = new SynchronizedCell(0)
      const gate = yield* Deferred.make<void>()
      const holder = yield* Effect.fork(
        SynchronizedRef.updateEffect(cell, (n) => Effect.as(Deferred.await(gate), n + 1))
      )
      yield* Effect.yieldNow()
      assert.strictEqual(yield* SynchronizedRef.get(cell), 0)
      const waiting = yield* Effect.fork(SynchronizedRef.update(cell, (n) => n + 10))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(waiting)
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(holder)
      assert.strictEqual(yield* cell, 1)
    }))
})
