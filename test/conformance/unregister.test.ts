/** UNR: unregistering a session: its loop, its runs, its waiters, its operations, and races with other calls. */
import { assert } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Turn from "../../services/Turn.js"
import type { CompletionOutcome } from "../../src/domain/Completion.js"
import type { Input } from "../../src/domain/Input.js"
import type { OperationOutcome } from "../../src/domain/Operation.js"
import { StoreIo } from "../../src/domain/StoreErrors.js"
import type { LatchedExecutor } from "../../src/testkit/index.js"
import { inputId, prompt } from "../support/inputs.js"
import type { Lab } from "./driver.js"
import {
  A,
  B,
  failing,
  nothing,
  rid,
  row,
  snapshotOf,
  stateOf,
  storedInputs,
  storedPhases,
  storedState
} from "./driver.js"

const ended: CompletionOutcome = { _tag: "RuntimeTerminated", reason: "runtime session unregistered" }

const ensure = (lab: Lab, { executor }: LatchedExecutor.LatchedExecutor) =>
  lab.machine.ensureSessionWithExecutor(A, executor)

/** Accepts an input, and forks a fiber that waits for its outcome. */
const waiting = (lab: Lab, input: Input) =>
  Effect.gen(function*() {
    const { completion } = yield* lab.machine.acceptInputWithCompletion(A, input)
    return yield* Effect.forkScoped(Effect.flatMap(completion, ({ wait }) => wait))
  })

/** A session in the middle of a run that waits for its latch. */
const running = (options: LatchedExecutor.LatchedOptions = {}) => (lab: Lab) =>
  Effect.gen(function*() {
    const executor = yield* lab.executor({ held: true, ...options })
    yield* ensure(lab, executor)
    const waiter = yield* waiting(lab, prompt(1))
    yield* executor.started(1)
    return { executor, waiter }
  })

/** Begins an unregistration that waits in the stop hook. */
const tearing = (lab: Lab) =>
  Effect.gen(function*() {
    const latch = yield* lab.latch
    const reached = yield* lab.latch
    const executor = yield* lab.executor({ stop: Effect.zipRight(reached.open, latch.await) })
    yield* ensure(lab, executor)
    yield* lab.settle
    const fiber = yield* Effect.forkScoped(lab.machine.unregisterSession(A))
    yield* reached.await
    return { latch, executor, fiber }
  })

row("UNR-01 an unregistered session is unknown to the machine", {
  given: ({ machine }) => machine.registerSession(A),
  when: ({ machine }) => machine.unregisterSession(A),
  then: ({ machine }) =>
    Effect.gen(function*() {
      assert.isFalse(yield* machine.containsSession(A))
      assert.strictEqual(yield* failing(machine.runtimeState(A)), "NotReady{destroyed}")
      assert.strictEqual(yield* failing(machine.acceptInput(A, prompt(1))), "NotReady{destroyed}")
    })
})

row("UNR-02 an unknown session cannot be unregistered", {
  given: nothing,
  when: ({ machine }) => failing(machine.unregisterSession(A)),
  then: (_, error) => Effect.sync(() => assert.strictEqual(error, "NotReady{destroyed}"))
})

row("UNR-03 an unregistration answers every waiter", {
  given: (lab) =>
    Effect.gen(function*() {
      yield* lab.machine.registerSession(A)
      return yield* Effect.forEach([prompt(1), prompt(1), prompt(2)], (input) => waiting(lab, input))
    }),
  when: ({ machine }, waiters) => Effect.zipRight(machine.unregisterSession(A), Fiber.join(Fiber.all(waiters))),
  then: (_, outcomes) => Effect.sync(() => assert.deepStrictEqual(Array.from(outcomes), [ended, ended, ended]))
})

row("UNR-05 queued inputs stay queued", {
  given: (lab) =>
    Effect.gen(function*() {
      yield* lab.machine.registerSession(A)
      yield* lab.machine.acceptInput(A, prompt(1))
      yield* lab.machine.acceptInput(A, prompt(2))
    }),
  when: ({ machine }) => Effect.zipRight(machine.unregisterSession(A), machine.registerSession(A)),
  then: (lab) =>
    Effect.gen(function*() {
      const { queue } = yield* snapshotOf(lab, A)
      assert.deepStrictEqual(queue.map(({ inputId, phase }) => [inputId, phase]), [
        [inputId(1), "queued"],
        [inputId(2), "queued"]
      ])
      assert.deepStrictEqual(yield* storedPhases(lab, A), ["queued", "queued"])
    })
})

