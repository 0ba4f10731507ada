// OPS: the operations of a session, through its handle and the registry behind it.
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { SessionOperations } from "../../services/SessionOperations.js"
import type { OperationError } from "../../src/domain/Errors.js"
import type { OperationId } from "../../src/domain/Ids.js"
import type { OperationOutcome, OperationStatus } from "../../src/domain/Operation.js"
import { prompt } from "../support/inputs.js"
import { opId } from "../support/operations.js"
import { A, B, failing, rid, row } from "./driver.js"
import {
  broken,
  done,
  live,
  member,
  ops,
  registered,
  running,
  statuses,
  statusOf,
  storedOperations,
  table,
  timeless,
  unresolved,
  watchersOf
} from "./operationRows.js"

// ---------------------------------------------------------------------------------------------------------------------
// the table
// ---------------------------------------------------------------------------------------------------------------------

const reaching: Readonly<
  Record<OperationStatus, (own: SessionOperations, id: OperationId) => Effect.Effect<unknown, OperationError>>
> = {
  provisioning: () => Effect.void,
  running: (own, id) => own.provisioningSucceeded(id),
  retiring: (own, id) => Effect.zipRight(own.provisioningSucceeded(id), own.requestRetire(id)),
  completed: (own, id) => Effect.zipRight(own.provisioningSucceeded(id), own.complete(id, "yes")),
  failed: (own, id) => own.fail(id, "no"),
  aborted: (own, id) => own.abort(id),
  cancelled: (own, id) => own.cancel(id),
  retired: (own, id) => Effect.zipRight(own.provisioningSucceeded(id), own.markRetired(id)),
  terminated: (own) => own.terminateOwner("over")
}
const every: ReadonlyArray<OperationStatus> = [
  ...live,
  "completed",
  "failed",
  "aborted",
  "cancelled",
  "retired",
  "terminated"
]

row("OPS-01 a change that the table allows is made, and every other change is refused without effect", {
  given: ({ machine }) => machine.registerSession(A),
  when: (lab) =>
    Effect.forEach(
      every,
      (from) =>
        Effect.forEach(Object.entries(table), ([action, [change, allowed, to]]) =>
          Effect.gen(function*() {
            const own = ops(lab)
            const id = yield* own.register({ displayName: `${from} ${action}`, ...member })
            yield* reaching[from](own, id)
            const before = yield* own.get(id)
            const result = yield* Effect.either(change(own, id))
            const after = yield* own.get(id)
            yield* Effect.ignore(own.cancel(id))
            return { from, action, allowed, to, before, result, after }
          }))
    ),
  then: (_, walked) =>
    Effect.sync(() => {
      for (const { action, after, allowed, before, from, result, to } of walked.flat()) {
        const at = `${action} in ${from}`
        if (allowed.includes(from)) {
          assert.isTrue(result._tag === "Right", at)
          assert.strictEqual(Option.getOrThrow(after).status, to === "same" ? from : to, at)
        } else {
          assert.isTrue(result._tag === "Left" && result.left._tag === "OpInvalidTransition", at)
          if (result._tag === "Left" && result.left._tag === "OpInvalidTransition") {
            assert.deepStrictEqual([result.left.status, result.left.action], [from, action], at)
          }
          assert.deepStrictEqual(after, before, at)
        }
      }
    })
}, { seeds: 5 })

row("OPS-02 an id is registered once", {
  given: registered(1),
  when: (lab) => Effect.flip(ops(lab).register({ displayName: "again", id: opId(1) })),
  then: (lab, error) =>
    Effect.gen(function*() {
      assert.deepInclude(error, { _tag: "OpAlreadyRegistered", id: opId(1) })
      assert.deepStrictEqual(yield* statuses(ops(lab)), ["op 1: running"])
    })
})

row("OPS-03 every call for an unknown operation fails with OpNotFound", {
  given: ({ machine }) => machine.registerSession(A),
  when: (lab) =>
    Effect.forEach(
      [...Object.values(table).map(([change]) => change(ops(lab), opId(9))), ops(lab).watch(opId(9))],
      (call) => failing(call)
    ),
  then: (_, errors) => Effect.sync(() => assert.deepStrictEqual([...new Set(errors)], ["OpNotFound"]))
})

