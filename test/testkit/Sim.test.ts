// One of these tests is about the clock and the randomness of the platform.
// @effect-diagnostics globalDate:off globalRandom:off
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Random from "effect/Random"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import * as SynchronizedRef from "effect/SynchronizedRef"
import * as Sim from "../../src/testkit/Sim.js"

/** Adds 1 to a counter twice at the same time, with a separate read before each write. */
const racy = Effect.gen(function*() {
  const counter = yield* Ref.make(0)
  const add = Effect.flatMap(Ref.get(counter), (found) => Ref.set(counter, found + 1))
  yield* Effect.all([add, add], { concurrency: 2 })
  return yield* Ref.get(counter)
})

/** The same with one atomic update. */
const safe = Effect.gen(function*() {
  const counter = yield* Ref.make(0)
  const add = Ref.update(counter, (found) => found + 1)
  yield* Effect.all([add, add], { concurrency: 2 })
  return yield* Ref.get(counter)
})

const lost = (result: Sim.SimResult<number, never>) =>
  result.exit === null || !Exit.isSuccess(result.exit) ||
  result.exit.value !== 2

/** Many fibers that wait for each other and for the time. */
const busy = Effect.gen(function*() {
  const log = yield* Ref.make<ReadonlyArray<string>>([])
  const worker = (name: number) =>
    Effect.gen(function*() {
      for (let i = 0; i < 3; i++) {
        yield* Effect.sleep(yield* Random.nextIntBetween(1, 50))
        yield* Ref.update(log, (lines) => [...lines, `${name}.${i}`])
        yield* Effect.yieldNow()
      }
    })
  yield* Effect.forEach([1, 2, 3, 4], worker, { concurrency: "unbounded" })
  return yield* Ref.get(log)
})

describe("a simulated world", () => {
  it("repeats exactly for one seed and differs between seeds", () => {
    const results = [1, 2, 3, 4, 5].map((seed) => {
      const [first, again] = [Sim.run(busy, { seed }), Sim.run(busy, { seed })]
      assert.deepStrictEqual(first, again)
      assert.strictEqual(first.end, "exit")
      return first
    })
    assert.strictEqual(new Set(results.map(({ trace }) => trace)).size, 5)
    assert.isAbove(new Set(results.map(({ exit }) => JSON.stringify(exit))).size, 1)
  })

  it("finds a race that the default scheduler never shows", () => {
    assert.strictEqual(Effect.runSync(racy), 2)
    const found = Sim.sweep(() => racy, { seeds: 200, fails: lost })
    assert.isNotNull(found)
    if (found === null) return
    assert.deepStrictEqual(Sim.run(racy, { seed: found.seed }), found)
    assert.isNull(Sim.sweep(() => safe, { seeds: 200, fails: lost }))
  })

  it("finds it at every preemption rate, and ends even when every operation is preempted", () => {
    for (const preempt of [0.02, 0.1, 0.5, 1]) {
      const found = Sim.sweep(() => racy, { seeds: 1_000, preempt, fails: lost })
      assert.isNotNull(found, `preempt ${preempt}`)
      assert.notStrictEqual(found?.end, "stepLimit")
    }
    assert.strictEqual(Sim.run(busy, { seed: 1, preempt: 1 }).end, "exit")
  })

  it("runs fibers until they suspend, in random order, when preemption is off", () => {
    assert.isNull(Sim.sweep(() => racy, { seeds: 200, preempt: 0, fails: lost }))
    const order = Effect.gen(function*() {
      const log: Array<number> = []
      yield* Effect.forEach([1, 2, 3], (n) => Effect.sync(() => log.push(n)), { concurrency: "unbounded" })
      return log.join()
    })
    const seen = new Set(
      [...Array(100).keys()].map((seed) => JSON.stringify(Sim.run(order, { seed, preempt: 0 }).exit))
    )
    assert.strictEqual(seen.size, 6)
  })

  it("lets other fibers run when one polls without a pause", () => {
    const looking = Effect.gen(function*() {
      const done = { yet: false }
      yield* Effect.fork(Effect.sync(() => {
        done.yet = true
      }))
      yield* Effect.repeat(Effect.sync(() => done.yet), { until: (seen) => seen })
    })
    assert.strictEqual(Sim.run(looking, { seed: 1, preempt: 0 }).end, "exit")
  })

  it("reports a deadlock at once", () => {
    const cross = Effect.gen(function*() {
      const [a, b] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      yield* Effect.all([
        Effect.zipRight(Deferred.await(a), Deferred.succeed(b, undefined)),
        Effect.zipRight(Deferred.await(b), Deferred.succeed(a, undefined))
      ], { concurrency: 2 })
    })
    const nested = Effect.flatMap(
      SynchronizedRef.make(0),
      (ref) =>
        SynchronizedRef.updateEffect(ref, () => SynchronizedRef.updateAndGetEffect(ref, (n) => Effect.succeed(n + 1)))
    )
    for (const stuck of [cross, nested]) {
      const result = Sim.run<unknown, unknown>(stuck, { seed: 1 })
      assert.deepInclude(result, { end: "deadlock", deadlock: true, exit: null })
    }
  })

  it("reports a pause without end as a deadlock, without a jump in time", () => {
    assert.strictEqual(Sim.run(Effect.sleep(Infinity), { seed: 1 }).end, "deadlock")
  })
})

