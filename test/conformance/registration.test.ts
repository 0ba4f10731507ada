/** REG: registering a session: its opening in the store, its errors, and races of registrations. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { StoreCorrupt, StoreIo } from "../../src/domain/StoreErrors.js"
import { inputId, prompt } from "../support/inputs.js"
import { A, B, failing, killLoop, nothing, rid, row, snapshotOf, stateOf, storedInputs, storedState } from "./driver.js"

const broken = new StoreIo({ operation: "open", code: "EIO", detail: "the disk is gone" })

row("REG-01 a new session is idle", {
  given: nothing,
  when: ({ machine }) => machine.registerSession(A),
  then: (lab) =>
    Effect.gen(function*() {
      assert.strictEqual(yield* lab.machine.runtimeState(A), "idle")
      assert.isTrue(yield* lab.machine.containsSession(A))
      assert.isFalse(yield* lab.machine.sessionHasExecutor(A))
      const snapshot = yield* snapshotOf(lab, A)
      assert.strictEqual(snapshot.driver, lab.driver)
      assert.isFalse(snapshot.attachmentLive)
      assert.deepStrictEqual(snapshot.cursors, { agentApplied: 0, observed: 0, injected: 0 })
    })
})

row("REG-02 a repeated registration changes nothing", {
  given: (lab) =>
    Effect.gen(function*() {
      yield* lab.machine.registerSession(A)
      yield* lab.machine.acceptInput(A, prompt(1))
      return { snapshot: yield* snapshotOf(lab, A), writes: lab.faults.writes() }
    }),
  when: ({ machine }) => machine.registerSession(A),
  then: (lab, _, before) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* snapshotOf(lab, A), before.snapshot)
      assert.strictEqual(lab.faults.writes(), before.writes)
    })
})

// This test reads the row as: the write of a registration is its opening.
// The opening is the write of a registration, and no commit follows it. This overrides the row (D3).
row("REG-03 a registration makes one opening and no other commit", {
  given: nothing,
  when: ({ machine }) => machine.registerSession(A),
  then: (lab) =>
    Effect.gen(function*() {
      assert.strictEqual(lab.faults.calls("openRuntime"), 1)
      assert.strictEqual(lab.faults.calls("commit"), 0)
      assert.strictEqual(yield* storedState(lab, A), "idle")
      assert.strictEqual((yield* snapshotOf(lab, A)).driver, lab.driver)
    })
})

row("REG-04 sessions do not wait for each other", {
  given: (lab) =>
    Effect.gen(function*() {
      yield* lab.machine.registerSession(A)
      yield* lab.machine.registerSession(B)
      const parked = lab.faults.park("commit", { runtimeId: rid(A) })
      const waiting = yield* Effect.forkScoped(lab.machine.acceptInput(A, prompt(1)))
      yield* parked.reached
      return { parked, waiting }
    }),
  when: ({ machine }) => machine.acceptInput(B, prompt(2)),
  then: (lab, outcome, { parked, waiting }) =>
    Effect.gen(function*() {
      assert.strictEqual(outcome._tag, "Accepted")
      assert.strictEqual(waiting.unsafePoll(), null)
      const a = yield* snapshotOf(lab, A)
      const b = yield* snapshotOf(lab, B)
      assert.notStrictEqual(a.epochId, b.epochId)
      assert.deepStrictEqual([a.queue.length, b.queue.length], [0, 1])
      yield* parked.release
      assert.strictEqual((yield* Fiber.join(waiting))._tag, "Accepted")
    })
})

row("REG-05 runtimeState of an unknown session fails", {
  given: nothing,
  when: ({ control, machine }) => Effect.all([failing(machine.runtimeState(A)), failing(control.runtimeState(rid(A)))]),
  then: (_, errors) => Effect.sync(() => assert.deepStrictEqual(errors, ["NotReady{destroyed}", "NotFound"]))
})

row("REG-06 an unknown session refuses an input", {
  given: nothing,
  when: ({ machine }) => failing(machine.acceptInput(A, prompt(1))),
  then: (lab, error) =>
    Effect.sync(() => {
      assert.strictEqual(error, "NotReady{destroyed}")
      assert.strictEqual(lab.faults.writes(), 0)
    })
})

row("REG-07 a bare session id is no valid runtime id", {
  given: ({ machine }) => machine.registerSession(A),
  when: ({ control }) =>
    Effect.all([
      failing(control.ingest(A, prompt(1))),
      failing(control.retire(A)),
      failing(control.recycle(A)),
      failing(control.reset(A)),
      failing(control.recover(A)),
      failing(control.destroy(A)),
      failing(control.runtimeState(A)),
      failing(control.publishEvent(A, { kind: "k", payload: null }))
    ]),
  then: (lab, errors) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(new Set(errors), new Set(["NotFound"]))
      assert.strictEqual(yield* lab.control.runtimeState(rid(A)), "idle")
    })
})

row("REG-08 a session destroyed in this process cannot be registered", {
  given: (lab) =>
    Effect.gen(function*() {
      yield* lab.machine.registerSession(A)
      yield* lab.machine.destroyRuntime(A)
      return lab.faults.writes()
    }),
  when: ({ machine }) => failing(machine.registerSession(A)),
  then: (lab, error, writes) =>
    Effect.gen(function*() {
      assert.strictEqual(error, "Destroyed")
      assert.strictEqual(yield* stateOf(lab, A), "destroyed")
      assert.strictEqual(lab.faults.writes(), writes)
    })
})

// A destroyed session is never recovered (D4).
row("REG-09 a session destroyed in the store cannot be registered", {
  given: (lab) =>
    Effect.gen(function*() {
      yield* lab.machine.registerSession(A)
      yield* lab.machine.destroyRuntime(A)
      yield* lab.machine.unregisterSession(A)
      return yield* lab.boot
    }),
  when: (_, { machine }) => failing(machine.registerSession(A)),
  then: (lab, error, cold) =>
    Effect.gen(function*() {
      assert.strictEqual(error, "Destroyed")
      assert.isFalse(yield* cold.machine.containsSession(A))
      assert.strictEqual(yield* failing(cold.machine.acceptInput(A, prompt(1))), "NotReady{destroyed}")
      assert.strictEqual(yield* storedState(lab, A), "destroyed")
    })
})

row("REG-13 a registration may be repeated after a failed opening", {
  given: (lab) => Effect.sync(() => lab.faults.failOpen(broken)),
  when: (lab) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(lab.machine.registerSession(A))
      const contained = yield* lab.machine.containsSession(A)
      yield* lab.machine.registerSession(A)
      return { error, contained }
    }),
  then: (lab, { contained, error }) =>
    Effect.gen(function*() {
      assert.strictEqual(error._tag, "Internal")
      assert.include(error.message, "the disk is gone")
      assert.isFalse(contained)
      assert.strictEqual(yield* stateOf(lab, A), "idle")
    })
})

// This test reads the row as: `RecoveryCorruption` names the row and the reason.
// The error is a typed `RecoveryCorruption` that names the row and the reason, which overrides the row (D1).
row("REG-14 a registration fails as a whole when one row is unusable", {
  given: (lab) =>
    Effect.gen(function*() {
      yield* lab.machine.registerSession(A)
      yield* lab.machine.acceptInput(A, prompt(1))
      yield* lab.machine.unregisterSession(A)
      const row = { table: "input", key: inputId(1), detail: "cannot be read" }
      lab.faults.tamper((image) => ({ ...image, inputs: [], corrupt: [row] }))
      return yield* storedInputs(lab, A)
    }),
  when: ({ machine }) => Effect.flip(machine.registerSession(A)),
  then: (lab, error, stored) =>
    Effect.gen(function*() {
      assert.strictEqual(error._tag, "RecoveryCorruption")
      assert.include(error.message, inputId(1))
      assert.include(error.message, "cannot be read")
      assert.isFalse(yield* lab.machine.containsSession(A))
      assert.deepStrictEqual(yield* storedInputs(lab, A), stored)
    })
})

// This test reads the row as: one opening instead of one lifecycle commit.
// There is one opening and no other commit, which overrides the row (D3).
row("REG-15 concurrent registrations share one recovery", {
  given: (lab) =>
    Effect.gen(function*() {
      const parked = lab.faults.park("openRuntime")
      const first = yield* Effect.forkScoped(lab.machine.registerSession(A))
      yield* parked.reached
      const second = yield* Effect.forkScoped(lab.machine.registerSession(A))
      yield* lab.settle
      return { parked, fibers: [first, second] }
    }),
  when: (_, { fibers, parked }) => Effect.zipRight(parked.release, Fiber.joinAll(fibers)),
  then: (lab) =>
    Effect.gen(function*() {
      assert.strictEqual(lab.faults.writes(), 1)
      assert.strictEqual((yield* snapshotOf(lab, A)).incarnation, 1)
    })
})

for (const when of ["before", "after"] as const) {
  // An opening that has begun finishes, and is closed again (D3).
  row(`REG-16 an interrupted registration leaves nothing behind (${when} the opening is written)`, {
    given: (lab) =>
      Effect.gen(function*() {
        const parked = lab.faults.park("openRuntime", { when })
        const fiber = yield* Effect.forkScoped(lab.machine.registerSession(A))
        yield* parked.reached
        return { parked, fiber }
      }),
    when: (lab, { fiber, parked }) =>
      Effect.gen(function*() {
        yield* Fiber.interrupt(fiber)
        yield* parked.release
        yield* lab.settle
        const left = { contained: yield* lab.machine.containsSession(A), fibers: yield* lab.machine.fiberCount }
        yield* lab.machine.registerSession(A)
        return left
      }),
    then: (lab, left) =>
      Effect.gen(function*() {
        assert.deepStrictEqual(left, { contained: false, fibers: 0 })
        assert.strictEqual(yield* stateOf(lab, A), "idle")
      })
  })
}

row("REG-16 a registration interrupted at any moment does not block the next registration", {
  given: nothing,
  when: ({ machine }) =>
    Effect.gen(function*() {
      for (let turns = 0; turns < 20; turns++) {
        const caller = yield* Effect.fork(machine.registerSession(A))
        for (let step = 0; step < turns; step++) yield* Effect.yieldNow()
        yield* Fiber.interrupt(caller)
        yield* machine.registerSession(A)
        yield* machine.unregisterSession(A)
      }
    }),
  then: (lab) => Effect.map(lab.machine.containsSession(A), (contained) => assert.isFalse(contained))
}, { seeds: 5 })

row("REG-17 a registration fails when its operations are unreadable", {
  given: (lab) =>
    Effect.gen(function*() {
      yield* lab.machine.registerSession(A)
      const { epochId } = yield* snapshotOf(lab, A)
      yield* lab.machine.unregisterSession(A)
      lab.faults.failOpen(new StoreCorrupt({ table: "operation", key: "o1", detail: "cannot be read" }))
      return { epochId, writes: lab.faults.commits().length }
    }),
  when: ({ machine }) => Effect.flip(machine.registerSession(A)),
  then: (lab, error, { epochId, writes }) =>
    Effect.gen(function*() {
      assert.strictEqual(error._tag, "Internal")
      assert.include(error.message, "operation")
      assert.strictEqual(lab.faults.commits().length, writes)
      yield* lab.machine.registerSession(A)
      assert.strictEqual((yield* snapshotOf(lab, A)).epochId, epochId)
    })
})

row("REG-18 the epoch is durable from the registration on", {
  given: (lab) => Effect.zipRight(lab.machine.registerSession(A), snapshotOf(lab, A)),
  when: (lab) =>
    Effect.gen(function*() {
      const cold = yield* lab.boot
      yield* cold.machine.registerSession(A)
      return yield* snapshotOf(cold, A)
    }),
  then: (_, after, before) =>
    Effect.sync(() => {
      assert.strictEqual(after.epochId, before.epochId)
      assert.isAbove(after.incarnation, before.incarnation)
    })
})

row("REG-20 a registration clears a dead loop", {
  given: (lab) =>
    Effect.gen(function*() {
      const { executor } = yield* lab.executor()
      yield* lab.machine.ensureSessionWithExecutor(A, executor)
      yield* lab.settle
      yield* killLoop(lab)
    }),
  when: ({ machine }) => machine.registerSession(A),
  then: (lab) =>
    Effect.gen(function*() {
      assert.isFalse(yield* lab.machine.sessionHasExecutor(A))
      assert.isFalse((yield* snapshotOf(lab, A)).attachmentLive)
      assert.strictEqual(yield* stateOf(lab, A), "idle")
    })
})

row("REG-21 silent intents are a sorted set", {
  given: ({ machine }) => machine.registerSession(A),
  when: ({ machine }) => machine.setSessionSilentIntents(A, ["b", "a", "a"]),
  then: (lab) =>
    Effect.map(snapshotOf(lab, A), ({ silentIntents }) => assert.deepStrictEqual(silentIntents, ["a", "b"]))
})

row("REG-23 silent intents of an unknown or destroyed session are refused", {
  given: ({ machine }) => Effect.zipRight(machine.registerSession(B), machine.destroyRuntime(B)),
  when: ({ machine }) =>
    Effect.all([
      failing(machine.setSessionSilentIntents(A, ["a"])),
      failing(machine.setSessionSilentIntents(B, ["a"]))
    ]),
  then: (_, errors) => Effect.sync(() => assert.deepStrictEqual(errors, ["NotReady{destroyed}", "Destroyed"]))
})