row("OPS-04 the limit of active operations is enforced", {
  given: registered(2),
  when: (lab) => Effect.flip(ops(lab).register({ displayName: "third" })),
  then: (lab, error) =>
    Effect.gen(function*() {
      assert.deepInclude(error, { _tag: "OpMaxConcurrentExceeded", limit: 2, active: 2 })
      yield* ops(lab).complete(opId(1), "done")
      yield* ops(lab).run(Effect.never, { displayName: "third" })
      assert.strictEqual(
        yield* failing(ops(lab).run(Effect.never, { displayName: "fourth" })),
        "OpMaxConcurrentExceeded"
      )
      yield* ops(lab).terminateOwner("over")
    })
}, { config: { maxConcurrentOperations: Option.some(2) } })

row("OPS-04 any number of operations is active when there is no limit", {
  given: ({ machine }) => machine.registerSession(A),
  when: (lab) => running(lab, 300),
  then: (lab) => Effect.map(ops(lab).list, (list) => assert.strictEqual(list.length, 300))
}, { seeds: 2 })

// ---------------------------------------------------------------------------------------------------------------------
// waiting
// ---------------------------------------------------------------------------------------------------------------------

row("OPS-08 all watchers receive the same outcome", {
  given: (lab) =>
    Effect.gen(function*() {
      yield* registered(1)(lab)
      const watchers = yield* Effect.replicateEffect(Effect.forkScoped(ops(lab).watch(opId(1))), 3)
      const leaver = yield* Effect.forkScoped(ops(lab).watch(opId(1)))
      yield* lab.settle
      assert.strictEqual(yield* watchersOf(ops(lab), opId(1)), 4)
      yield* Fiber.interrupt(leaver)
      assert.strictEqual(yield* watchersOf(ops(lab), opId(1)), 3)
      return watchers
    }),
  when: (lab, watchers) => Effect.zipRight(ops(lab).complete(opId(1), "done"), Fiber.join(Fiber.all(watchers))),
  then: (lab, outcomes) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(Array.from(outcomes, timeless), [done("done"), done("done"), done("done")])
      assert.strictEqual(yield* watchersOf(ops(lab), opId(1)), 0)
    })
})

row("OPS-09 a late watcher receives the outcome at once", {
  given: registered(1),
  when: (lab) =>
    Effect.zipRight(
      ops(lab).complete(opId(1), { content: "bad", isError: true, durationMs: 7, tokensUsed: 9 }),
      ops(lab).watch(opId(1))
    ),
  then: (_, outcome) =>
    Effect.sync(() =>
      assert.deepStrictEqual(outcome, {
        _tag: "Completed",
        result: { content: "bad", isError: true, durationMs: 7, tokensUsed: 9 }
      })
    )
})

row("OPS-11 terminateOwner ends every live operation, once", {
  given: (lab) =>
    Effect.gen(function*() {
      yield* registered(2)(lab)
      const stopped = yield* lab.latch
      const work = Effect.onInterrupt(Effect.never, () => stopped.open)
      const process = yield* ops(lab).run(work, { displayName: "process" })
      yield* ops(lab).complete(opId(1), "before")
      const watchers = yield* Effect.forEach([opId(2), process], (id) => Effect.forkScoped(ops(lab).watch(id)))
      yield* lab.settle
      return { process, watchers, stopped }
    }),
  when: (lab) => ops(lab).terminateOwner("over"),
  then: (lab, ids, { process, stopped, watchers }) =>
    Effect.gen(function*() {
      assert.deepStrictEqual([...ids].sort(), [opId(2), process].sort())
      const over: OperationOutcome = { _tag: "Terminated", reason: "over" }
      assert.deepStrictEqual(Array.from(yield* Fiber.join(Fiber.all(watchers))), [over, over])
      yield* stopped.await
      yield* lab.settle
      assert.deepStrictEqual(yield* statuses(ops(lab)), ["op 1: completed", "op 2: terminated", "process: terminated"])
      assert.strictEqual((yield* ops(lab).listSince(0)).entries.length, 3)
      assert.deepStrictEqual(yield* ops(lab).terminateOwner("again"), [])
    })
})