describe("the time of a simulated world", () => {
  it("passes a thousand virtual hours cheaply", () => {
    const hourly = Effect.repeat(Effect.void, Schedule.intersect(Schedule.spaced("1 hour"), Schedule.recurs(1_000)))
    const result = Sim.run(hourly, { seed: 1 })
    assert.strictEqual(result.end, "exit")
    assert.strictEqual(result.elapsed, 1_000 * 3_600_000)
    assert.isBelow(result.steps, 20_000)
  })

  it("fires timers in order and never early", () => {
    const program = Effect.gen(function*() {
      const log: Array<number> = []
      const start = yield* Clock.currentTimeMillis
      yield* Effect.forEach([30, 10, 20], (ms) =>
        Effect.sleep(ms).pipe(
          Effect.zipRight(Clock.currentTimeMillis),
          Effect.tap((now) => Effect.sync(() => log.push(now - start)))
        ), { concurrency: "unbounded" })
      return log
    })
    assert.deepStrictEqual(Sim.run(program, { seed: 1 }).exit, Exit.succeed([10, 20, 30]))
  })

  it("keeps no timer of an interrupted pause, but that of a forgotten fiber", () => {
    const tidy = Effect.flatMap(Effect.fork(Effect.sleep("1 hour")), Fiber.interrupt)
    assert.deepStrictEqual(Sim.run(tidy, { seed: 1 }).left, { tasks: 0, timers: 0 })
    const daemon = Effect.zipRight(Effect.forkDaemon(Effect.sleep("1 hour")), Effect.sleep("1 second"))
    assert.deepStrictEqual(Sim.run(daemon, { seed: 1 }).left, { tasks: 0, timers: 1 })
  })

  it("lets a timeout win against work without pauses when haste is on", () => {
    const work = Effect.repeatN(Effect.yieldNow(), 20).pipe(Effect.timeoutOption("1 second"))
    const timedOut = (result: Sim.SimResult<unknown, unknown>) =>
      result.exit !== null && Exit.isSuccess(result.exit) && JSON.stringify(result.exit.value).includes("None")
    assert.isNull(Sim.sweep(() => work, { seeds: 50, fails: timedOut }))
    assert.isNotNull(Sim.sweep(() => work, { seeds: 50, haste: 0.1, fails: timedOut }))
  })

  it("replaces the clock and randomness of Effect and of the platform, and restores them", () => {
    const { now } = Date
    const { random } = Math
    const read = Effect.gen(function*() {
      yield* Effect.sleep("5 seconds")
      return [
        Date.now(),
        Math.random(),
        yield* Clock.currentTimeMillis,
        yield* Random.next,
        yield* Clock.currentTimeNanos
      ]
    })
    const result = Sim.run(read, { seed: 3, start: 10_000 })
    assert.deepStrictEqual(result, Sim.run(read, { seed: 3, start: 10_000 }))
    if (result.exit === null || !Exit.isSuccess(result.exit)) return assert.fail(result.end)
    assert.deepStrictEqual([result.exit.value[0], result.exit.value[2], result.exit.value[4]], [
      15_000,
      15_000,
      15_000_000_000n
    ])
    assert.strictEqual(Date.now, now)
    assert.strictEqual(Math.random, random)
  })
})

