// FEED: the completion feed of a session, and the wake of an idle session.
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Stream from "effect/Stream"
import type { FeedItem } from "../../services/SessionOperations.js"
import type { Input } from "../../src/domain/Input.js"
import type { CompletionEntry } from "../../src/domain/Operation.js"
import { inputId, prompt } from "../support/inputs.js"
import { opId } from "../support/operations.js"
import type { Lab, Process } from "./driver.js"
import { A, rid, row, snapshotOf, storedPhases } from "./driver.js"
import { broken, member, ops, registered, running } from "./operationRows.js"

const seqs = (entries: ReadonlyArray<CompletionEntry>) => entries.map(({ seq }) => seq)

/** The items that a follower received, in short form. */
const said = (items: Iterable<FeedItem>) =>
  Array.from(
    items,
    (item) => item._tag === "Gap" ? `gap ${item.gap.requestedAfter}-${item.gap.droppedThrough}` : item.entry.seq
  )

const taken = (lab: Process, n: number, after?: number) =>
  Effect.map(Stream.runCollect(Stream.take(ops(lab).feed(after), n)), said)

const complete = (lab: Process, ...ns: ReadonlyArray<number>) =>
  Effect.forEach(ns, (n) => ops(lab).complete(opId(n), `result ${n}`), { discard: true })

const cursors = (lab: Process) => ops(lab).cursors

/** Attaches an idle session with `n` running external operations. */
const idle = (n: number, held = false) => (lab: Lab) =>
  Effect.gen(function*() {
    const executor = yield* lab.executor({ held })
    yield* lab.machine.ensureSessionWithExecutor(A, executor.executor)
    yield* running(lab, n)
    yield* lab.settle
    return executor
  })

const kinds = (inputs: ReadonlyArray<Input>) => inputs.map((input) => input._tag)

// ---------------------------------------------------------------------------------------------------------------------
// reading
// ---------------------------------------------------------------------------------------------------------------------

row("FEED-01 every end has the next sequence", {
  given: registered(5),
  when: (lab) =>
    Effect.gen(function*() {
      yield* complete(lab, 2)
      yield* ops(lab).fail(opId(1), "no")
      yield* ops(lab).cancel(opId(4))
      yield* ops(lab).markRetired(opId(3))
      yield* ops(lab).terminateOwner("over")
      return yield* ops(lab).listSince(0)
    }),
  then: (lab, batch) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(
        batch.entries.map(({ displayName, kind, outcome, seq }) => [seq, displayName, kind, outcome._tag]),
        ["op 2 Completed", "op 1 Failed", "op 4 Cancelled", "op 3 Retired", "op 5 Terminated"].map((line, i) => [
          i + 1,
          line.slice(0, 4),
          "background_tool_op",
          line.slice(5)
        ])
      )
      assert.deepInclude(batch, { watermark: 5, droppedThrough: 0, gap: null })
      assert.strictEqual(yield* ops(lab).watermark, 5)
      const stored = yield* lab.store.feed(rid(A), 0)
      assert.deepStrictEqual(stored.entries, batch.entries)
    })
})

row("FEED-02 listSince returns the entries after the cursor", {
  given: (lab) => Effect.zipRight(registered(5)(lab), complete(lab, 1, 2, 3, 4, 5)),
  when: (lab) => Effect.forEach([-1, 0, 2, 5, 9], (after) => ops(lab).listSince(after)),
  then: (_, batches) =>
    Effect.sync(() => {
      const all = [1, 2, 3, 4, 5]
      assert.deepStrictEqual(batches.map(({ entries }) => seqs(entries)), [all, all, [3, 4, 5], [], []])
    })
})

row("FEED-04 a follower receives every entry once, whenever it starts and resumes", {
  given: registered(6),
  when: (lab) =>
    Effect.all([
      taken(lab, 6),
      Effect.zipRight(Effect.yieldNow(), taken(lab, 4, 2)),
      Effect.flatMap(taken(lab, 3), (first) => Effect.map(taken(lab, 3, 3), (second) => [...first, ...second])),
      Effect.forEach([1, 2, 3, 4, 5, 6], (n) =>
        Effect.gen(function*() {
          for (let steps = yield* Random.nextIntBetween(0, 4); steps > 0; steps--) yield* Effect.yieldNow()
          yield* complete(lab, n)
        }), { concurrency: 3, discard: true })
    ], { concurrency: "unbounded" }),
  then: (_, [all, later, twice]) =>
    Effect.sync(() => {
      assert.deepStrictEqual([all, later, twice], [[1, 2, 3, 4, 5, 6], [3, 4, 5, 6], [1, 2, 3, 4, 5, 6]])
    })
}, { seeds: 60 })