row("OPS-12 the oldest ended operations are evicted beyond the limit", {
  given: registered(3),
  when: (lab) => Effect.forEach([opId(2), opId(1), opId(3)], (id) => ops(lab).complete(id, "done")),
  then: (lab) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* statuses(ops(lab)), ["op 1: completed", "op 3: completed"])
      assert.deepStrictEqual((yield* storedOperations(lab)).map(({ spec }) => spec.id), [opId(1), opId(3)])
      // The feed still has its entry, and an id names only one operation of a feed.
      assert.strictEqual(
        yield* failing(ops(lab).register({ displayName: "again", id: opId(2) })),
        "OpAlreadyRegistered"
      )
      for (const n of [4, 5, 2]) {
        yield* running(lab, 1, { id: opId(n) })
        yield* ops(lab).fail(opId(n), "no")
      }
      assert.strictEqual(yield* ops(lab).watermark, 6)
    })
}, { config: { maxCompletedOperations: 2, feedRetention: 1 } })

row("OPS-13 collectCompleted returns each end once", {
  given: (lab) =>
    Effect.zipRight(registered(3)(lab), Effect.forEach([opId(3), opId(1)], (id) => ops(lab).complete(id, "done"))),
  when: (lab) => Effect.all([ops(lab).collectCompleted, ops(lab).collectCompleted]),
  then: (lab, [first, second]) =>
    Effect.gen(function*() {
      assert.deepStrictEqual([first.map(([id]) => id), second], [[opId(3), opId(1)], []])
      assert.deepStrictEqual(yield* statuses(ops(lab)), ["op 2: running"])
      assert.strictEqual(yield* ops(lab).watermark, 2)
      yield* lab.advance("1 second")
      assert.deepStrictEqual((yield* storedOperations(lab)).map(({ spec }) => spec.id), [opId(2)])
    })
})

row("OPS-14 waitAll returns outcomes in the order of its ids, whatever the order of the ends", {
  given: (lab) =>
    Effect.gen(function*() {
      yield* registered(3)(lab)
      const wait = yield* Effect.forkScoped(ops(lab).waitAll([opId(3), opId(1), opId(2)]))
      yield* lab.settle
      return wait
    }),
  when: (lab, wait) =>
    Effect.gen(function*() {
      for (const [n, word] of [[2, "b"], [3, "c"]] as const) yield* ops(lab).complete(opId(n), word)
      // The wait keeps the outcome of a member that is evicted meanwhile.
      yield* ops(lab).collectCompleted
      assert.isTrue(unresolved(wait))
      yield* ops(lab).complete(opId(1), "a")
      return yield* Fiber.join(wait)
    }),
  then: (lab, outcomes) =>
    Effect.gen(function*() {
      const named = outcomes.map(([id, outcome]) => [id, timeless(outcome)] as const)
      assert.deepStrictEqual(named, [[opId(3), done("c")], [opId(1), done("a")], [opId(2), done("b")]])
      const again = yield* ops(lab).waitAll([opId(1), opId(3)])
      assert.deepStrictEqual(again.map(([id]) => id), [opId(1), opId(3)])
      assert.deepStrictEqual(yield* ops(lab).waitAll([]), [])
    })
})

row("OPS-16 waitAll leaves no barrier when a member is unknown or named twice", {
  given: registered(1),
  when: (lab) =>
    Effect.forEach(
      [ops(lab).waitAll([opId(1), opId(9)]), ops(lab).waitAll([opId(1), opId(1)])],
      (wait) => failing(wait)
    ),
  then: (lab, errors) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(errors, ["OpNotFound", "OpDuplicateWait"])
      const wait = yield* Effect.forkScoped(ops(lab).waitAll([opId(1)]))
      yield* lab.settle
      assert.strictEqual(yield* failing(ops(lab).waitAll([opId(1)])), "OpWaitAlreadyActive")
      yield* ops(lab).complete(opId(1), "done")
      yield* Fiber.join(wait)
    })
})

row("OPS-19 waitAll leaves no barrier when it is interrupted at any moment", {
  given: registered(1),
  when: (lab) =>
    Effect.gen(function*() {
      const wait = yield* Effect.forkScoped(ops(lab).waitAll([opId(1)]))
      yield* lab.backend === "simulated" ? Effect.yieldNow() : lab.settle
      yield* Fiber.interrupt(wait)
      return yield* Effect.forkScoped(ops(lab).waitAll([opId(1)]))
    }),
  then: (lab, again) =>
    Effect.gen(function*() {
      yield* lab.settle
      assert.isTrue(unresolved(again))
      yield* ops(lab).complete(opId(1), "done")
      assert.strictEqual((yield* Fiber.join(again)).length, 1)
      assert.strictEqual(yield* watchersOf(ops(lab), opId(1)), 0)
    })
}, { seeds: 60 })

