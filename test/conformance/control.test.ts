/** CTL: retire, recycle, reset, recover and destroy through the control plane. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type { RuntimeDriverError } from "../../src/domain/Errors.js"
import type { LatchedExecutor } from "../../src/testkit/index.js"
import { continuation, inputId, peer, progress, prompt, runId, silentRequest } from "../support/inputs.js"
import type { Lab } from "./driver.js"
import { A, failing, nothing, rid, row, snapshotOf, stateOf, storedPhases, storedState } from "./driver.js"
import {
  ensure,
  everybody,
  idleWith,
  ioError,
  pendingOf,
  runningWith,
  terminalOf,
  terminated,
  waiting
} from "./steps.js"

const retire = (lab: Lab) => lab.control.retire(rid(A))

row("CTL-01 retire abandons the queue when the session has no loop", {
  given: idleWith(prompt(1), prompt(2), prompt(3)),
  when: retire,
  then: (lab, report, waiters) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(report, { inputsAbandoned: 3, inputsPendingDrain: 0 })
      assert.deepStrictEqual(yield* everybody(waiters), [1, 2, 3].map(() => terminated("retired without runtime loop")))
      assert.deepStrictEqual(yield* terminalOf(lab, inputId(1)), { type: "abandoned", reason: { type: "retired" } })
      assert.deepStrictEqual([yield* stateOf(lab, A), yield* storedState(lab, A)], ["retired", "retired"])
    })
})

row("CTL-02 retire drains inputs that never woke the loop", {
  given: (lab) =>
    Effect.gen(function*() {
      const executor = yield* lab.executor()
      yield* ensure(lab, executor)
      const waiters = yield* Effect.forEach([1, 2], (n) => waiting(lab, peer(n, progress)))
      yield* lab.settle
      assert.strictEqual(executor.counts().apply, 0)
      return { executor, waiters }
    }),
  when: retire,
  then: (lab, report, { executor, waiters }) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(report, { inputsAbandoned: 0, inputsPendingDrain: 2 })
      for (const outcome of yield* everybody(waiters)) assert.deepInclude(outcome, { _tag: "Completed" })
      const ran = executor.turns().flatMap(({ inputs }) => inputs.map(({ header }) => header.id))
      assert.deepStrictEqual(ran.toSorted(), [inputId(1), inputId(2)])
      assert.strictEqual(yield* stateOf(lab, A), "retired")
    })
})

row("CTL-04 a stopped session cannot be retired", {
  given: ({ machine }) => Effect.zipRight(machine.registerSession(A), machine.stopRuntimeExecutor(A, "enough")),
  when: (lab) => Effect.either(retire(lab)),
  then: (lab, result) =>
    Effect.gen(function*() {
      const error = Option.getOrThrow(Either.getLeft(result))
      assert.deepInclude(error, { _tag: "InvalidState", state: "stopped" })
      assert.include(error.message, "retire")
      assert.include(error.message, "stopped")
      assert.deepStrictEqual([yield* stateOf(lab, A), yield* storedState(lab, A)], ["stopped", "stopped"])
    })
})

row("CTL-05 a retired session accepts no input", {
  given: ({ machine }) => Effect.zipRight(machine.registerSession(A), machine.retireRuntime(A)),
  when: ({ control, machine }) =>
    Effect.all([failing(machine.acceptInput(A, prompt(1))), failing(control.ingest(rid(A), prompt(1)))]),
  then: (lab, errors) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(errors, ["NotReady{retired}", "InvalidState{retired}"])
      assert.deepStrictEqual(yield* storedPhases(lab, A), [])
    })
})

row("CTL-06 two concurrent retirements are stored once", {
  given: (lab) => Effect.map(idleWith(prompt(1))(lab), () => lab.faults.writes()),
  when: (lab) => Effect.all([retire(lab), retire(lab)], { concurrency: "unbounded" }),
  then: (lab, reports, before) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(reports.map(({ inputsAbandoned }) => inputsAbandoned).toSorted(), [0, 1])
      assert.strictEqual(lab.faults.writes() - before, 1)
      assert.strictEqual(yield* stateOf(lab, A), "retired")
    })
})

row("CTL-07 retire changes nothing when its commit fails", {
  given: idleWith(prompt(1), prompt(2)),
  when: (lab) => {
    lab.faults.failCommit(ioError)
    return failing(retire(lab))
  },
  then: (lab, error, waiters) =>
    Effect.gen(function*() {
      assert.strictEqual(error, "StoreError")
      assert.deepStrictEqual([yield* stateOf(lab, A), yield* storedState(lab, A)], ["idle", "idle"])
      assert.deepStrictEqual(yield* lab.machine.listActiveInputs(A), [inputId(1), inputId(2)])
      assert.deepStrictEqual(yield* storedPhases(lab, A), ["queued", "queued"])
      assert.strictEqual(pendingOf(waiters), 2)
      assert.deepStrictEqual(yield* retire(lab), { inputsAbandoned: 2, inputsPendingDrain: 0 })
    })
})

row("CTL-08 retire drains silent inputs when the session has a loop", {
  given: (lab) =>
    Effect.gen(function*() {
      const executor = yield* lab.executor()
      yield* ensure(lab, executor)
      yield* lab.machine.setSessionSilentIntents(A, ["hush"])
      const waiters = yield* Effect.forEach([1, 2], (n) => waiting(lab, peer(n, silentRequest)))
      yield* lab.settle
      assert.strictEqual(executor.counts().apply, 0)
      return waiters
    }),
  when: retire,
  then: (lab, report, waiters) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(report, { inputsAbandoned: 0, inputsPendingDrain: 2 })
      for (const outcome of yield* everybody(waiters)) assert.deepInclude(outcome, { _tag: "Completed" })
      assert.deepStrictEqual(yield* storedPhases(lab, A), ["consumed", "consumed"])
    })
})

const queuedIds = (lab: Lab) =>
  Effect.map(snapshotOf(lab, A), ({ queue }) => queue.map((input) => [input.inputId, input.phase]))

row("CTL-09 recycle keeps the queue, its order and its waiters", {
  given: idleWith(prompt(2), prompt(1)),
  when: ({ control }) => control.recycle(rid(A)),
  then: (lab, report, waiters) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(report, { inputsTransferred: 2 })
      assert.deepStrictEqual(yield* queuedIds(lab), [[inputId(2), "queued"], [inputId(1), "queued"]])
      assert.strictEqual(yield* stateOf(lab, A), "idle")
      assert.strictEqual(pendingOf(waiters), 2)
      yield* ensure(lab, yield* lab.executor())
      assert.deepStrictEqual(yield* everybody(waiters), [
        { _tag: "Completed", result: { text: "answer 1" } },
        { _tag: "Completed", result: { text: "answer 2" } }
      ])
    })
})

row("CTL-09 recycle queues the undrained inputs of a retired session", {
  given: (lab) =>
    Effect.gen(function*() {
      yield* runningWith([prompt(2), prompt(1)])(lab)
      yield* retire(lab)
      yield* lab.machine.unregisterSession(A)
      yield* lab.machine.registerSession(A)
      assert.strictEqual(yield* stateOf(lab, A), "retired")
    }),
  when: ({ control }) => control.recycle(rid(A)),
  then: (lab, report) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(report, { inputsTransferred: 2 })
      assert.deepStrictEqual(yield* queuedIds(lab), [[inputId(2), "queued"], [inputId(1), "queued"]])
      assert.deepStrictEqual([yield* stateOf(lab, A), yield* storedState(lab, A)], ["idle", "idle"])
      yield* ensure(lab, yield* lab.executor())
      yield* lab.settle
      assert.deepStrictEqual(yield* storedPhases(lab, A), ["consumed", "consumed"])
    })
})

// The phase of a session with a live loop is `attached` (D24).
row("CTL-09 recycle leaves an attached session attached, and its inputs run", {
  given: (lab) => Effect.zipRight(Effect.flatMap(lab.executor(), (executor) => ensure(lab, executor)), lab.settle),
  when: (lab) => Effect.zip(lab.control.recycle(rid(A)), stateOf(lab, A)),
  then: (lab, answer) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(answer, [{ inputsTransferred: 0 }, "attached"])
      assert.deepInclude(yield* Fiber.join(yield* waiting(lab, prompt(1))), { _tag: "Completed" })
    })
})

row("CTL-11 recycle is refused for a running or destroyed session", {
  given: (lab) => runningWith()(lab),
  when: (lab, { executor }) =>
    Effect.gen(function*() {
      const running = yield* failing(lab.control.recycle(rid(A)))
      const unchanged = yield* stateOf(lab, A)
      yield* executor.open
      yield* lab.control.destroy(rid(A))
      return [running, unchanged, yield* failing(lab.control.recycle(rid(A))), yield* stateOf(lab, A)]
    }),
  then: (_, seen) =>
    Effect.sync(() =>
      assert.deepStrictEqual(seen, ["InvalidState{running}", "running", "InvalidState{destroyed}", "destroyed"])
    )
})

row("CTL-12 the session stays retired when the commit of recycle fails", {
  given: ({ machine }) => Effect.zipRight(machine.registerSession(A), machine.retireRuntime(A)),
  when: (lab) => {
    lab.faults.failCommit(ioError)
    return failing(lab.control.recycle(rid(A)))
  },
  then: (lab, error) =>
    Effect.gen(function*() {
      assert.strictEqual(error, "StoreError")
      assert.deepStrictEqual([yield* stateOf(lab, A), yield* storedState(lab, A)], ["retired", "retired"])
      assert.strictEqual(yield* failing(lab.machine.acceptInput(A, prompt(1))), "NotReady{retired}")
      yield* lab.control.recycle(rid(A))
      assert.strictEqual(yield* stateOf(lab, A), "idle")
    })
})

for (const phase of ["idle", "attached"] as const) {
  // An attached session stays attached, which overrides the row (D24).
  row(`CTL-13 reset abandons both lanes (${phase})`, {
    given: (lab) =>
      Effect.gen(function*() {
        const executor = yield* lab.executor()
        if (phase === "attached") yield* ensure(lab, executor)
        else yield* lab.machine.registerSession(A)
        yield* lab.machine.setSessionSilentIntents(A, ["hush"])
        const inputs = phase === "attached"
          ? [peer(1, silentRequest), peer(2, progress)]
          : [prompt(1), continuation(2)]
        return { executor, waiters: yield* Effect.forEach(inputs, (input) => waiting(lab, input)) }
      }),
    when: ({ control }) => control.reset(rid(A)),
    then: (lab, report, { executor, waiters }) =>
      Effect.gen(function*() {
        assert.deepInclude(report, { inputsAbandoned: 2 })
        assert.deepStrictEqual(yield* everybody(waiters), [1, 2].map(() => terminated("runtime reset")))
        assert.deepStrictEqual(yield* terminalOf(lab, inputId(2)), { type: "abandoned", reason: { type: "reset" } })
        const { queue, state, steer } = yield* snapshotOf(lab, A)
        assert.deepStrictEqual([queue, steer, state], [[], [], phase])
        yield* lab.settle
        assert.deepStrictEqual([executor.counts().apply, executor.counts().stop], [0, 0])
      })
  })
}

// A session with a live loop comes back attached, which overrides the row (D24).
row("CTL-15 reset makes a retired session usable again", {
  given: ({ machine }) => Effect.zipRight(machine.registerSession(A), machine.retireRuntime(A)),
  when: (lab) => Effect.zipRight(lab.control.reset(rid(A)), stateOf(lab, A)),
  then: (lab, state) =>
    Effect.gen(function*() {
      assert.deepStrictEqual([state, yield* storedState(lab, A)], ["idle", "idle"])
      assert.strictEqual((yield* lab.machine.acceptInput(A, prompt(1)))._tag, "Accepted")
    })
})

for (const phase of ["idle", "running", "retired"] as const) {
  row(`CTL-17 destroy ends every input (${phase})`, {
    given: (lab) =>
      Effect.gen(function*() {
        if (phase === "idle") return yield* idleWith(prompt(1), prompt(2))(lab)
        const { waiters } = yield* runningWith([prompt(1), prompt(2)])(lab)
        if (phase === "retired") yield* retire(lab)
        return waiters
      }),
    when: ({ control }) => control.destroy(rid(A)),
    then: (lab, report, waiters) =>
      Effect.gen(function*() {
        assert.deepInclude(report, { inputsAbandoned: 2 })
        assert.deepStrictEqual(yield* everybody(waiters), [1, 2].map(() => terminated("runtime destroyed")))
        assert.deepStrictEqual(yield* terminalOf(lab, inputId(1)), { type: "abandoned", reason: { type: "destroyed" } })
        const { queue, staged, state, steer } = yield* snapshotOf(lab, A)
        assert.deepStrictEqual([queue, steer, staged, state], [[], [], [], "destroyed"])
        assert.strictEqual(yield* storedState(lab, A), "destroyed")
      })
  })
}

row("CTL-18 a destroy becomes visible only after its commit is durable", {
  given: (lab) => idleWith(prompt(1))(lab),
  when: (lab, waiters) =>
    Effect.gen(function*() {
      const parked = lab.faults.park("commit")
      const call = yield* Effect.forkScoped(lab.control.destroy(rid(A)))
      yield* parked.reached
      yield* lab.settle
      const seen = [yield* stateOf(lab, A), yield* storedState(lab, A), pendingOf(waiters)]
      yield* parked.release
      yield* Fiber.join(call)
      return seen
    }),
  then: (lab, seen, waiters) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(seen, ["idle", "idle", 1])
      assert.strictEqual(yield* stateOf(lab, A), "destroyed")
      assert.deepStrictEqual(yield* everybody(waiters), [terminated("runtime destroyed")])
    })
})

row("CTL-19 destroy changes nothing when its commit fails", {
  given: (lab) => Effect.zipLeft(runningWith([prompt(1), prompt(2)])(lab), lab.advance("1 second")),
  when: (lab) => {
    lab.faults.failCommit(ioError)
    return failing(lab.control.destroy(rid(A)))
  },
  then: (lab, error, { executor, waiters }) =>
    Effect.gen(function*() {
      assert.strictEqual(error, "StoreError")
      assert.deepStrictEqual([yield* stateOf(lab, A), yield* storedState(lab, A)], ["running", "idle"])
      assert.deepStrictEqual([pendingOf(waiters), executor.counts().interrupted, executor.counts().stop], [2, 0, 0])
      yield* executor.open
      assert.deepStrictEqual(yield* everybody(waiters), [
        { _tag: "Completed", result: { text: "answer 1" } },
        { _tag: "Completed", result: { text: "answer 2" } }
      ])
    })
})

row("CTL-20 destroy ends the run, joins the loop and calls each hook once", {
  given: (lab) => runningWith([prompt(1), prompt(2)])(lab),
  when: (lab) =>
    Effect.gen(function*() {
      yield* lab.control.destroy(rid(A))
      return { ended: lab.loops().every((loop) => loop.unsafePoll() !== null), writes: lab.faults.writes() }
    }),
  then: (lab, { ended, writes }, { executor }) =>
    Effect.gen(function*() {
      assert.isTrue(ended)
      const { apply, cleanup, interrupted, stop } = executor.counts()
      assert.deepStrictEqual({ apply, interrupted, stop, cleanup }, { apply: 1, interrupted: 1, stop: 1, cleanup: 1 })
      yield* executor.open
      yield* lab.advance("1 hour")
      assert.strictEqual(lab.faults.writes(), writes)
      assert.isFalse(yield* lab.machine.sessionHasExecutor(A))
    })
})

row("CTL-24 every command fails with NotFound when the runtime id is unknown", {
  given: nothing,
  when: ({ control }) =>
    Effect.all([
      failing(control.ingest(rid(A), prompt(1))),
      failing(control.retire(rid(A))),
      failing(control.recycle(rid(A))),
      failing(control.reset(rid(A))),
      failing(control.recover(rid(A))),
      failing(control.destroy(rid(A))),
      failing(control.runtimeState(rid(A))),
      failing(control.loadBoundaryReceipt(rid(A), runId(1), 0))
    ]),
  then: (lab, errors) =>
    Effect.sync(() => {
      for (const error of errors) assert.strictEqual(error, "NotFound")
      assert.strictEqual(lab.faults.writes(), 0)
    })
})

type Race = (lab: Lab, executor: LatchedExecutor.LatchedExecutor) => Effect.Effect<unknown, RuntimeDriverError>

const races: Record<string, Race> = {
  "the end of a run": (_, executor) => executor.open,
  "an accept": ({ machine }) => Effect.ignore(machine.acceptInput(A, prompt(9))),
  "an attachment": (lab) => Effect.flatMap(lab.executor(), (other) => Effect.ignore(ensure(lab, other)))
}

for (const [name, race] of Object.entries(races)) {
  row(`CTL-25 retire beside ${name} answers every waiter`, {
    given: (lab) => runningWith([prompt(1), prompt(2)])(lab),
    when: (lab, { executor }) =>
      Effect.gen(function*() {
        const [report] = yield* Effect.all([retire(lab), race(lab, executor)], { concurrency: "unbounded" })
        yield* executor.open
        return report
      }),
    then: (lab, report, { waiters }) =>
      Effect.gen(function*() {
        assert.strictEqual(report.inputsAbandoned, 0)
        for (const outcome of yield* everybody(waiters)) assert.deepInclude(outcome, { _tag: "Completed" })
        yield* lab.settle
        assert.strictEqual(yield* stateOf(lab, A), "retired")
        assert.deepStrictEqual(yield* lab.machine.listActiveInputs(A), [])
      })
  })
}

for (const verb of ["reset", "recover", "recycle", "retire"] as const) {
  row(`CTL-28 ${verb} beside the begin of a run takes effect before it or after it`, {
    given: (lab) =>
      Effect.gen(function*() {
        const executor = yield* lab.executor({ held: true })
        yield* ensure(lab, executor)
        return executor
      }),
    when: (lab, executor) =>
      Effect.gen(function*() {
        const [waiter, answer] = yield* Effect.all(
          [waiting(lab, prompt(1)), failing(lab.control[verb](rid(A)))],
          { concurrency: "unbounded" }
        )
        yield* lab.settle
        const snapshot = yield* snapshotOf(lab, A)
        yield* executor.open
        return { answer, snapshot, outcome: yield* Fiber.join(waiter) }
      }).pipe(Effect.either),
    then: (lab, result, executor) =>
      Effect.gen(function*() {
        yield* lab.settle
        const { apply } = executor.counts()
        // The accept fails only if the session was retired before it.
        if (Either.isLeft(result)) return assert.deepStrictEqual([verb, apply], ["retire", 0])
        const { answer, outcome, snapshot } = result.right
        assert.include(["success", "InvalidState{running}"], answer)
        assert.strictEqual(snapshot.staged.length, snapshot.currentRunId === null ? 0 : 1)
        if (outcome._tag === "RuntimeTerminated") {
          assert.deepStrictEqual([verb, answer, apply], ["reset", "success", 0])
        } else {
          assert.deepStrictEqual([outcome._tag, apply], ["Completed", 1])
        }
        assert.deepStrictEqual(yield* lab.machine.listActiveInputs(A), [])
      })
  })
}