row("FEED-04 a follower receives a gap for the entries that were dropped before it started", {
  given: (lab) => Effect.zipRight(registered(20)(lab), complete(lab, ...Array.from({ length: 12 }, (_, i) => i + 1))),
  when: (lab) => Effect.all([taken(lab, 9), taken(lab, 3, 9), Effect.map(ops(lab).listSince(0), ({ gap }) => gap)]),
  then: (lab, [all, late, gap]) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(all, ["gap 0-4", 5, 6, 7, 8, 9, 10, 11, 12])
      assert.deepStrictEqual(late, [10, 11, 12])
      assert.deepStrictEqual(gap, { requestedAfter: 0, droppedThrough: 4, watermark: 12 })
      const next = yield* lab.boot
      yield* next.machine.registerSession(A)
      assert.deepStrictEqual(yield* taken(next, 3), ["gap 0-4", 5, 6])
    })
}, { config: { feedRetention: 2, maxCompletedOperations: 2 } })

row("FEED-04 a slow follower receives a gap and continues when entries were dropped ahead of it", {
  given: (lab) =>
    Effect.gen(function*() {
      yield* registered(12)(lab)
      const gate = yield* lab.latch
      const read = yield* Effect.forkScoped(
        Stream.runCollect(
          ops(lab).feed().pipe(Stream.tap((item) => said([item])[0] === 1 ? gate.await : Effect.void), Stream.take(10))
        )
      )
      yield* lab.settle
      yield* complete(lab, 1)
      yield* lab.settle
      return { gate, read }
    }),
  when: (lab, { gate, read }) =>
    Effect.gen(function*() {
      yield* complete(lab, ...Array.from({ length: 11 }, (_, i) => i + 2))
      yield* gate.open
      return said(yield* Fiber.join(read))
    }),
  then: (_, items) => Effect.sync(() => assert.deepStrictEqual(items, [1, "gap 1-4", 5, 6, 7, 8, 9, 10, 11, 12]))
}, { config: { feedRetention: 2 } })

row("FEED-04 a follower ends after the last entry when the session is destroyed", {
  given: (lab) =>
    Effect.gen(function*() {
      yield* registered(1)(lab)
      yield* ops(lab).run(Effect.never, { displayName: "work" })
      const read = yield* Effect.forkScoped(Stream.runCollect(ops(lab).feed()))
      yield* lab.settle
      return read
    }),
  when: (lab, read) => Effect.zipRight(lab.machine.destroyRuntime(A), Fiber.join(read)),
  then: (_, items) => Effect.sync(() => assert.deepStrictEqual(said(items), [1, 2]))
})

// ---------------------------------------------------------------------------------------------------------------------
// the wake
// ---------------------------------------------------------------------------------------------------------------------

row("FEED-07 a background operation wakes an idle session once", {
  given: idle(1),
  when: (lab) => Effect.zipRight(complete(lab, 1), Effect.zipRight(lab.settle, lab.advance("1 hour"))),
  then: (lab, _, executor) =>
    Effect.gen(function*() {
      const [turn, ...more] = executor.turns()
      assert.deepStrictEqual(more, [])
      const input = turn?.inputs[0]
      assert.deepInclude(input, {
        _tag: "Continuation",
        reason: "detached_background_op_completed",
        handlingMode: "steer"
      })
      assert.deepInclude(input?.header, { durability: "derived", source: { type: "system" } })
      assert.deepInclude(input?.header, { visibility: { transcriptEligible: false, operatorEligible: false } })
      assert.deepStrictEqual([input !== undefined && "requestId" in input, turn?.appends], [false, []])
      assert.deepStrictEqual(turn === undefined ? [] : seqs(turn.completions), [1])
      assert.deepStrictEqual(yield* cursors(lab), { agentApplied: 1, observed: 1, injected: 1 })
      assert.deepStrictEqual(yield* storedPhases(lab, A), ["consumed"])
    })
})