// An unregistration and a destroy end the wait, which overrides the row (D28).
row("OPS-20 waitAll outlives every change of the session except its end", {
  given: registered(6),
  when: (lab) =>
    Effect.gen(function*() {
      const { machine } = lab
      const changes = [
        machine.recoverRuntime(A),
        machine.resetRuntime(A),
        machine.retireRuntime(A),
        machine.recycleRuntime(A),
        machine.stopRuntimeExecutor(A, "enough")
      ]
      yield* Effect.forEach(changes, (change, i) =>
        Effect.gen(function*() {
          const wait = yield* Effect.forkScoped(ops(lab).waitAll([opId(i + 1)]))
          yield* lab.settle
          yield* change
          yield* lab.settle
          assert.isTrue(unresolved(wait), `change ${i}`)
          yield* ops(lab).complete(opId(i + 1), "done")
          assert.deepStrictEqual((yield* Fiber.join(wait)).map(([, outcome]) => outcome._tag), ["Completed"])
        }))
      const wait = yield* Effect.forkScoped(ops(lab).waitAll([opId(6)]))
      yield* lab.settle
      yield* machine.destroyRuntime(A)
      return yield* Fiber.join(wait)
    }),
  then: (lab, outcomes) =>
    Effect.gen(function*() {
      // This test reads the row as: destroying the session ends its operations, and with them the wait.
      assert.deepStrictEqual(outcomes.map(([, outcome]) => outcome._tag), ["Terminated"])
      assert.strictEqual(yield* failing(ops(lab).register({ displayName: "late" })), "OpOwnerRetired")
    })
})

// ---------------------------------------------------------------------------------------------------------------------
// durability
// ---------------------------------------------------------------------------------------------------------------------

// The end is stored as rows instead of a snapshot of everything, which overrides the row (D29).
row("OPS-22 an end is one commit with the operation, its feed entry and the epoch", {
  given: (lab) => Effect.tap(registered(1)(lab), () => lab.advance("1 second")),
  when: (lab) =>
    Effect.gen(function*() {
      const before = lab.faults.commits().length
      yield* ops(lab).complete(opId(1), "done")
      return lab.faults.commits().slice(before)
    }),
  then: (_, commits) =>
    Effect.sync(() => {
      const [commit, ...more] = commits
      assert.deepStrictEqual(more, [])
      assert.deepStrictEqual(commit?.operations.map(({ spec, status }) => [spec.id, status]), [[opId(1), "completed"]])
      assert.deepStrictEqual(commit?.feed.map(({ operationId, seq }) => [operationId, seq]), [[opId(1), 1]])
      assert.deepInclude(commit?.epoch, { lastSeq: 1 })
      // The commit also contains the wake that is due and the cursor that records it (D29).
      assert.deepStrictEqual([commit?.inputs.length, commit?.epoch?.cursors.injected], [1, 1])
    })
})

row("OPS-24 OPS-25 a change whose commit fails has no effect and may be repeated", {
  given: (lab) =>
    Effect.gen(function*() {
      yield* registered(1)(lab)
      yield* lab.advance("1 second")
      const watcher = yield* Effect.forkScoped(ops(lab).watch(opId(1)))
      const follower = yield* Effect.forkScoped(Stream.runHead(ops(lab).feed()))
      yield* lab.settle
      lab.faults.failCommit(broken)
      return { watcher, follower, before: lab.faults.calls("commit") }
    }),
  when: (lab) => Effect.flip(ops(lab).complete(opId(1), "done")),
  then: (lab, error, { before, follower, watcher }) =>
    Effect.gen(function*() {
      assert.deepInclude(error, { _tag: "OpInternal", retryable: true })
      assert.strictEqual(lab.faults.calls("commit"), before + 1)
      yield* lab.settle
      assert.deepStrictEqual([yield* statusOf(ops(lab), opId(1)), yield* ops(lab).watermark], ["running", 0])
      assert.isTrue(unresolved(watcher) && unresolved(follower))
      yield* ops(lab).complete(opId(1), "done")
      assert.deepStrictEqual(timeless(yield* Fiber.join(watcher)), done("done"))
      assert.isTrue(Option.isSome(yield* Fiber.join(follower)))
      assert.strictEqual(yield* ops(lab).watermark, 1)
    })
})

