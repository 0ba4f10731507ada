/** The group commit worker: batches, answers, deadlines, interruption and close. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as GroupCommit from "../../layers/internal/groupCommit.js"

interface Gate {
  readonly batches: Array<ReadonlyArray<number>>
  readonly open: Effect.Effect<unknown>
  readonly entered: Effect.Effect<void>
}

/**
 * A worker whose batches wait at a gate: interruptibly before they begin, uninterruptibly during the write, or not at
 * all.
 */
const start = (where: "begin" | "write" | "nowhere", write?: (members: ReadonlyArray<number>) => void) =>
  Effect.gen(function*() {
    const gate = yield* Deferred.make<void>()
    const inside = yield* Deferred.make<void>()
    const batches: Array<ReadonlyArray<number>> = []
    const wait = Effect.zipRight(Deferred.succeed(inside, undefined), Deferred.await(gate))
    const worker = yield* GroupCommit.make<number, string, string, void>({
      bytesOf: (n) => n,
      maxMembers: 3,
      maxBytes: 100,
      deadline: Duration.seconds(30),
      handover: Effect.yieldNow(),
      begin: (restore) => where === "begin" ? restore(wait) : Effect.void,
      write: (_, members) =>
        Effect.gen(function*() {
          if (where === "write") yield* wait
          write?.(members)
          batches.push(members)
          return members.map((n) => n < 0 ? Exit.fail(`refused ${n}`) : Exit.succeed(`wrote ${n}`))
        }),
      unknown: (n) => `unknown ${n}`,
      overdue: (n) => `overdue ${n}`,
      closed: "closed"
    })
    const self: Gate = { batches, open: Deferred.succeed(gate, undefined), entered: Deferred.await(inside) }
    return { ...self, worker }
  })

const settled = (n: number) => Effect.repeatN(Effect.yieldNow(), n)