row("FEED-08 five ends in one round wake the session once", {
  given: (lab) =>
    Effect.gen(function*() {
      const executor = yield* idle(5)(lab)
      yield* lab.advance("1 second")
      return { executor, parked: lab.faults.park("commit") }
    }),
  when: (lab, { parked }) =>
    Effect.gen(function*() {
      const first = yield* Effect.forkScoped(complete(lab, 1))
      yield* parked.reached
      const rest = yield* Effect.forEach([2, 3, 4, 5], (n) => Effect.forkScoped(complete(lab, n)))
      yield* lab.settle
      yield* parked.release
      yield* Fiber.join(Fiber.all([first, ...rest]))
      yield* lab.settle
      yield* lab.advance("1 hour")
    }),
  then: (lab, _, { executor }) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(executor.turns().map((turn) => seqs(turn.completions)), [[1, 2, 3, 4, 5]])
      assert.deepInclude(yield* cursors(lab), { agentApplied: 5 })
    })
})

row("FEED-09 the end of a member child is observed and wakes no session", {
  given: (lab) =>
    Effect.gen(function*() {
      const executor = yield* idle(0)(lab)
      yield* running(lab, 1, member)
      return executor
    }),
  when: (lab) => Effect.zipRight(complete(lab, 1), Effect.zipRight(lab.settle, lab.advance("1 hour"))),
  then: (lab, _, executor) =>
    Effect.gen(function*() {
      assert.strictEqual(executor.counts().apply, 0)
      assert.deepStrictEqual(yield* cursors(lab), { agentApplied: 0, observed: 1, injected: 0 })
    })
})

row("FEED-10 an operation that ends during a run wakes the session once, after that run", {
  given: (lab) =>
    Effect.gen(function*() {
      const executor = yield* idle(1, true)(lab)
      yield* lab.machine.acceptInput(A, prompt(1))
      yield* executor.started(1)
      return executor
    }),
  when: (lab, executor) =>
    Effect.gen(function*() {
      yield* complete(lab, 1)
      yield* lab.settle
      assert.deepStrictEqual([executor.counts().apply, (yield* cursors(lab)).injected], [1, 0])
      yield* executor.open
      yield* lab.settle
      yield* lab.advance("1 hour")
    }),
  then: (lab, _, executor) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(executor.turns().map((turn) => [kinds(turn.inputs), seqs(turn.completions)]), [
        [["Prompt"], []],
        [["Continuation"], [1]]
      ])
      assert.deepStrictEqual(yield* cursors(lab), { agentApplied: 1, observed: 1, injected: 1 })
    })
})

// The session makes no periodic checks; it looks again when its state changes. This overrides the row (D29).
row("FEED-12 a deferred wake costs nothing until the session is quiescent", {
  given: (lab) =>
    Effect.gen(function*() {
      yield* registered(1)(lab)
      yield* lab.machine.acceptInput(A, prompt(1))
      yield* complete(lab, 1)
      yield* lab.advance("1 second")
    }),
  when: (lab) =>
    Effect.gen(function*() {
      const before = lab.faults.writes()
      yield* lab.advance("1 hour")
      assert.deepStrictEqual([lab.faults.writes() - before, yield* lab.machine.fiberCount], [0, 0])
      assert.deepStrictEqual(yield* cursors(lab), { agentApplied: 0, observed: 0, injected: 0 })
      yield* lab.machine.retractInput(A, inputId(1))
    }),
  then: (lab) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* cursors(lab), { agentApplied: 0, observed: 1, injected: 1 })
      const executor = yield* lab.executor()
      yield* lab.machine.ensureSessionWithExecutor(A, executor.executor)
      yield* lab.settle
      yield* lab.advance("1 hour")
      assert.deepStrictEqual(executor.turns().map((turn) => kinds(turn.inputs)), [["Continuation"]])
    })
})

row("FEED-12 an end wakes no retired session until it is recycled", {
  given: (lab) => Effect.tap(registered(1)(lab), () => lab.machine.retireRuntime(A)),
  when: (lab) => complete(lab, 1),
  then: (lab) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* cursors(lab), { agentApplied: 0, observed: 0, injected: 0 })
      yield* lab.machine.recycleRuntime(A)
      assert.deepStrictEqual(yield* cursors(lab), { agentApplied: 0, observed: 1, injected: 1 })
      assert.strictEqual((yield* snapshotOf(lab, A)).steer.length, 1)
    })
})