row("OPS-26 an end becomes visible once it is durable, and other sessions do not wait for it", {
  given: (lab) =>
    Effect.gen(function*() {
      yield* registered(1)(lab)
      yield* lab.machine.registerSession(B)
      yield* lab.advance("1 second")
      const watcher = yield* Effect.forkScoped(ops(lab).watch(opId(1)))
      yield* lab.settle
      return { watcher, parked: lab.faults.park("commit", { runtimeId: rid(A) }) }
    }),
  when: (lab, { parked, watcher }) =>
    Effect.gen(function*() {
      const call = yield* Effect.forkScoped(ops(lab).complete(opId(1), "done"))
      yield* parked.reached
      yield* lab.machine.acceptInput(B, prompt(1))
      yield* lab.settle
      assert.deepStrictEqual([yield* statusOf(ops(lab), opId(1)), yield* ops(lab).watermark], ["running", 0])
      assert.isTrue(unresolved(watcher) && unresolved(call))
      yield* parked.release
      return yield* Fiber.join(call)
    }),
  then: (lab, record, { watcher }) =>
    Effect.gen(function*() {
      assert.strictEqual(record.status, "completed")
      assert.deepStrictEqual(timeless(yield* Fiber.join(watcher)), done("done"))
      assert.strictEqual(yield* ops(lab).watermark, 1)
    })
})

row("OPS-27 fifty concurrent ends are all stored after a restart", {
  given: registered(50),
  when: (lab) =>
    Effect.gen(function*() {
      const ids = Array.from({ length: 50 }, (_, i) => opId(i + 1))
      yield* Effect.forEach(ids, (id) => ops(lab).complete(id, "done"), { concurrency: "unbounded" })
      const next = yield* lab.boot
      yield* next.machine.registerSession(A)
      return next
    }),
  then: (_, next) =>
    Effect.gen(function*() {
      const list = yield* ops(next).list
      assert.deepStrictEqual([list.length, new Set(list.map(({ status }) => status)).size], [50, 1])
      const { entries, watermark } = yield* ops(next).listSince(0)
      assert.deepStrictEqual([entries.map(({ seq }) => seq), watermark], [
        Array.from({ length: 50 }, (_, i) => i + 1),
        50
      ])
    })
}, { seeds: 5 })

// The feed records the operations of the process as terminated; external operations stay as they are. This overrides
// the row (D28).
row("OPS-28 a restart ends the operations of the process and keeps external ones", {
  given: (lab) =>
    Effect.gen(function*() {
      yield* registered(3)(lab)
      yield* ops(lab).complete(opId(1), "done")
      yield* ops(lab).run(Effect.never, { displayName: "process" })
      yield* Effect.forkScoped(ops(lab).waitAll([opId(2)]))
      yield* lab.advance("1 second")
    }),
  when: (lab) => Effect.tap(lab.boot, ({ machine }) => machine.registerSession(A)),
  then: (_, next) =>
    Effect.gen(function*() {
      const own = ops(next)
      assert.deepStrictEqual(yield* statuses(own), [
        "op 1: completed",
        "op 2: running",
        "op 3: running",
        "process: terminated"
      ])
      const { entries } = yield* own.listSince(1)
      assert.deepStrictEqual(entries.map(({ outcome, seq }) => [seq, outcome]), [
        [2, { _tag: "Terminated", reason: "runtime restarted" }]
      ])
      const wait = yield* Effect.forkScoped(own.waitAll([opId(2), opId(3)]))
      yield* Effect.forEach([opId(2), opId(3)], (id) => own.complete(id, "by id"))
      assert.deepStrictEqual((yield* Fiber.join(wait)).map(([, outcome]) => timeless(outcome)), [
        done("by id"),
        done("by id")
      ])
      assert.strictEqual(yield* own.watermark, 4)
    })
})

row("OPS-30 ends are durable in a session without an executor", {
  given: registered(2),
  when: (lab) =>
    Effect.gen(function*() {
      yield* ops(lab).complete(opId(1), "done")
      const next = yield* lab.boot
      yield* next.machine.registerSession(A)
      return next
    }),
  then: (_, next) =>
    Effect.gen(function*() {
      assert.strictEqual(yield* statusOf(ops(next), opId(1)), "completed")
      assert.strictEqual(yield* ops(next).watermark, 1)
    })
})
