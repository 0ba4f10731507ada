/** INT: stopping a session: hooks, the running turn, durable end, errors. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { ControlFailed } from "../../src/domain/Errors.js"
import { inputId, prompt } from "../support/inputs.js"
import type { Lab } from "./driver.js"
import { A, failing, row, stateOf, storedPhases, storedState } from "./driver.js"
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

const stop = ({ machine }: Lab) => machine.stopRuntimeExecutor(A, "enough")

/** Stops a session whose stop hook waits for a latch. */
const stopping = (lab: Lab) =>
  Effect.gen(function*() {
    const latch = yield* lab.latch
    const reached = yield* lab.latch
    const executor = yield* lab.executor({
      stop: Effect.zipRight(reached.open, latch.await),
      hardCancel: () => Effect.void
    })
    yield* ensure(lab, executor)
    yield* lab.settle
    const call = yield* Effect.forkScoped(Effect.either(stop(lab)))
    yield* reached.await
    yield* lab.settle
    return { executor, latch, call }
  })

// A request ends with its run, so that nothing is left to deliver before the next run. This overrides the row (D16).
row("INT-10 a request to yield that its run ignored reaches no other run", {
  given: (lab) => runningWith([prompt(1), prompt(2)])(lab),
  when: (lab, { executor, waiters }) =>
    Effect.gen(function*() {
      yield* lab.machine.cancelAfterBoundary(A, "others wait")
      yield* lab.settle
      yield* executor.open
      const outcomes = yield* everybody(waiters)
      const second = yield* executor.started(2)
      const asked = yield* Effect.forkScoped(second.boundaryRequested)
      yield* lab.advance("1 hour")
      return { outcomes, asked: asked.unsafePoll() }
    }),
  then: (_, { asked, outcomes }, { executor }) =>
    Effect.sync(() => {
      assert.deepStrictEqual(outcomes.map(({ _tag }) => _tag), ["Completed", "Completed"])
      assert.deepStrictEqual([asked, executor.counts().cancelBoundary], [null, 1])
    })
})

row("INT-17 stopping an idle loop calls the hook, commits the end, tells the waiters and cleans up", {
  given: (lab) =>
    Effect.gen(function*() {
      const calls: Array<string> = []
      const note = (what: string) =>
        Effect.flatMap(storedState(lab, A), (state) => Effect.sync(() => void calls.push(`${what}: ${state}`)))
      const executor = yield* lab.executor({ stop: note("stop"), cleanup: note("cleanup") })
      yield* ensure(lab, executor)
      yield* lab.machine.acceptInputWithoutWake(A, prompt(1))
      const waiter = yield* waiting(lab, prompt(1))
      return { calls, executor, waiter }
    }),
  when: stop,
  then: (lab, report, { calls, executor, waiter }) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(report, { inputsAbandoned: 1, joined: true })
      assert.deepStrictEqual(yield* Fiber.join(waiter), terminated("runtime stopped"))
      assert.deepStrictEqual(calls, ["stop: idle", "cleanup: stopped"])
      assert.deepStrictEqual([executor.counts().stop, executor.counts().cleanup], [1, 1])
      assert.deepStrictEqual(yield* terminalOf(lab, inputId(1)), { type: "abandoned", reason: { type: "stopped" } })
      assert.deepStrictEqual([yield* stateOf(lab, A), yield* storedState(lab, A)], ["stopped", "stopped"])
      assert.isFalse(yield* lab.machine.sessionHasExecutor(A))
    })
})

row("INT-18 a stop lets the current run end before the session stops", {
  given: (lab) => runningWith([prompt(1), prompt(2)])(lab),
  when: (lab, { executor }) =>
    Effect.gen(function*() {
      const call = yield* Effect.forkScoped(stop(lab))
      yield* lab.settle
      const early = [call.unsafePoll(), executor.counts().stop, yield* stateOf(lab, A)]
      yield* executor.open
      return { early, report: yield* Fiber.join(call) }
    }),
  then: (lab, { early, report }, { executor, waiters }) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(early, [null, 0, "running"])
      assert.deepStrictEqual(report, { inputsAbandoned: 1, joined: true })
      assert.deepStrictEqual(yield* everybody(waiters), [
        { _tag: "Completed", result: { text: "answer 1" } },
        terminated("runtime stopped")
      ])
      assert.deepStrictEqual([executor.counts().apply, executor.counts().stop], [1, 1])
      assert.deepStrictEqual(yield* storedPhases(lab, A), ["consumed", "abandoned"])
      assert.deepStrictEqual([yield* stateOf(lab, A), yield* storedState(lab, A)], ["stopped", "stopped"])
    })
})