describe("the end of a simulated world", () => {
  /** A disk, and a program that acknowledges each write before or after it. */
  const acks = (early: boolean) => {
    const [disk, acked]: [Array<number>, Array<number>] = [[], []]
    let cleaned = 0
    const write = (n: number) => Effect.zipRight(Effect.yieldNow(), Effect.sync(() => disk.push(n)))
    const ack = (n: number) => Effect.sync(() => acked.push(n))
    const program = Effect.forEach(
      [1, 2, 3, 4],
      (n) => early ? Effect.zipRight(ack(n), write(n)) : Effect.zipRight(write(n), ack(n)),
      { concurrency: 2 }
    ).pipe(Effect.ensuring(Effect.sync(() => cleaned++)))
    return { program, lost: () => acked.filter((n) => !disk.includes(n)), cleaned: () => cleaned }
  }
  const lostAt = (early: boolean) =>
    Array.from({ length: 400 }, (_, i) => {
      const { cleaned, lost, program } = acks(early)
      const result = Sim.run(program, { seed: i, crashAt: i % 20 })
      if (result.end === "crash") {
        assert.strictEqual(cleaned(), 0)
        assert.isNull(result.exit)
        assert.strictEqual(result.steps, i % 20)
      }
      return lost().length
    }).filter((n) => n > 0).length

  it("is immediate at a crash: no finaliser runs, and an early acknowledgement loses its write", () => {
    assert.isAbove(lostAt(true), 20)
    assert.strictEqual(lostAt(false), 0)
  })

  it("leaves nothing of a crashed world running", () => {
    const gate = Deferred.unsafeMake<void>(FiberId.none)
    let woken = 0
    const waits = Effect.zipRight(Deferred.await(gate), Effect.sync(() => woken++))
    assert.strictEqual(Sim.run(waits, { seed: 1 }).end, "deadlock")
    assert.strictEqual(Sim.run(Deferred.succeed(gate, undefined), { seed: 2 }).end, "exit")
    assert.strictEqual(woken, 0)
  })

  it("comes with a violation when a check fails after a step", () => {
    let count = 0
    const program = Effect.forever(Effect.zipRight(Effect.sync(() => count++), Effect.yieldNow()))
    const result = Sim.run(program, { seed: 1, check: () => count > 5 ? `count is ${count}` : null })
    assert.deepInclude(result, { end: "violation", violation: "count is 6", exit: null })
  })

  it("comes at the step limit when the program has no end", () => {
    const result = Sim.run(Effect.forever(Effect.yieldNow()), { seed: 1, maxSteps: 500 })
    assert.deepInclude(result, { end: "stepLimit", steps: 500 })
  })

  it("is an exit for failures and defects, which a sweep counts as failures", () => {
    const failed = Sim.run(Effect.fail("no"), { seed: 1 })
    assert.deepStrictEqual(failed.exit, Exit.fail("no"))
    assert.isTrue(Sim.isFailure(failed))
    assert.strictEqual(Sim.sweep((seed) => seed < 7 ? Effect.void : Effect.dieMessage("seven"), { seeds: 20 })?.seed, 7)
    assert.isNull(Sim.sweep(() => Effect.void, { seeds: 20 }))
  })

  it("is found by a sweep over no seeds, which still tries one seed", () => {
    for (const seeds of [0, -1, Number.NaN]) {
      assert.strictEqual(Sim.sweep(() => Effect.fail("no"), { from: 7, seeds })?.seed, 7)
    }
  })
})