row("UNR-06 an unregistration ends and joins an idle loop", {
  given: (lab) => Effect.tap(lab.executor(), (executor) => Effect.zipRight(ensure(lab, executor), lab.settle)),
  when: (lab) =>
    Effect.gen(function*() {
      const report = yield* lab.machine.unregisterSession(A)
      return { report, ended: lab.loops().every((loop) => loop.unsafePoll() !== null) }
    }),
  then: (lab, outcome, executor) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(outcome, {
        report: { requeued: 0, terminatedOperations: 0, forced: false, joined: true },
        ended: true
      })
      assert.strictEqual(executor.counts().stop, 1)
      yield* lab.settle
      assert.strictEqual(yield* lab.machine.fiberCount, 0)
    })
})

row("UNR-06 the stop hook is called once when the closing commit fails first", {
  given: (lab) =>
    Effect.gen(function*() {
      const begin: LatchedExecutor.LatchedOptions["begin"] = ({ operations }) =>
        Effect.orDie(Effect.asVoid(operations.run(Effect.never, { displayName: "beside" })))
      const executor = yield* lab.executor({ begin })
      yield* ensure(lab, executor)
      yield* Effect.flatMap(waiting(lab, prompt(1)), Fiber.join)
      yield* lab.settle
      return executor
    }),
  when: (lab, executor) =>
    Effect.gen(function*() {
      const broken = new StoreIo({ operation: "commit", code: "EIO", detail: "the medium failed" })
      for (let nth = 1; nth < 20; nth++) lab.faults.failCommit(broken, { nth })
      const refused = yield* Effect.fork(failing(lab.machine.unregisterSession(A)))
      yield* lab.advance("31 seconds")
      const first = yield* Fiber.join(refused)
      yield* lab.faults.heal
      const between = [yield* lab.machine.sessionHasExecutor(A), executor.counts().stop]
      return { first, between, report: yield* lab.machine.unregisterSession(A) }
    }),
  then: (lab, { between, first, report }, executor) =>
    Effect.gen(function*() {
      assert.deepStrictEqual([first, between], ["Internal", [false, 0]])
      assert.strictEqual(report.terminatedOperations, 1)
      assert.strictEqual(executor.counts().stop, 1)
      assert.isFalse(yield* lab.machine.containsSession(A))
    })
})

row("UNR-18 a stop fails with NotReady when its session unregisters during its hook, and the hook finishes first", {
  given: (lab) =>
    Effect.gen(function*() {
      const latch = yield* lab.latch
      const reached = yield* lab.latch
      const ends: Array<string> = []
      const hook = Effect.zipRight(reached.open, latch.await).pipe(
        Effect.onExit((exit) => Effect.sync(() => void ends.push(exit._tag)))
      )
      yield* ensure(lab, yield* lab.executor({ stop: hook }))
      yield* lab.settle
      const stopped = yield* Effect.forkScoped(failing(lab.machine.stopRuntimeExecutor(A, "enough")))
      yield* reached.await
      return { latch, ends, stopped }
    }),
  when: (lab, { latch, stopped }) =>
    Effect.gen(function*() {
      const gone = yield* Effect.forkScoped(lab.machine.unregisterSession(A))
      yield* lab.settle
      const early = gone.unsafePoll()
      yield* latch.open
      return { early, stopped: yield* Fiber.join(stopped), report: yield* Fiber.join(gone) }
    }),
  then: (lab, { early, report, stopped }, { ends }) =>
    Effect.gen(function*() {
      assert.deepStrictEqual([early, ends, stopped], [null, ["Success"], "NotReady{destroyed}"])
      assert.isFalse(report.forced)
      assert.isFalse(yield* lab.machine.containsSession(A))
    })
})

row("UNR-01 a closed machine refuses to register a session", {
  given: (lab) => lab.close,
  when: ({ machine }) => failing(machine.registerSession(A)),
  then: ({ machine }, error) =>
    Effect.gen(function*() {
      assert.strictEqual(error, "Internal")
      assert.isFalse(yield* machine.containsSession(A))
    })
})

