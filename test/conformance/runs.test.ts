/** Inline runs, which their caller runs with `acceptInputAndRun` (D23), and what ends them from outside. */
import { assert, describe } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type { TurnOutput } from "../../services/CoreExecutor.js"
import { CurrentSession } from "../../services/CoreExecutor.js"
import type { InlineTurn } from "../../services/SessionRuns.js"
import * as Turns from "../../services/Turn.js"
import type { RuntimeDriverError } from "../../src/domain/Errors.js"
import { ApplyFailed, uncommittedResult } from "../../src/domain/Errors.js"
import type { Input } from "../../src/domain/Input.js"
import { StoreIo } from "../../src/domain/StoreErrors.js"
import { inputId, prompt } from "../support/inputs.js"
import type { Lab } from "./driver.js"
import { A, failing, nothing, row, snapshotOf, stateOf, storedPhases } from "./driver.js"

const registered = ({ machine }: Lab) => machine.registerSession(A)

const answer = (value: string): readonly [string, TurnOutput] => [value, Turns.reply(value)]

/** An `op` that reports its start and waits until it is opened. */
const held = <E = never>(end: Effect.Effect<readonly [string, TurnOutput], E> = Effect.succeed(answer("done"))) =>
  Effect.gen(function*() {
    const started = yield* Deferred.make<InlineTurn>()
    const latch = yield* Effect.makeLatch(false)
    const calls = { op: 0, interrupted: 0 }
    const op = (turn: InlineTurn) =>
      Effect.suspend(() => {
        calls.op++
        return Effect.zipRight(Deferred.succeed(started, turn), latch.await)
      }).pipe(
        Effect.onInterrupt(() => Effect.sync(() => calls.interrupted++)),
        Effect.zipRight(end)
      )
    return { op, calls, started: Deferred.await(started), open: latch.open }
  })

/** An inline run that waits, and the fiber of its caller. */
const parked = (lab: Lab, input: Input = prompt(1)) =>
  Effect.gen(function*() {
    yield* registered(lab)
    const work = yield* held()
    const caller = yield* Effect.fork(lab.machine.acceptInputAndRun(A, input, work.op))
    const turn = yield* work.started
    return { ...work, caller, turn }
  })

const outcomeOf = ({ machine }: Lab, n = 1) => Effect.map(machine.outcome(A, inputId(n)), Option.getOrNull)

const disk = new StoreIo({ operation: "commit", code: "EIO", detail: "the medium failed" })

const again = (lab: Lab, n = 1) => lab.machine.acceptInputAndRun(A, prompt(n), () => Effect.succeed(answer("again")))

/** Checks that the session takes the next inline run as usual. */
const stillRuns = (lab: Lab, n = 1) =>
  Effect.gen(function*() {
    assert.strictEqual(yield* stateOf(lab, A), "idle")
    assert.strictEqual(yield* again(lab, n), "again")
    assert.deepStrictEqual(yield* outcomeOf(lab, n), { _tag: "Completed", result: { text: "again" } })
    assert.strictEqual(yield* stateOf(lab, A), "idle")
  })