row("FEED-13 a wake is repeated when it could not be stored", {
  given: (lab) => Effect.tap(idle(1)(lab), () => lab.advance("1 second")),
  when: (lab) =>
    Effect.gen(function*() {
      lab.faults.failCommit(broken)
      const refused = yield* Effect.either(complete(lab, 1))
      const between = yield* cursors(lab)
      yield* complete(lab, 1)
      yield* lab.settle
      yield* lab.advance("1 hour")
      return { refused, between }
    }),
  then: (lab, { between, refused }, executor) =>
    Effect.gen(function*() {
      assert.strictEqual(refused._tag, "Left")
      assert.deepStrictEqual(between, { agentApplied: 0, observed: 0, injected: 0 })
      assert.deepStrictEqual(executor.turns().map((turn) => seqs(turn.completions)), [[1]])
      assert.deepStrictEqual(yield* cursors(lab), { agentApplied: 1, observed: 1, injected: 1 })
    })
})

row("FEED-13 a wake receives the same entries again when its run fails", {
  given: (lab) => Effect.tap(idle(1, true)(lab), () => lab.advance("1 second")),
  when: (lab, executor) =>
    Effect.gen(function*() {
      yield* complete(lab, 1)
      yield* executor.started(1)
      yield* lab.machine.unregisterSession(A)
      yield* executor.open
      yield* lab.machine.ensureSessionWithExecutor(A, executor.executor)
      yield* lab.settle
      yield* lab.advance("1 hour")
    }),
  then: (_, __, executor) =>
    Effect.sync(() => assert.deepStrictEqual(executor.turns().map((turn) => seqs(turn.completions)), [[1], [1]]))
})

row("FEED-15 a wake that did not run before the process died runs once in the next process", {
  given: (lab) =>
    Effect.gen(function*() {
      yield* registered(1)(lab)
      yield* complete(lab, 1)
      assert.deepStrictEqual(yield* cursors(lab), { agentApplied: 0, observed: 1, injected: 1 })
    }),
  when: (lab) =>
    Effect.gen(function*() {
      const next = yield* lab.boot
      const executor = yield* lab.executor()
      yield* next.machine.ensureSessionWithExecutor(A, executor.executor)
      yield* lab.settle
      yield* lab.advance("1 hour")
      return { next, executor }
    }),
  then: (_, { executor, next }) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(executor.turns().map((turn) => seqs(turn.completions)), [[1]])
      assert.deepStrictEqual(yield* cursors(next), { agentApplied: 1, observed: 1, injected: 1 })
    })
})

row("FEED-15 each end is told at most once in the committed turns of the next process, whenever the process dies", {
  given: idle(3),
  when: (lab) =>
    Effect.gen(function*() {
      const calls = yield* Effect.forkScoped(
        Effect.forEach([1, 2, 3], (n) => Effect.ignore(complete(lab, n)), { concurrency: "unbounded" })
      )
      for (let steps = yield* Random.nextIntBetween(0, 60); steps > 0; steps--) yield* Effect.yieldNow()
      const next = yield* lab.boot
      const executor = yield* lab.executor()
      yield* next.machine.ensureSessionWithExecutor(A, executor.executor)
      yield* Effect.forEach([1, 2, 3], (n) => Effect.ignore(complete(next, n)))
      yield* lab.settle
      yield* lab.advance("1 hour")
      yield* Fiber.interrupt(calls)
      return { next, executor }
    }),
  then: (lab, { executor, next }, before) =>
    Effect.gen(function*() {
      const [old, fresh] = [before, executor].map((one) => one.turns().flatMap((turn) => seqs(turn.completions)))
      assert.strictEqual(new Set(fresh).size, fresh?.length, "a process tells an entry once")
      assert.deepStrictEqual([...new Set([...old ?? [], ...fresh ?? []])].sort(), [1, 2, 3])
      assert.deepStrictEqual(yield* cursors(next), {
        agentApplied: 3,
        observed: 3,
        injected: (yield* cursors(next)).injected
      })
      const phases = yield* storedPhases(lab, A)
      assert.isTrue(phases.every((phase) => phase === "consumed"), phases.join(", "))
    })
}, { seeds: 40 })