row("UNR-07 a run is interrupted and its input is queued again", {
  given: running(),
  when: ({ machine }) => machine.unregisterSession(A),
  then: (lab, report, { executor, waiter }) =>
    Effect.gen(function*() {
      assert.strictEqual(report.requeued, 1)
      assert.strictEqual(executor.counts().interrupted, 1)
      assert.deepStrictEqual(yield* Fiber.join(waiter), ended)
      const [input] = yield* storedInputs(lab, A)
      assert.deepStrictEqual([input?.phase, input?.charged, input?.crashed], ["queued", 0, 0])
      assert.strictEqual(yield* storedState(lab, A), "idle")
    })
})

/** This file reads "a non-interruptible region" as "calls `turn.finish`". */
const finishing: LatchedExecutor.LatchedOptions = { begin: (turn) => turn.finish(Turn.reply("early")) }

// A region that cannot be interrupted means a call of `turn.finish`, which overrides the row (D17).
row("UNR-08 a result that was handed over is committed", {
  given: running(finishing),
  when: ({ machine }) => machine.unregisterSession(A),
  then: (lab, report, { waiter }) =>
    Effect.gen(function*() {
      assert.strictEqual(report.requeued, 0)
      assert.deepStrictEqual(yield* Fiber.join(waiter), { _tag: "Completed", result: { text: "early" } })
      assert.deepStrictEqual(yield* storedPhases(lab, A), ["consumed"])
    })
})

row("UNR-08 a run that ends within the grace is committed", {
  given: running(),
  when: (lab, { executor }) =>
    Effect.gen(function*() {
      const fiber = yield* Effect.forkScoped(lab.machine.unregisterSession(A))
      yield* lab.settle
      const early = fiber.unsafePoll()
      yield* executor.open
      return { early, report: yield* Fiber.join(fiber) }
    }),
  then: (lab, { early, report }, { waiter }) =>
    Effect.gen(function*() {
      assert.isNull(early)
      assert.strictEqual(report.requeued, 0)
      assert.deepStrictEqual(yield* Fiber.join(waiter), { _tag: "Completed", result: { text: "answer 1" } })
      assert.deepStrictEqual(yield* storedPhases(lab, A), ["consumed"])
    })
}, { config: { unregisterGrace: Duration.seconds(10) } })

for (const [how, options] of [["interrupted", {}], ["finished", finishing]] as const) {
  // A registration writes only in its opening (D3).
  row(`UNR-09 an unregistered entry makes no more writes (${how})`, {
    given: (lab) => Effect.zipLeft(running(options)(lab), lab.machine.unregisterSession(A)),
    when: (lab, { executor }) =>
      Effect.gen(function*() {
        const writes = lab.faults.writes()
        yield* executor.open
        yield* lab.advance("1 hour")
        return lab.faults.writes() - writes
      }),
    then: (lab, writes) =>
      Effect.gen(function*() {
        assert.strictEqual(writes, 0)
        assert.strictEqual(yield* storedState(lab, A), "idle")
        assert.deepStrictEqual(yield* storedPhases(lab, A), [how === "interrupted" ? "queued" : "consumed"])
      })
  })
}

row("UNR-10 the next executor runs the requeued input", {
  given: (lab) => Effect.zipRight(Effect.zipRight(running()(lab), lab.machine.unregisterSession(A)), lab.executor()),
  when: (lab, second) =>
    Effect.gen(function*() {
      yield* lab.machine.registerSession(A)
      yield* ensure(lab, second)
      yield* second.started(1)
      yield* lab.settle
    }),
  then: (lab, _, second) =>
    Effect.gen(function*() {
      assert.strictEqual(second.counts().apply, 1)
      assert.deepStrictEqual(yield* storedPhases(lab, A), ["consumed"])
    })
})

row("UNR-11 five concurrent callers share one teardown", {
  given: tearing,
  when: (lab, { fiber, latch }) =>
    Effect.gen(function*() {
      const others = yield* Effect.replicateEffect(Effect.forkScoped(lab.machine.unregisterSession(A)), 4)
      yield* lab.settle
      yield* latch.open
      return yield* Fiber.join(Fiber.all([fiber, ...others]))
    }),
  then: (_, reports, { executor }) =>
    Effect.sync(() => {
      const [first, ...others] = Array.from(reports)
      assert.isTrue(first?.joined)
      assert.strictEqual(others.length, 4)
      for (const report of others) assert.deepStrictEqual(report, first)
      assert.strictEqual(executor.counts().stop, 1)
    })
})