row("INT-19 a stop returns once the session has stopped, and fails with the error of its hook", {
  given: (lab) =>
    Effect.gen(function*() {
      const failed = Effect.fail(new ControlFailed({ detail: "stuck" }))
      const { executor, waiters } = yield* runningWith([prompt(1), prompt(2)], { stop: failed })(lab)
      return { executor, waiters, call: yield* Effect.forkScoped(Effect.either(stop(lab))) }
    }),
  when: (lab, { call, executor }) =>
    Effect.gen(function*() {
      yield* lab.settle
      const early = call.unsafePoll()
      yield* executor.open
      return { early, result: yield* Fiber.join(call) }
    }),
  then: (lab, { early, result }, { waiters }) =>
    Effect.gen(function*() {
      assert.isNull(early)
      assert.isTrue(result._tag === "Left" && result.left._tag === "Internal" && result.left.message.includes("stuck"))
      // The session is idle, and queued inputs stay queued (D25).
      assert.deepStrictEqual([yield* stateOf(lab, A), yield* storedState(lab, A)], ["idle", "idle"])
      assert.deepStrictEqual((yield* everybody(waiters))[1], terminated("runtime loop exited"))
    })
})

row("INT-19 a stop fails when its commit fails", {
  given: (lab) => idleWith(prompt(1))(lab),
  when: (lab) => {
    lab.faults.failCommit(ioError)
    return failing(stop(lab))
  },
  then: (lab, error, waiters) =>
    Effect.gen(function*() {
      assert.deepStrictEqual([error, yield* stateOf(lab, A), pendingOf(waiters)], ["Internal", "idle", 1])
    })
})

row("INT-20 a stop abandons the queue of a session without a loop", {
  given: (lab) => idleWith(prompt(1), prompt(2))(lab),
  when: stop,
  then: (lab, report, waiters) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(report, { inputsAbandoned: 2, joined: true })
      assert.deepStrictEqual(yield* everybody(waiters), [1, 2].map(() => terminated("runtime stopped")))
      assert.deepStrictEqual([yield* stateOf(lab, A), yield* storedState(lab, A)], ["stopped", "stopped"])
      assert.deepStrictEqual(yield* storedPhases(lab, A), ["abandoned", "abandoned"])
    })
})

row("INT-21 the session stays attached while the stop hook runs", {
  given: stopping,
  when: (lab, { latch, call }) =>
    Effect.gen(function*() {
      const seen = [
        yield* lab.machine.sessionHasExecutor(A),
        yield* stateOf(lab, A),
        yield* storedState(lab, A),
        // The request still finds the session attached and without a run.
        yield* failing(lab.machine.hardCancelCurrentRun(A, "now"))
      ]
      yield* latch.open
      yield* Fiber.join(call)
      return seen
    }),
  then: (lab, seen) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(seen, [true, "attached", "idle", "NotReady{attached}"])
      assert.strictEqual(yield* stateOf(lab, A), "stopped")
    })
})

row("INT-22 a session is stopped once the commit of the stop is durable", {
  given: (lab) => Effect.tap(lab.executor(), (executor) => Effect.zipRight(ensure(lab, executor), lab.settle)),
  when: (lab, executor) =>
    Effect.gen(function*() {
      const parked = lab.faults.park("commit")
      const call = yield* Effect.forkScoped(stop(lab))
      yield* parked.reached
      yield* lab.settle
      const seen = [yield* stateOf(lab, A), executor.counts().cleanup, call.unsafePoll()]
      yield* parked.release
      yield* Fiber.join(call)
      return seen
    }),
  then: (lab, seen, executor) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(seen, ["attached", 0, null])
      assert.deepStrictEqual([yield* stateOf(lab, A), executor.counts().cleanup], ["stopped", 1])
    })
})

row("INT-23 a stop whose commit fails leaves the session usable", {
  given: (lab) => Effect.tap(lab.executor(), (executor) => Effect.zipRight(ensure(lab, executor), lab.settle)),
  when: (lab) => {
    lab.faults.failCommit(ioError)
    return failing(stop(lab))
  },
  then: (lab, error, executor) =>
    Effect.gen(function*() {
      assert.strictEqual(error, "Internal")
      assert.notStrictEqual(yield* stateOf(lab, A), "stopped")
      assert.strictEqual(yield* storedState(lab, A), "idle")
      assert.strictEqual(executor.counts().cleanup, 0)
      assert.isTrue(yield* lab.machine.containsSession(A))
      yield* ensure(lab, yield* lab.executor())
      assert.deepInclude(yield* Fiber.join(yield* waiting(lab, prompt(1))), { _tag: "Completed" })
    })
})