describe("group commit", () => {
  it.scoped("puts waiting members into one batch, within its bounds", () =>
    Effect.gen(function*() {
      const { batches, entered, open, worker } = yield* start("write")
      const first = yield* Effect.fork(worker.submit(1))
      yield* entered
      const rest = yield* Effect.forEach([2, 3, 4, 5, 99, 200, 6], (n) => Effect.fork(worker.submit(n)))
      yield* settled(20)
      yield* open
      yield* Fiber.joinAll([first, ...rest])
      assert.deepStrictEqual(batches, [[1], [2, 3, 4], [5], [99], [200], [6]])
    }))

  it.scoped("fails only the refused member of a batch", () =>
    Effect.gen(function*() {
      const { worker } = yield* start("nowhere")
      const exits = yield* Effect.forEach([1, -2, 3], (n) => Effect.exit(worker.submit(n)), { concurrency: 3 })
      assert.deepStrictEqual(exits, [Exit.succeed("wrote 1"), Exit.fail("refused -2"), Exit.succeed("wrote 3")])
    }))

  it.scoped("W3 an interrupted submitter withdraws a queued member, but not one that is being written", () =>
    Effect.gen(function*() {
      const { batches, entered, open, worker } = yield* start("write")
      const taken = yield* Effect.fork(worker.submit(1))
      yield* entered
      const queued = yield* Effect.fork(worker.submit(2))
      const other = yield* Effect.fork(worker.submit(3))
      yield* settled(20)
      yield* Fiber.interrupt(queued)
      yield* Fiber.interrupt(taken)
      yield* open
      yield* Fiber.join(other)
      assert.deepStrictEqual(batches, [[1], [3]])
    }))

  it.scoped("W1 a defect answers unknown to the batch being written and closed to all other members", () =>
    Effect.gen(function*() {
      const { entered, open, worker } = yield* start("write", () => {
        throw new Error("broken")
      })
      const taken = yield* Effect.fork(Effect.flip(worker.submit(1)))
      yield* entered
      const queued = yield* Effect.fork(Effect.flip(worker.submit(2)))
      yield* settled(20)
      yield* open
      assert.deepStrictEqual(yield* Fiber.join(taken), "unknown 1")
      assert.deepStrictEqual(yield* Fiber.join(queued), "closed")
      assert.deepStrictEqual(yield* Effect.flip(worker.submit(3)), "closed")
    }))

  it.scoped("answers the batch with the error of a failed begin, whatever broke beside it, and takes the next batch", () =>
    Effect.gen(function*() {
      let begins = 0
      const worker = yield* GroupCommit.make<number, string, string, void>({
        bytesOf: () => 1,
        maxMembers: 3,
        maxBytes: 100,
        deadline: Duration.seconds(30),
        handover: Effect.void,
        begin: () =>
          Effect.suspend(() =>
            ++begins === 1 ? Effect.failCause(Cause.parallel(Cause.die("broken"), Cause.fail("busy"))) : Effect.void
          ),
        write: (_, members) => Effect.succeed(members.map((n) => Exit.succeed(`wrote ${n}`))),
        unknown: () => "unknown",
        overdue: () => "overdue",
        closed: "closed"
      })
      assert.strictEqual(yield* Effect.flip(worker.submit(1)), "busy")
      assert.strictEqual(yield* worker.submit(2), "wrote 2")
    }))

  it.scoped("makes one handover before each batch", () =>
    Effect.gen(function*() {
      let handovers = 0
      const counted: Array<number> = []
      const worker = yield* GroupCommit.make<number, string, string, void>({
        bytesOf: () => 1,
        maxMembers: 3,
        maxBytes: 100,
        deadline: Duration.seconds(30),
        handover: Effect.sync(() => {
          handovers++
        }),
        begin: () => Effect.sync(() => void counted.push(handovers)),
        write: (_, members) => Effect.succeed(members.map((n) => Exit.succeed(`wrote ${n}`))),
        unknown: () => "unknown",
        overdue: () => "overdue",
        closed: "closed"
      })
      yield* worker.submit(1)
      yield* worker.submit(2)
      assert.deepStrictEqual(counted, [1, 2])
    }))

  it.scoped("W2 closing finishes the batch being written and answers closed to the queue", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { entered, open, worker } = yield* Scope.extend(start("write"), scope)
      const taken = yield* Effect.fork(worker.submit(1))
      yield* entered
      const queued = yield* Effect.fork(Effect.flip(worker.submit(2)))
      yield* settled(20)
      const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
      yield* settled(20)
      yield* open
      yield* Fiber.join(closing)
      assert.strictEqual(yield* Fiber.join(taken), "wrote 1")
      assert.strictEqual(yield* Fiber.join(queued), "closed")
    }))

  it.scoped("W2 closing while a batch waits to begin answers closed and writes nothing", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { batches, entered, worker } = yield* Scope.extend(start("begin"), scope)
      const taken = yield* Effect.fork(Effect.flip(worker.submit(1)))
      yield* entered
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(yield* Fiber.join(taken), "closed")
      assert.deepStrictEqual(batches, [])
    }))

  it.scoped("answers unknown to a member being written after the deadline, and overdue to a queued one, which is not written", () =>
    Effect.gen(function*() {
      const { batches, entered, open, worker } = yield* start("write")
      const taken = yield* Effect.fork(Effect.flip(worker.submit(1)))
      yield* entered
      yield* TestClock.adjust("10 seconds")
      const queued = yield* Effect.fork(Effect.flip(worker.submit(2)))
      yield* TestClock.adjust("20 seconds")
      assert.strictEqual(yield* Fiber.join(taken), "unknown 1")
      assert.isTrue((yield* Fiber.poll(queued))._tag === "None")
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* Fiber.join(queued), "overdue 2")
      yield* open
      yield* worker.submit(3)
      assert.deepStrictEqual(batches, [[1], [3]])
    }))

  it.scoped("W1 settled waits until the batch of an unknown answer is decided", () =>
    Effect.gen(function*() {
      const { batches, entered, open, worker } = yield* start("write")
      yield* worker.settled
      const taken = yield* Effect.fork(Effect.flip(worker.submit(1)))
      yield* entered
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(yield* Fiber.join(taken), "unknown 1")
      const seen = yield* Effect.fork(Effect.map(worker.settled, () => [...batches]))
      yield* settled(20)
      assert.isTrue((yield* Fiber.poll(seen))._tag === "None")
      yield* open
      assert.deepStrictEqual(yield* Fiber.join(seen), [[1]])
    }))

  it.scoped("has no timer while it is idle", () =>
    Effect.gen(function*() {
      const { worker } = yield* start("nowhere")
      yield* worker.submit(1)
      yield* TestClock.adjust("31 seconds")
      assert.deepStrictEqual(Array.from(yield* TestClock.sleeps()), [])
    }))
})