row("UNR-12 a teardown continues when its caller is interrupted", {
  given: tearing,
  when: (lab, { fiber, latch }) => Effect.all([Fiber.interrupt(fiber), latch.open, lab.settle], { discard: true }),
  then: (lab, _, { executor }) =>
    Effect.gen(function*() {
      assert.isFalse(yield* lab.machine.containsSession(A))
      assert.strictEqual(executor.counts().stop, 1)
      assert.strictEqual(yield* lab.machine.fiberCount, 0)
    })
})

// Commands fail with `NotReady{destroyed}`. Register and ensure wait for the end, then open the session again (D7).
row("UNR-13 no input is admitted during a teardown", {
  given: (lab) => Effect.map(tearing(lab), (parts) => ({ ...parts, writes: lab.faults.commits().length })),
  when: (lab, { latch }) =>
    Effect.gen(function*() {
      const second = yield* lab.executor()
      const error = yield* failing(lab.machine.acceptInput(A, prompt(1)))
      const contained = yield* lab.machine.containsSession(A)
      const waits = [
        yield* Effect.forkScoped(lab.machine.registerSession(A)),
        yield* Effect.forkScoped(ensure(lab, second))
      ] as const
      yield* lab.settle
      const early = waits.map((fiber) => fiber.unsafePoll())
      const commits = lab.faults.commits().length
      yield* latch.open
      yield* Fiber.join(waits[0])
      yield* Fiber.join(waits[1])
      return { error, contained, early, commits }
    }),
  then: (lab, outcome, { writes }) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(outcome, {
        error: "NotReady{destroyed}",
        contained: true,
        early: [null, null],
        commits: writes
      })
      assert.deepStrictEqual(yield* storedPhases(lab, A), [])
      assert.strictEqual(yield* stateOf(lab, A), "attached")
    })
})

// The report says `forced`, which overrides the row (D7).
row("UNR-15 a loop that does not end is abandoned", {
  given: running({ stubborn: true }),
  when: (lab) =>
    Effect.gen(function*() {
      const fiber = yield* Effect.forkScoped(lab.machine.unregisterSession(A))
      yield* lab.settle
      // The first wait is for the loop, the second for its scope.
      yield* lab.advance("31 seconds")
      yield* lab.advance("31 seconds")
      return yield* Fiber.join(fiber)
    }),
  then: (lab, report, { waiter }) =>
    Effect.gen(function*() {
      assert.isTrue(report.forced)
      assert.isFalse(yield* lab.machine.containsSession(A))
      assert.deepStrictEqual(yield* Fiber.join(waiter), ended)
      assert.deepStrictEqual(yield* storedPhases(lab, A), ["queued"])
    })
}, { abandons: 1 })

row("UNR-17 closing the scope of a replaced session leaves its replacement alone", {
  given: (lab) =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { executor } = yield* lab.executor()
      yield* Scope.extend(lab.machine.sessionScoped(A, executor), scope)
      const { epochId } = yield* snapshotOf(lab, A)
      yield* lab.machine.unregisterSession(A)
      yield* ensure(lab, yield* lab.executor())
      return { scope, epochId, replaced: yield* snapshotOf(lab, A) }
    }),
  when: (_, { scope }) => Scope.close(scope, Exit.void),
  then: (lab, _, { replaced }) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* snapshotOf(lab, A), replaced)
      assert.isTrue(yield* lab.machine.sessionHasExecutor(A))
    })
})

row("UNR-17 unregisterSessionIfEpoch leaves a session of another epoch alone", {
  given: ({ machine }) => Effect.zipRight(machine.registerSession(A), machine.registerSession(B)),
  when: (lab) =>
    Effect.gen(function*() {
      const { epochId } = yield* snapshotOf(lab, B)
      return yield* lab.machine.unregisterSessionIfEpoch(A, epochId)
    }),
  then: (lab, report) =>
    Effect.gen(function*() {
      assert.isTrue(Option.isNone(report))
      assert.strictEqual(yield* stateOf(lab, A), "idle")
    })
})