describe("RUN", () => {
  row("RUN-01 an inline run commits its input and its result with the end of the run", {
    given: registered,
    when: ({ machine }) =>
      Effect.gen(function*() {
        const seen: Array<InlineTurn> = []
        const current: Array<unknown> = []
        const value = yield* machine.acceptInputAndRun(A, prompt(1), (turn) =>
          Effect.gen(function*() {
            seen.push(turn)
            current.push(yield* CurrentSession)
            return [41 + 1, Turns.reply("forty-two")] as const
          }))
        return { value, turn: seen[0], current }
      }),
    then: (lab, { current, turn, value }) =>
      Effect.gen(function*() {
        assert.strictEqual(value, 42)
        assert.deepStrictEqual(turn?.inputs, [prompt(1)])
        assert.strictEqual(turn?.attempt, 1)
        assert.deepStrictEqual(current, [{ sessionId: A, runId: turn?.runId, role: "run" }])
        assert.strictEqual(yield* stateOf(lab, A), "idle")
        assert.deepStrictEqual(yield* storedPhases(lab, A), ["consumed"])
        assert.deepStrictEqual(yield* outcomeOf(lab), { _tag: "Completed", result: { text: "forty-two" } })
        assert.strictEqual((yield* snapshotOf(lab, A)).messageCount, 2)
        if (turn === undefined) return
        const receipt = yield* lab.machine.loadBoundaryReceipt(A, turn.runId, 0)
        assert.deepStrictEqual(Option.map(receipt, (_) => _.contributingInputIds), Option.some([inputId(1)]))
      })
  })

  row("RUN-01 a waiter of the same input is told when the inline run ends", {
    given: (lab) => parked(lab, prompt(1, {}, { idempotencyKey: "k" })),
    when: (lab, given) =>
      Effect.gen(function*() {
        const waiter = yield* lab.machine.acceptInputWithCompletion(A, prompt(2, {}, { idempotencyKey: "k" }))
        yield* given.open
        const value = yield* Fiber.join(given.caller)
        return [value, yield* Effect.flatMap(waiter.completion, ({ wait }) => wait)] as const
      }),
    then: (_, told) =>
      Effect.sync(() => assert.deepStrictEqual(told, ["done", { _tag: "Completed", result: { text: "done" } }]))
  })

  row("RUN-02 a duplicate input is refused without a call of op", {
    given: (lab) =>
      Effect.gen(function*() {
        yield* registered(lab)
        yield* lab.machine.acceptInputAndRun(A, prompt(1, {}, { idempotencyKey: "k" }), () =>
          Effect.succeed(answer("first")))
      }),
    when: ({ machine }) =>
      Effect.gen(function*() {
        const calls = { op: 0 }
        const op = () => Effect.sync(() => (calls.op++, answer("twice")))
        const byKey = yield* Effect.flip(machine.acceptInputAndRun(A, prompt(2, {}, { idempotencyKey: "k" }), op))
        const byId = yield* Effect.flip(machine.acceptInputAndRun(A, prompt(1), op))
        yield* machine.acceptInput(A, prompt(3, {}, { idempotencyKey: "open" }))
        const open = yield* Effect.flip(machine.acceptInputAndRun(A, prompt(4, {}, { idempotencyKey: "open" }), op))
        return { calls, errors: [byKey, byId, open] }
      }),
    then: (_, { calls, errors }) =>
      Effect.sync(() => {
        const details = errors.map((error) => error._tag === "ValidationFailed" ? error.detail : error)
        assert.deepStrictEqual(details, [
          { _tag: "DeduplicationUnsupported", existingId: inputId(1) },
          { _tag: "DeduplicationUnsupported", existingId: inputId(1) },
          { _tag: "DeduplicationUnsupported", existingId: inputId(3) }
        ])
        assert.strictEqual(calls.op, 0)
      })
  })

  row("RUN-03 an inline run is refused beside other open inputs, and nothing is staged", {
    given: (lab) => Effect.zipRight(registered(lab), lab.machine.acceptInput(A, prompt(1))),
    when: (lab) => failing(again(lab, 2)),
    then: (lab, error) =>
      Effect.gen(function*() {
        assert.strictEqual(error, "NotReady{idle}")
        assert.deepStrictEqual(yield* storedPhases(lab, A), ["queued"])
        yield* lab.machine.retractInput(A, inputId(1))
        yield* stillRuns(lab, 2)
      })
  })

  row("RUN-03 D23 an inline run is refused beside a loop or another run", {
    given: (lab) => parked(lab),
    when: (lab, given) =>
      Effect.gen(function*() {
        const beside = yield* failing(again(lab, 2))
        yield* given.open
        yield* Fiber.join(given.caller)
        const { executor } = yield* lab.executor()
        yield* lab.machine.registerSessionWithExecutor(A, executor)
        return [beside, yield* failing(again(lab, 3))]
      }),
    then: (lab, errors) =>
      Effect.gen(function*() {
        assert.deepStrictEqual(errors, ["NotReady{running}", "NotReady{attached}"])
        assert.deepStrictEqual(yield* storedPhases(lab, A), ["consumed"])
      })
  })

  row("RUN-04 an inline run is refused in a retired session", {
    given: (lab) => Effect.zipRight(registered(lab), lab.machine.retireRuntime(A)),
    when: (lab) => failing(again(lab)),
    then: (_, told) => Effect.sync(() => assert.strictEqual(told, "NotReady{retired}"))
  })

  row("RUN-04 an inline run is refused in a destroyed session", {
    given: (lab) => Effect.zipRight(registered(lab), lab.machine.destroyRuntime(A)),
    when: (lab) => failing(again(lab)),
    then: (_, told) => Effect.sync(() => assert.strictEqual(told, "Destroyed"))
  })

  row("RUN-05 an error of op reaches the caller, charges the input and requeues it for the same call", {
    given: registered,
    when: ({ machine }) =>
      Effect.flip(
        machine.acceptInputAndRun(A, prompt(1), () => Effect.fail(new ApplyFailed({ cause: "Unknown", detail: "no" })))
      ),
    then: (lab, error) =>
      Effect.gen(function*() {
        assert.deepInclude(error, { _tag: "ApplyFailed", detail: "no" })
        assert.deepStrictEqual(yield* storedPhases(lab, A), ["queued"])
        const state = Option.getOrThrow(yield* lab.machine.inputState(A, inputId(1)))
        assert.deepInclude(state, { attempts: 1, charged: 1 })
        yield* stillRuns(lab)
      })
  })

  row("RUN-05 the input is abandoned after its last attempt", {
    given: registered,
    when: ({ machine }) =>
      Effect.forEach([1, 2, 3], (n) => Effect.flip(machine.acceptInputAndRun(A, prompt(1), () => Effect.fail(n)))),
    then: (lab, errors) =>
      Effect.gen(function*() {
        assert.deepStrictEqual(errors, [1, 2, 3])
        const state = Option.getOrThrow(yield* lab.machine.inputState(A, inputId(1)))
        assert.deepStrictEqual(state.terminal, {
          type: "abandoned",
          reason: { type: "max_attempts_exhausted", attempts: 3 }
        })
        yield* stillRuns(lab, 2)
      })
  })

  row("RUN-06 a defect charges the input like a failure", {
    given: registered,
    when: ({ machine }) => Effect.exit(machine.acceptInputAndRun(A, prompt(1), () => Effect.die("boom"))),
    then: (lab, exit) =>
      Effect.gen(function*() {
        assert.deepStrictEqual(exit, Exit.die("boom"))
        const state = Option.getOrThrow(yield* lab.machine.inputState(A, inputId(1)))
        assert.deepInclude(state, { phase: "queued", charged: 1 })
        yield* stillRuns(lab)
      })
  })

  row("RUN-06 interrupting the caller ends op and frees the slot without a charge", {
    given: parked,
    when: (_, { caller }) => Fiber.interrupt(caller),
    then: (lab, exit, { calls }) =>
      Effect.gen(function*() {
        assert.isTrue(Exit.isInterrupted(exit))
        assert.deepStrictEqual(calls, { op: 1, interrupted: 1 })
        const state = Option.getOrThrow(yield* lab.machine.inputState(A, inputId(1)))
        assert.deepInclude(state, { phase: "queued", charged: 0, attempts: 1 })
        yield* stillRuns(lab)
      })
  })

  row("RUN-06 the same call may be repeated after an interruption at any moment", {
    given: registered,
    when: (lab) =>
      Effect.gen(function*() {
        for (let turns = 0; turns < 40; turns++) {
          const started = yield* Effect.makeLatch(false)
          const op = () => Effect.zipRight(started.open, Effect.yieldNow()).pipe(Effect.as(answer("first")))
          const caller = yield* Effect.fork(lab.machine.acceptInputAndRun(A, prompt(turns + 1), op))
          for (let step = 0; step < turns; step++) yield* Effect.yieldNow()
          const exit = yield* Fiber.interrupt(caller)
          assert.strictEqual(yield* stateOf(lab, A), "idle", `after ${turns} turns`)
          const known = yield* outcomeOf(lab, turns + 1)
          if (Exit.isSuccess(exit) || known !== null) assert.strictEqual(known?._tag, "Completed")
          else yield* stillRuns(lab, turns + 1)
        }
      }),
    then: nothing
  }, { seeds: 5 })

  row("RUN-07 D21 a result is kept while the store refuses commits for a while", {
    given: (lab) => parked(lab),
    when: (lab, given) =>
      Effect.gen(function*() {
        lab.faults.failCommit(disk)
        lab.faults.failCommit(disk, { nth: 2 })
        yield* given.open
        yield* lab.settle
        yield* lab.advance("1 second")
        return yield* Fiber.join(given.caller)
      }),
    then: (lab, value, { calls }) =>
      Effect.gen(function*() {
        assert.strictEqual(value, "done")
        assert.strictEqual(calls.op, 1)
        assert.deepStrictEqual(yield* storedPhases(lab, A), ["consumed"])
      })
  })

  row("RUN-07 the error carries a result that cannot be stored, and the input is queued again", {
    given: (lab) => parked(lab),
    when: (lab, given) =>
      Effect.gen(function*() {
        for (let nth = 1; nth <= 6; nth++) lab.faults.failCommit(disk, { nth })
        yield* given.open
        for (let n = 0; n < 4; n++) yield* Effect.zipRight(lab.settle, lab.advance("1 second"))
        return yield* Effect.flip(Fiber.join(given.caller))
      }),
    then: (lab, error) =>
      Effect.gen(function*() {
        assert.deepInclude(error, { _tag: "Internal", retryable: true })
        assert.deepStrictEqual(uncommittedResult(error), Option.some("done"))
        assert.deepStrictEqual(yield* storedPhases(lab, A), ["queued"])
        yield* stillRuns(lab)
      })
  })

  row("RUN-07 D21 the session must be registered again when nothing can be stored, and the input runs then", {
    given: (lab) => parked(lab),
    when: (lab, given) =>
      Effect.gen(function*() {
        for (let nth = 1; nth <= 12; nth++) lab.faults.failCommit(disk, { nth })
        yield* given.open
        for (let n = 0; n < 8; n++) yield* Effect.zipRight(lab.settle, lab.advance("1 second"))
        const error = yield* Effect.flip(Fiber.join(given.caller))
        yield* lab.faults.heal
        yield* registered(lab)
        return error
      }),
    then: (lab, error) =>
      Effect.gen(function*() {
        assert.deepStrictEqual([error._tag, uncommittedResult(error)], ["Internal", Option.some("done")])
        yield* stillRuns(lab)
      })
  })

  row("D17 a cancel interrupts op, and the input ends cancelled", {
    given: (lab) => parked(lab),
    when: (lab, { caller }) =>
      Effect.zipRight(lab.machine.hardCancelCurrentRun(A, "too slow"), Effect.flip(Fiber.join(caller))),
    then: (lab, error, { calls }) =>
      Effect.gen(function*() {
        assert.deepInclude(error, { _tag: "TurnCancelled", detail: "too slow" })
        assert.deepStrictEqual(calls, { op: 1, interrupted: 1 })
        assert.deepStrictEqual(yield* outcomeOf(lab), { _tag: "Cancelled" })
        yield* stillRuns(lab, 2)
      })
  })

  const ends: ReadonlyArray<readonly [string, string, (lab: Lab) => Effect.Effect<unknown, RuntimeDriverError>]> = [
    ["an unregistration", "NotReady{destroyed}", ({ machine }) => machine.unregisterSession(A)],
    ["a destroy", "Destroyed", ({ machine }) => machine.destroyRuntime(A)]
  ]
  for (const [name, expected, end] of ends) {
    row(`D7 D25 ${name} interrupts op and joins it`, {
      given: (lab) => parked(lab),
      when: (lab, { calls }) => Effect.map(end(lab), (report) => ({ report, calls: { ...calls } })),
      then: (lab, { calls, report }, { caller }) =>
        Effect.gen(function*() {
          assert.deepInclude(report, { joined: true })
          assert.deepStrictEqual(calls, { op: 1, interrupted: 1 })
          assert.strictEqual(yield* failing(Fiber.join(caller)), expected)
          const phase = name === "a destroy" ? "abandoned" : "queued"
          assert.deepStrictEqual(yield* storedPhases(lab, A), [phase])
          if (phase === "abandoned") return
          assert.deepInclude(report, { requeued: 1, forced: false })
          yield* registered(lab)
          yield* stillRuns(lab)
        })
    })
  }

  row("D7 an op that ignores interruption is abandoned, and its result is refused", {
    given: (lab) =>
      Effect.gen(function*() {
        yield* registered(lab)
        const work = yield* held()
        const stubborn = (turn: InlineTurn) => Effect.uninterruptible(work.op(turn))
        const caller = yield* Effect.fork(lab.machine.acceptInputAndRun(A, prompt(1), stubborn))
        yield* work.started
        return { ...work, caller }
      }),
    when: (lab, given) =>
      Effect.gen(function*() {
        const end = yield* Effect.fork(lab.machine.unregisterSession(A))
        yield* lab.settle
        yield* lab.advance("31 seconds")
        const report = yield* Fiber.join(end)
        yield* given.open
        return [report, yield* failing(Fiber.join(given.caller))] as const
      }),
    then: (lab, [report, error]) =>
      Effect.gen(function*() {
        assert.deepInclude(report, { requeued: 1, forced: true })
        // The op was interrupted, so that even its caller does not receive the result.
        assert.strictEqual(error, "NotReady{destroyed}")
        assert.deepStrictEqual(yield* storedPhases(lab, A), ["queued"])
      })
  }, { abandons: 1 })

  row("D7 a finished result is committed before the session is unregistered", {
    given: (lab) => parked(lab),
    when: (lab, given) =>
      Effect.gen(function*() {
        const write = lab.faults.park("commit")
        yield* given.open
        yield* write.reached
        const end = yield* Effect.fork(lab.machine.unregisterSession(A))
        yield* lab.settle
        yield* write.release
        return yield* Effect.zip(Fiber.join(given.caller), Fiber.join(end))
      }),
    then: (lab, [value, report]) =>
      Effect.gen(function*() {
        assert.strictEqual(value, "done")
        assert.deepInclude(report, { requeued: 0 })
        assert.deepStrictEqual(yield* storedPhases(lab, A), ["consumed"])
      })
  })

  row("D7 op may unregister its own session, which does not wait for op", {
    given: registered,
    when: ({ machine }) =>
      Effect.gen(function*() {
        const report = yield* Deferred.make<unknown>()
        const error = yield* failing(machine.acceptInputAndRun(A, prompt(1), () =>
          Effect.zipRight(
            Effect.flatMap(machine.unregisterSession(A), (told) => Deferred.succeed(report, told)),
            Effect.never
          )))
        return [error, yield* Deferred.await(report)]
      }),
    then: (lab, [error, report]) =>
      Effect.gen(function*() {
        assert.strictEqual(error, "NotReady{destroyed}")
        assert.deepInclude(report, { joined: false })
        assert.deepStrictEqual(yield* storedPhases(lab, A), ["queued"])
      })
  })

  row("D25 a stop waits for the inline run", {
    given: (lab) => parked(lab),
    when: (lab, given) =>
      Effect.gen(function*() {
        const stop = yield* Effect.fork(lab.machine.stopRuntimeExecutor(A, "enough"))
        yield* lab.settle
        const during = [yield* stateOf(lab, A), Option.isNone(yield* Fiber.poll(stop))]
        yield* given.open
        return { during, value: yield* Fiber.join(given.caller), report: yield* Fiber.join(stop) }
      }),
    then: (lab, { during, report, value }) =>
      Effect.gen(function*() {
        assert.deepStrictEqual(during, ["running", true])
        assert.strictEqual(value, "done")
        assert.deepStrictEqual(report, { inputsAbandoned: 0, joined: true })
        assert.strictEqual(yield* stateOf(lab, A), "stopped")
      })
  })

  row("D24 a session retires after the inline run when it is retired during the run", {
    given: (lab) => parked(lab),
    when: (lab, given) =>
      Effect.gen(function*() {
        const report = yield* lab.machine.retireRuntime(A)
        yield* given.open
        return [report, yield* Fiber.join(given.caller)] as const
      }),
    then: (lab, told) =>
      Effect.gen(function*() {
        assert.deepStrictEqual(told, [{ inputsAbandoned: 0, inputsPendingDrain: 1 }, "done"])
        assert.strictEqual(yield* stateOf(lab, A), "retired")
        assert.deepStrictEqual(yield* storedPhases(lab, A), ["consumed"])
      })
  })

  row("D16 a request to yield reaches op", {
    given: registered,
    when: (lab) =>
      Effect.gen(function*() {
        const started = yield* Effect.makeLatch(false)
        const caller = yield* Effect.fork(lab.machine.acceptInputAndRun(A, prompt(1), (turn) =>
          started.open.pipe(Effect.zipRight(turn.boundaryRequested), Effect.as(answer("early")))))
        yield* started.await
        yield* lab.machine.cancelAfterBoundary(A, "others wait")
        return yield* Fiber.join(caller)
      }),
    then: (_, value) => Effect.sync(() => assert.strictEqual(value, "early"))
  })

  row("D23 a loop that is attached during the inline run waits for it", {
    given: (lab) => parked(lab),
    when: (lab, given) =>
      Effect.gen(function*() {
        const latched = yield* lab.executor()
        yield* lab.machine.ensureSessionWithExecutor(A, latched.executor)
        const { completion } = yield* lab.machine.session(A).prompt("next")
        yield* lab.settle
        const during = latched.counts().apply
        yield* given.open
        yield* Fiber.join(given.caller)
        return [during, (yield* completion.wait)._tag, yield* stateOf(lab, A)]
      }),
    then: (_, told) => Effect.sync(() => assert.deepStrictEqual(told, [0, "Completed", "attached"]))
  })

  row("RUN-01 RUN-02 the handle of the session runs inputs and refuses duplicates", {
    given: registered,
    when: ({ machine }) => machine.session(A).acceptAndRun(prompt(1), () => Effect.succeed(answer("by handle"))),
    then: (lab, value) =>
      Effect.gen(function*() {
        assert.strictEqual(value, "by handle")
        assert.strictEqual(
          yield* failing(lab.machine.session(A).acceptAndRun(prompt(1), () => Effect.succeed(answer("")))),
          "ValidationFailed"
        )
      })
  })

  row("D34 an output that exceeds a commit abandons the input", {
    given: registered,
    when: ({ machine }) =>
      Effect.flip(machine.acceptInputAndRun(A, prompt(1), () => Effect.succeed(answer("x".repeat(2_000))))),
    then: (lab, error) =>
      Effect.gen(function*() {
        assert.strictEqual(error._tag === "ValidationFailed" ? error.detail._tag : error._tag, "TooLarge")
        assert.deepStrictEqual(yield* storedPhases(lab, A), ["abandoned"])
        yield* stillRuns(lab, 2)
      })
  }, { config: { maxCommitBytes: 1_000 } })
})