row("INT-24 a stop hook that fails ends the loop, and no queued input runs", {
  given: (lab) =>
    runningWith([prompt(1), prompt(2)], { stop: Effect.fail(new ControlFailed({ detail: "stuck" })) })(lab),
  when: (lab, { executor }) => Effect.zipRight(executor.open, failing(stop(lab))),
  then: (lab, error, { executor }) =>
    Effect.gen(function*() {
      // The run may have ended before the stop, and the next run may have begun.
      const begun = executor.counts().apply
      yield* lab.advance("1 hour")
      assert.deepStrictEqual([error, executor.counts().apply], ["Internal", begun])
      assert.deepStrictEqual([yield* stateOf(lab, A), yield* lab.machine.sessionHasExecutor(A)], ["idle", false])
      assert.deepStrictEqual(
        yield* storedPhases(lab, A),
        [1, 2].map((n) => n <= begun ? "consumed" : "queued")
      )
    })
})

row("INT-26 a stopped session refuses inputs, cancels and stops", {
  given: (lab) => Effect.zipRight(lab.machine.registerSession(A), stop(lab)),
  when: (lab) =>
    Effect.all([
      failing(lab.machine.hardCancelCurrentRun(A, "x")),
      failing(lab.machine.acceptInput(A, prompt(1))),
      failing(stop(lab))
    ]),
  then: (lab, errors) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(errors, ["NotReady{stopped}", "NotReady{stopped}", "ValidationFailed"])
      assert.strictEqual(yield* stateOf(lab, A), "stopped")
    })
})

row("INT-26 one of two concurrent stops succeeds, and the other is refused", {
  given: (lab) => idleWith(prompt(1))(lab),
  when: (lab) => Effect.all([failing(stop(lab)), failing(stop(lab))], { concurrency: "unbounded" }),
  then: (_, answers) => Effect.sync(() => assert.deepStrictEqual(answers.toSorted(), ["ValidationFailed", "success"]))
})

row("INT-27 a destroy beside a stop wins, and every waiter is told once", {
  given: (lab) => runningWith([prompt(1), prompt(2)])(lab),
  when: (lab, { executor }) =>
    Effect.gen(function*() {
      const stopped = yield* Effect.forkScoped(failing(stop(lab)))
      const destroyed = yield* Effect.forkScoped(failing(lab.machine.destroyRuntime(A)))
      yield* executor.open
      return { stopped: yield* Fiber.join(stopped), destroyed: yield* Fiber.join(destroyed) }
    }),
  then: (lab, { destroyed, stopped }, { executor, waiters }) =>
    Effect.gen(function*() {
      assert.strictEqual(destroyed, "success")
      // A stop that begins after the destroy conflicts with it.
      assert.include(["success", "Destroyed", "ValidationFailed"], stopped)
      assert.deepStrictEqual([yield* stateOf(lab, A), yield* storedState(lab, A)], ["destroyed", "destroyed"])
      for (const outcome of yield* everybody(waiters)) {
        assert.include(
          ["runtime destroyed", "runtime stopped", "answer 1", "answer 2"],
          "reason" in outcome ? outcome.reason : "result" in outcome ? outcome.result.text : outcome._tag
        )
      }
      assert.deepStrictEqual([executor.counts().stop, executor.counts().cleanup], [1, 1])
    })
})

row("INT-27 a destroy during the cleanup hook of a stop does not call the hook again", {
  given: (lab) =>
    Effect.gen(function*() {
      const latch = yield* lab.latch
      const reached = yield* lab.latch
      const executor = yield* lab.executor({ cleanup: Effect.zipRight(reached.open, latch.await) })
      yield* ensure(lab, executor)
      yield* lab.settle
      const stopped = yield* Effect.forkScoped(failing(stop(lab)))
      yield* reached.await
      return { executor, latch, stopped }
    }),
  when: (lab, { latch, stopped }) =>
    Effect.gen(function*() {
      const destroyed = yield* Effect.forkScoped(failing(lab.machine.destroyRuntime(A)))
      yield* lab.settle
      yield* latch.open
      return [yield* Fiber.join(stopped), yield* Fiber.join(destroyed)]
    }),
  then: (lab, answers, { executor }) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(answers, ["success", "success"])
      assert.deepStrictEqual([executor.counts().stop, executor.counts().cleanup], [1, 1])
      assert.strictEqual(yield* stateOf(lab, A), "destroyed")
    })
})