for (const outer of ["unregister", "stop"] as const) {
  row(`UNR-18 a hook may unregister its own session without a deadlock (${outer})`, {
    given: (lab) =>
      Effect.gen(function*() {
        const nested: Array<string> = []
        const again = Effect.suspend(() => lab.machine.unregisterSession(A)).pipe(
          Effect.match({
            onFailure: (error) => nested.push(error._tag),
            onSuccess: ({ joined }) => nested.push(`joined: ${joined}`)
          }),
          Effect.asVoid
        )
        yield* ensure(lab, yield* lab.executor({ stop: again }))
        yield* lab.settle
        return nested
      }),
    when: ({ machine }) =>
      Effect.exit<unknown, unknown, never>(
        outer === "stop" ? machine.stopRuntimeExecutor(A, "why") : machine.unregisterSession(A)
      ),
    then: (lab, exit, nested) =>
      Effect.gen(function*() {
        assert.deepStrictEqual(nested, ["joined: false"])
        if (outer === "unregister") assert.isTrue(Exit.isSuccess(exit))
        yield* lab.settle
        assert.isFalse(yield* lab.machine.containsSession(A))
        assert.strictEqual(yield* lab.machine.fiberCount, 0)
      })
  })
}

row("UNR-19 a destroyed session can be unregistered", {
  given: ({ machine }) => Effect.zipRight(machine.registerSession(A), machine.destroyRuntime(A)),
  when: ({ machine }) => machine.unregisterSession(A),
  then: ({ machine }, report) =>
    Effect.gen(function*() {
      assert.isTrue(report.joined)
      assert.isFalse(yield* machine.containsSession(A))
      assert.strictEqual(yield* failing(machine.registerSession(A)), "Destroyed")
    })
})

row("UNR-20 an unregistration answers waiters of operations and ends the feed of followers", {
  given: (lab) =>
    Effect.gen(function*() {
      yield* lab.machine.registerSession(A)
      const { operations } = lab.machine.session(A)
      const work = yield* Effect.forEach(["a", "b"], (displayName) => operations.run(Effect.never, { displayName }))
      const elsewhere = yield* operations.external({ displayName: "elsewhere" })
      const watchers = yield* Effect.forEach(work, (id) => Effect.forkScoped(operations.watch(id)))
      const outside = yield* Effect.forkScoped(failing(operations.watch(elsewhere)))
      const wait = yield* Effect.forkScoped(operations.waitAll(work))
      const follower = yield* Effect.forkScoped(Stream.runCount(operations.feed()))
      yield* lab.settle
      return { elsewhere, watchers, outside, wait, follower, work }
    }),
  when: ({ machine }) => machine.unregisterSession(A),
  then: (lab, report, { elsewhere, follower, outside, wait, watchers, work }) =>
    Effect.gen(function*() {
      const over: OperationOutcome = { _tag: "Terminated", reason: "runtime session unregistered" }
      assert.strictEqual(report.terminatedOperations, 2)
      assert.deepStrictEqual(Array.from(yield* Fiber.join(Fiber.all(watchers))), [over, over])
      assert.deepStrictEqual(yield* Fiber.join(wait), work.map((id) => [id, over] as const))
      assert.strictEqual(yield* Fiber.join(follower), 2)
      // External operations live on; only the watch ends (D28).
      assert.strictEqual(yield* Fiber.join(outside), "WatchClosed")
      yield* lab.machine.registerSession(A)
      const { operations } = lab.machine.session(A)
      assert.strictEqual((yield* operations.complete(elsewhere, "done")).status, "completed")
    })
})

row("UNR-20 a wait for an external operation ends with the session", {
  given: (lab) =>
    Effect.gen(function*() {
      yield* lab.machine.registerSession(A)
      const { operations } = lab.machine.session(A)
      const id = yield* operations.external({ displayName: "elsewhere" })
      const wait = yield* Effect.forkScoped(failing(operations.waitAll([id])))
      yield* lab.settle
      return wait
    }),
  when: ({ machine }, wait) => Effect.zipRight(machine.unregisterSession(A), Fiber.join(wait)),
  then: (_, error) => Effect.sync(() => assert.strictEqual(error, "OpOwnerRetired"))
})

row("UNR-22 accepted changes of operations are durable after an unregistration", {
  given: (lab) => {
    const begin: LatchedExecutor.LatchedOptions["begin"] = ({ operations }) =>
      Effect.orDie(Effect.asVoid(operations.external({ displayName: "elsewhere" })))
    return Effect.zipRight(running({ begin })(lab), lab.settle)
  },
  when: ({ machine }) => machine.unregisterSession(A),
  then: (lab) =>
    Effect.gen(function*() {
      const [operation] = yield* Stream.runCollect(lab.store.operations(rid(A)))
      assert.strictEqual(operation?.spec.displayName, "elsewhere")
      yield* lab.settle
      assert.strictEqual(yield* lab.machine.fiberCount, 0)
    })
})

row("UNR-22 an unregistration waits for the commit of an end", {
  given: (lab) =>
    Effect.gen(function*() {
      yield* lab.machine.registerSession(A)
      const { operations } = lab.machine.session(A)
      const id = yield* operations.external({ displayName: "elsewhere" })
      yield* lab.advance("1 second")
      const parked = lab.faults.park("commit")
      const call = yield* Effect.forkScoped(operations.complete(id, "done"))
      yield* parked.reached
      return { call, parked }
    }),
  when: (lab, { parked }) =>
    Effect.gen(function*() {
      const unregistering = yield* Effect.forkScoped(lab.machine.unregisterSession(A))
      yield* lab.settle
      assert.isNull(unregistering.unsafePoll())
      yield* parked.release
      yield* Fiber.join(unregistering)
      return yield* Stream.runCollect(lab.store.operations(rid(A)))
    }),
  then: (lab, stored, { call }) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(Array.from(stored, ({ status }) => status), ["completed"])
      assert.strictEqual((yield* Fiber.join(call)).status, "completed")
      yield* lab.settle
      assert.strictEqual(yield* lab.machine.fiberCount, 0)
    })
})

row("UNR-24 a registration beside an unregistration leaves a whole entry or none", {
  given: nothing,
  when: ({ machine }) =>
    Effect.all([Effect.exit(machine.registerSession(A)), Effect.exit(machine.unregisterSession(A))], {
      concurrency: "unbounded"
    }),
  then: (lab) =>
    Effect.gen(function*() {
      const contained = yield* lab.machine.containsSession(A)
      const accepted = yield* failing(lab.machine.acceptInput(A, prompt(1)))
      assert.strictEqual(accepted, contained ? "success" : "NotReady{destroyed}")
      assert.strictEqual(yield* stateOf(lab, A), contained ? "idle" : null)
    })
}, { seeds: 500 })

row("UNR-25 no run starts once the teardown has begun", {
  given: (lab) =>
    Effect.gen(function*() {
      const late: Array<string> = []
      const begin = () =>
        Effect.map(lab.machine.meerkatMachineSpineSnapshot(A), (snapshot) => {
          if (Option.isNone(snapshot) || snapshot.value.registration === "Draining") late.push("started")
        })
      const executor = yield* lab.executor({ begin })
      yield* ensure(lab, executor)
      return { executor, late }
    }),
  when: ({ machine }) =>
    Effect.all([failing(machine.acceptInput(A, prompt(1))), Effect.exit(machine.unregisterSession(A))], {
      concurrency: "unbounded"
    }),
  then: (lab, [accepted], { executor, late }) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(late, [])
      const phases = yield* storedPhases(lab, A)
      if (accepted === "success") assert.include(["queued", "consumed"], phases[0])
      else assert.deepStrictEqual([accepted, phases], ["NotReady{destroyed}", []])
      assert.isAtMost(executor.counts().apply, 1)
    })
})

// The scope in which a stop or reset runs may be closed before its first step.
row("UNR-13 a stop or reset at any moment of a teardown is answered", {
  given: (lab) => Effect.succeed(lab),
  when: ({ machine }) =>
    Effect.gen(function*() {
      for (let turns = 0; turns < 40; turns++) {
        yield* machine.registerSession(A)
        const teardown = yield* Effect.fork(machine.unregisterSession(A))
        for (let step = 0; step < turns; step++) yield* Effect.yieldNow()
        const end = turns % 2 === 0 ? machine.stopRuntimeExecutor(A, "enough") : machine.resetRuntime(A)
        yield* Effect.ignore(Effect.zip(end, machine.stopRuntimeExecutor(A, "again"), { concurrent: true }))
        yield* Fiber.join(teardown)
      }
    }),
  then: (lab) => Effect.map(lab.machine.containsSession(A), (contained) => assert.isFalse(contained))
}, { seeds: 5 })
