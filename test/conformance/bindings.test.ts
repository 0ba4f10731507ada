/** Bindings of a session, and the service turns that their owner runs in its run slot (D26). */
import { assert, describe } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { isBindings } from "../../layers/MeerkatMachineLive.js"
import * as Turns from "../../services/Turn.js"
import type { RuntimeDriverError } from "../../src/domain/Errors.js"
import { uncommittedResult } from "../../src/domain/Errors.js"
import { StoreIo } from "../../src/domain/StoreErrors.js"
import { inputId, prompt, runId } from "../support/inputs.js"
import type { Lab } from "./driver.js"
import { A, B, failing, killLoop, nothing, row, snapshotOf, stateOf } from "./driver.js"

const disk = new StoreIo({ operation: "commit", code: "EIO", detail: "the medium failed" })

const bound = ({ machine }: Lab) => machine.prepareBindings(A)

/** Binds a session with an attached executor. */
const attached = (lab: Lab) =>
  Effect.gen(function*() {
    const latched = yield* lab.executor()
    yield* lab.machine.ensureSessionWithExecutor(A, latched.executor)
    return { latched, bindings: yield* bound(lab) }
  })

/** Begins a service turn that its owner does not end. */
const begun = (lab: Lab) =>
  Effect.gen(function*() {
    const bindings = yield* bound(lab)
    return { bindings, run: yield* bindings.turn.begin() }
  })

/** Runs work that waits in a service turn. Returns the fiber of the caller as well. */
const working = (lab: Lab) =>
  Effect.gen(function*() {
    const bindings = yield* bound(lab)
    const started = yield* Effect.makeLatch(false)
    const latch = yield* Effect.makeLatch(false)
    const calls = { interrupted: 0 }
    const work = started.open.pipe(
      Effect.zipRight(latch.await),
      Effect.onInterrupt(() => Effect.sync(() => calls.interrupted++)),
      Effect.as("done")
    )
    const caller = yield* Effect.fork(bindings.turn.run(work, { output: Turns.reply }))
    yield* started.await
    return { bindings, caller, calls, open: latch.open }
  })

/** Checks that the session can run its next service turn as usual. */
const stillRuns = (lab: Lab) =>
  Effect.gen(function*() {
    const { turn } = yield* bound(lab)
    const before = yield* stateOf(lab, A)
    assert.strictEqual(yield* turn.run(Effect.succeed("again")), "again")
    assert.strictEqual(yield* stateOf(lab, A), before)
    assert.deepStrictEqual(yield* turn.snapshot, Option.none())
  })

describe("BND", () => {
  row("BND-01 binding an unknown session registers it without an executor", {
    given: nothing,
    when: bound,
    then: (lab, bindings) =>
      Effect.gen(function*() {
        assert.strictEqual(bindings.sessionId, A)
        assert.isFalse(yield* lab.machine.sessionHasExecutor(A))
        assert.strictEqual(yield* stateOf(lab, A), "idle")
        const snapshot = yield* snapshotOf(lab, A)
        assert.deepStrictEqual([bindings.epochId, bindings.incarnation], [snapshot.epochId, snapshot.incarnation])
      })
  })

  row("BND-02 BND-04 REG-02 repeated calls return the same bindings, with the operation registry of the machine", {
    given: ({ machine }) => machine.registerSession(A),
    when: (lab) =>
      Effect.gen(function*() {
        const first = yield* bound(lab)
        yield* lab.machine.registerSession(A)
        const more = [
          yield* bound(lab),
          yield* lab.machine.prepareLocalSessionBindings(A),
          yield* lab.machine.session(A).bindings
        ]
        return { first, more, registry: yield* lab.machine.opsLifecycleRegistry(A) }
      }),
    then: (_, { first, more, registry }) =>
      Effect.sync(() => {
        for (const next of more) assert.strictEqual(next, first)
        assert.strictEqual(Option.getOrNull(registry), first.operations)
      })
  })

  row("BND-03 REG-04 bindings of two sessions share nothing", {
    given: nothing,
    when: (lab) => Effect.all([bound(lab), lab.machine.prepareBindings(B)]),
    then: (_, [a, b]) =>
      Effect.sync(() => {
        assert.notStrictEqual(a, b)
        assert.notStrictEqual(a.epochId, b.epochId)
        assert.notStrictEqual(a.operations, b.operations)
        assert.notStrictEqual(a.tools, b.tools)
      })
  })

  row("BND-07 binding a destroyed session fails with Destroyed", {
    given: ({ machine }) => Effect.zipRight(machine.registerSession(A), machine.destroyRuntime(A)),
    when: (lab) => Effect.all([failing(bound(lab)), failing(lab.machine.prepareLocalSessionBindings(A))]),
    then: (_, errors) => Effect.sync(() => assert.deepStrictEqual(errors, ["Destroyed", "Destroyed"]))
  })

  row("BND-08 bindings fail with the error of the registration when the registration fails", {
    given: (lab) => Effect.sync(() => lab.faults.failOpen(disk)),
    when: (lab) => Effect.flip(bound(lab)),
    then: (lab, error) =>
      Effect.gen(function*() {
        assert.deepInclude(error, { _tag: "Internal", retryable: true })
        assert.isFalse(yield* lab.machine.containsSession(A))
        yield* bound(lab)
        yield* stillRuns(lab)
      })
  })

  row("BND-10 a restart keeps the epoch and makes new bindings", {
    given: bound,
    when: (lab) => Effect.flatMap(lab.boot, (process) => process.machine.prepareBindings(A)),
    then: (_, next, first) =>
      Effect.sync(() => {
        assert.strictEqual(next.epochId, first.epochId)
        assert.notStrictEqual(next, first)
        assert.notStrictEqual(next.incarnation, first.incarnation)
      })
  })

  row("D7 bindings of an earlier incarnation fail with NotReady", {
    given: begun,
    when: (lab) => Effect.zipRight(lab.machine.unregisterSession(A), bound(lab)),
    then: (lab, next, { bindings, run }) =>
      Effect.gen(function*() {
        assert.notStrictEqual(next, bindings)
        const late = [
          bindings.turn.begin(),
          bindings.turn.begin(runId(7)),
          bindings.turn.complete(),
          bindings.turn.complete(undefined, run),
          bindings.turn.fail("x"),
          bindings.turn.cancel("x"),
          bindings.turn.run(Effect.void),
          bindings.tools.boundaryApplied
        ]
        for (const call of late) assert.strictEqual(yield* failing(call), "NotReady{destroyed}")
        assert.strictEqual(yield* stateOf(lab, A), "idle")
        assert.isTrue(Option.isNone(yield* next.turn.snapshot))
      })
  })

  row("verifyBindings refuses forged bindings", {
    given: nothing,
    when: bound,
    then: ({ machine }, bindings) =>
      Effect.gen(function*() {
        assert.strictEqual(yield* machine.verifyBindings(bindings), bindings)
        assert.isTrue(isBindings(bindings))
        for (const forged of [{ ...bindings }, Object.create(bindings), null, undefined, "bindings", {}]) {
          assert.isFalse(isBindings(forged))
          assert.strictEqual(yield* failing(machine.verifyBindings(forged)), "ValidationFailed")
        }
        assert.isTrue(Object.isFrozen(bindings) && Object.isFrozen(bindings.turn))
      })
  })

  row("D26 a turn needs a binding, and a reset removes the binding", {
    given: ({ machine }) => machine.prepareLocalSessionBindings(A),
    when: (lab, { turn }) =>
      Effect.gen(function*() {
        const unbound = yield* failing(turn.begin())
        yield* bound(lab)
        const ok = yield* failing(turn.run(Effect.void))
        yield* lab.machine.resetRuntime(A)
        return [unbound, ok, yield* failing(turn.begin())]
      }),
    then: (_, told) =>
      Effect.sync(() => assert.deepStrictEqual(told, ["ValidationFailed", "success", "ValidationFailed"]))
  })
})

describe("service turns", () => {
  for (const where of ["idle", "attached"] as const) {
    row(`LOOP-28 a turn that began while ${where} returns there, and no batch starts during it`, {
      given: (lab) => where === "attached" ? Effect.map(attached(lab), (_) => _.bindings) : bound(lab),
      when: (lab, { turn }) =>
        Effect.gen(function*() {
          const run = yield* turn.begin()
          const snapshot = Option.getOrThrow(yield* turn.snapshot)
          const { completion } = yield* lab.machine.session(A).prompt("next")
          const waiting = yield* Effect.fork(completion.wait)
          yield* lab.settle
          const during = [yield* stateOf(lab, A), (yield* snapshotOf(lab, A)).queue.length]
          yield* turn.complete()
          const after = yield* stateOf(lab, A)
          if (where === "attached") yield* Fiber.join(waiting)
          return { run, snapshot, during, after }
        }),
      then: (lab, { after, during, run, snapshot }) =>
        Effect.gen(function*() {
          assert.deepInclude(snapshot, { runId: run, returnsTo: where, cancelRequested: null, yieldRequested: null })
          assert.deepStrictEqual(during, ["running", 1])
          if (where === "idle") assert.strictEqual(after, where)
          yield* lab.settle
          assert.strictEqual(yield* stateOf(lab, A), where)
        })
    })
  }

  row("LOOP-28 D24 a session retires after the turn when it is retired during the turn", {
    given: begun,
    when: (lab, { bindings }) =>
      Effect.gen(function*() {
        yield* lab.machine.retireRuntime(A)
        const during = (yield* snapshotOf(lab, A)).currentRunOwner
        yield* lab.machine.commitServiceTurnTerminalReceipt(A)
        return { during, again: yield* failing(bindings.turn.begin()) }
      }),
    then: (lab, told) =>
      Effect.gen(function*() {
        assert.deepStrictEqual(told, { during: "service", again: "NotReady{retired}" })
        assert.strictEqual(yield* stateOf(lab, A), "retired")
      })
  })

  row("D26 commitServiceTurnTerminalReceipt fails when no service turn is in progress", {
    given: (lab) => attached(lab),
    when: (lab, { bindings }) =>
      Effect.gen(function*() {
        const commit = failing(lab.machine.commitServiceTurnTerminalReceipt(A))
        const unknown = yield* failing(lab.machine.commitServiceTurnTerminalReceipt(B))
        const none = yield* commit
        yield* bindings.turn.begin()
        yield* bindings.turn.fail("no")
        const failed = yield* commit
        yield* bindings.turn.begin()
        yield* bindings.turn.cancel("no")
        const cancelled = yield* commit
        const latched = yield* lab.executor({ held: true })
        yield* lab.machine.ensureSessionWithExecutor(B, latched.executor)
        yield* lab.machine.acceptInput(B, prompt(1))
        yield* latched.started(1)
        const ofLoop = yield* failing(lab.machine.commitServiceTurnTerminalReceipt(B))
        yield* latched.open
        return [unknown, none, failed, cancelled, ofLoop]
      }),
    then: (_, errors) =>
      Effect.sync(() =>
        assert.deepStrictEqual(errors, [
          "NotReady{destroyed}",
          "NotReady{attached}",
          "NotReady{attached}",
          "NotReady{attached}",
          "NotReady{running}"
        ])
      )
  })

  row("D26 calls of a named turn may be repeated, and calls of another turn are refused", {
    given: bound,
    when: (lab, { turn }) =>
      Effect.gen(function*() {
        const first = runId(1)
        yield* turn.begin(first)
        yield* turn.begin(first)
        const beside = yield* failing(turn.begin(runId(2)))
        const output = Turns.reply("one")
        yield* turn.complete(output, first)
        yield* turn.complete(output, first)
        const contrary = yield* failing(turn.fail("x", first))
        const reused = yield* failing(turn.begin(first))
        yield* turn.begin(runId(3))
        const late = yield* failing(
          turn.complete(undefined, first).pipe(Effect.zipRight(turn.cancel("late", runId(9))))
        )
        yield* turn.complete()
        const old = yield* failing(turn.begin(first))
        return { beside, contrary, reused, late, old, receipt: yield* lab.machine.loadBoundaryReceipt(A, first, 0) }
      }),
    then: (lab, { receipt, ...errors }) =>
      Effect.gen(function*() {
        assert.deepStrictEqual(errors, {
          beside: "NotReady{running}",
          contrary: "NotReady{idle}",
          reused: "ValidationFailed",
          late: "NotReady{running}",
          old: "ValidationFailed"
        })
        assert.deepInclude(Option.getOrNull(receipt), { contributingInputIds: [], messageCount: 1, sequence: 0 })
        assert.strictEqual((yield* snapshotOf(lab, A)).messageCount, 1)
      })
  })

  row("D21 a turn stays open and complete may be repeated when its output cannot be stored", {
    given: begun,
    when: (lab, { bindings }) =>
      Effect.gen(function*() {
        lab.faults.failCommit(disk)
        const error = yield* Effect.flip(bindings.turn.complete(Turns.reply("kept")))
        const during = yield* stateOf(lab, A)
        yield* bindings.turn.complete(Turns.reply("kept"))
        return { error, during }
      }),
    then: (lab, { during, error }) =>
      Effect.gen(function*() {
        assert.deepInclude(error, { _tag: "Internal", retryable: true })
        assert.strictEqual(during, "running")
        assert.strictEqual((yield* snapshotOf(lab, A)).messageCount, 1)
        yield* stillRuns(lab)
      })
  })

  row("D26 run succeeds, fails and dies as its effect does", {
    given: bound,
    when: (lab, { turn }) =>
      Effect.gen(function*() {
        const value = yield* turn.run(Effect.succeed(3), { output: (n) => Turns.reply(`${n}`) })
        const error = yield* Effect.flip(turn.run(Effect.fail("no" as const)))
        const defect = yield* Effect.exit(turn.run(Effect.die("boom")))
        return { value, error, defect, count: (yield* snapshotOf(lab, A)).messageCount }
      }),
    then: (lab, told) =>
      Effect.gen(function*() {
        assert.deepStrictEqual(told, { value: 3, error: "no", defect: Exit.die("boom"), count: 1 })
        yield* stillRuns(lab)
      })
  })

  row("D26 interrupting the caller of run cancels the turn, which no other call can end", {
    given: working,
    when: (_, { bindings, caller }) =>
      Effect.gen(function*() {
        const foreign = yield* failing(bindings.turn.complete())
        return { foreign, exit: yield* Fiber.interrupt(caller) }
      }),
    then: (lab, { exit, foreign }, { calls }) =>
      Effect.gen(function*() {
        assert.strictEqual(foreign, "ValidationFailed")
        assert.isTrue(Exit.isInterrupted(exit))
        assert.strictEqual(calls.interrupted, 1)
        yield* stillRuns(lab)
      })
  })

  row("D26 run releases the slot when its caller is interrupted at any moment", {
    given: bound,
    when: (lab, { turn }) =>
      Effect.gen(function*() {
        for (let turns = 0; turns < 40; turns++) {
          const caller = yield* Effect.fork(turn.run(Effect.yieldNow(), { output: () => Turns.reply("x") }))
          for (let step = 0; step < turns; step++) yield* Effect.yieldNow()
          yield* Fiber.interrupt(caller)
          assert.strictEqual(yield* stateOf(lab, A), "idle", `after ${turns} turns`)
        }
      }),
    then: stillRuns
  }, { seeds: 5 })

  row("D26 a bind, a named begin and an end may be repeated after an interruption at any moment", {
    given: nothing,
    when: ({ machine }) =>
      Effect.gen(function*() {
        for (let turns = 0; turns < 20; turns++) {
          const again = <E>(call: Effect.Effect<unknown, E>) =>
            Effect.gen(function*() {
              const caller = yield* Effect.fork(call)
              for (let step = 0; step < turns; step++) yield* Effect.yieldNow()
              yield* Fiber.interrupt(caller)
              yield* call
            })
          yield* again(machine.prepareBindings(A))
          const { turn } = yield* machine.prepareBindings(A)
          yield* again(turn.begin(runId(turns)))
          yield* again(turn.complete(Turns.reply("x"), runId(turns)))
          yield* machine.unregisterSession(A)
        }
      }),
    then: nothing
  }, { seeds: 5 })

  row("D21 the error of run carries its result when the result cannot be stored", {
    given: working,
    when: (lab, { caller, open }) =>
      Effect.gen(function*() {
        for (let nth = 1; nth <= 6; nth++) lab.faults.failCommit(disk, { nth })
        yield* open
        for (let n = 0; n < 4; n++) yield* Effect.zipRight(lab.settle, lab.advance("1 second"))
        return yield* Effect.flip(Fiber.join(caller))
      }),
    then: (lab, error) =>
      Effect.gen(function*() {
        assert.deepInclude(error, { _tag: "Internal", retryable: true })
        assert.deepStrictEqual(uncommittedResult(error), Option.some("done"))
        yield* stillRuns(lab)
      })
  })

  row("D17 a cancel interrupts run; a turn without a caller loses the slot after the grace", {
    given: working,
    when: (lab, { bindings, caller }) =>
      Effect.gen(function*() {
        yield* lab.machine.hardCancelCurrentRun(A, "too slow")
        const ended = yield* Effect.flip(Fiber.join(caller))
        const run = yield* bindings.turn.begin()
        const asked = yield* Effect.fork(bindings.turn.cancelRequested(run))
        yield* lab.machine.hardCancelCurrentRun(A, "gone")
        const reason = yield* Fiber.join(asked)
        const before = lab.backend === "simulated" ? "running" : yield* stateOf(lab, A)
        yield* lab.advance("31 seconds")
        return { ended, reason, before, after: yield* stateOf(lab, A), late: yield* failing(bindings.turn.complete()) }
      }),
    then: (_, { ended, ...told }) =>
      Effect.sync(() => {
        assert.deepInclude(ended, { _tag: "TurnCancelled", detail: "too slow" })
        assert.deepStrictEqual(told, {
          reason: Option.some("gone"),
          before: "running",
          after: "idle",
          late: "NotReady{idle}"
        })
      })
  })

  const ends: ReadonlyArray<readonly [string, string, (lab: Lab) => Effect.Effect<unknown, RuntimeDriverError>]> = [
    ["an unregistration", "NotReady{destroyed}", ({ machine }) => machine.unregisterSession(A)],
    ["a destroy", "Destroyed", ({ machine }) => machine.destroyRuntime(A)]
  ]
  for (const [name, expected, end] of ends) {
    row(`D7 D25 ${name} ends a turn with or without a caller`, {
      given: working,
      when: (lab, { calls }) => Effect.map(end(lab), (report) => ({ report, interrupted: calls.interrupted })),
      then: (lab, { interrupted, report }, { bindings, caller }) =>
        Effect.gen(function*() {
          assert.deepInclude(report, { joined: true })
          assert.strictEqual(interrupted, 1)
          assert.strictEqual(yield* failing(Fiber.join(caller)), expected)
          assert.strictEqual(yield* failing(bindings.turn.complete()), expected)
          yield* lab.machine.unregisterSession(A).pipe(Effect.ignore)
          if (name === "a destroy") return
          const again = yield* begun(lab)
          assert.deepInclude(yield* end(lab), { joined: true, requeued: 0 })
          assert.strictEqual(yield* failing(again.bindings.turn.complete()), expected)
          yield* stillRuns(lab)
        })
    })
  }

  for (const where of ["idle", "attached"] as const) {
    row(`D25 stopping a session that was ${where} waits for the turn`, {
      given: (lab) =>
        Effect.gen(function*() {
          const latched = yield* lab.executor()
          if (where === "attached") yield* lab.machine.ensureSessionWithExecutor(A, latched.executor)
          const { turn } = yield* bound(lab)
          yield* turn.begin()
          return { turn, hooks: () => latched.counts().stop }
        }),
      when: (lab, { hooks, turn }) =>
        Effect.gen(function*() {
          const stop = yield* Effect.fork(lab.machine.stopRuntimeExecutor(A, "enough"))
          yield* lab.settle
          const during = [yield* stateOf(lab, A), Option.isNone(yield* Fiber.poll(stop)), hooks()]
          yield* turn.complete()
          const report = yield* Fiber.join(stop)
          return { during, report, hooks: hooks(), again: yield* failing(turn.begin()) }
        }),
      then: (_, told) =>
        Effect.sync(() =>
          assert.deepStrictEqual(told, {
            during: ["running", true, 0],
            report: { inputsAbandoned: 0, joined: true },
            hooks: where === "attached" ? 1 : 0,
            again: "NotReady{stopped}"
          })
        )
    })
  }

  row("D7 an unregistration ends a stop that waits for a turn", {
    given: begun,
    when: (lab) =>
      Effect.gen(function*() {
        const stop = yield* Effect.fork(failing(lab.machine.stopRuntimeExecutor(A, "enough")))
        yield* lab.settle
        const report = yield* lab.machine.unregisterSession(A)
        return [yield* Fiber.join(stop), report.forced]
      }),
    then: (_, told) => Effect.sync(() => assert.deepStrictEqual(told, ["NotReady{destroyed}", false]))
  })
})

describe("prepared interrupt handles", () => {
  /** A handle that reports the run and the reason of its call. */
  const handle = Effect.map(Deferred.make<string>(), (called) => ({
    called: Deferred.await(called),
    handle: (request: { readonly runId: string; readonly reason: string }) =>
      Effect.asVoid(Deferred.succeed(called, `${request.runId} ${request.reason}`))
  }))

  row("INT-07 a cancel calls the prepared handle once and interrupts the turn after the grace", {
    given: (lab) => Effect.zip(working(lab), handle),
    when: (lab, [{ bindings, caller }, prepared]) =>
      Effect.gen(function*() {
        yield* lab.machine.installPreparedSessionInterruptHandle(A, prepared.handle)
        const run = Option.getOrThrow(yield* bindings.turn.snapshot).runId
        yield* lab.machine.hardCancelCurrentRun(A, "why")
        const called = yield* prepared.called
        const waited = lab.backend === "simulated" || Option.isNone(yield* Fiber.poll(caller))
        yield* lab.advance("31 seconds")
        return { called, expected: `${run} why`, waited, ended: (yield* Effect.flip(Fiber.join(caller)))._tag }
      }),
    then: (_, { called, ended, expected, waited }) =>
      Effect.sync(() => assert.deepStrictEqual([called, waited, ended], [expected, true, "TurnCancelled"]))
  })

  row("INT-07 a prepared handle that hangs delays no cancel of acceptInputAndRun", {
    given: ({ machine }) => machine.registerSession(A),
    when: (lab) =>
      Effect.gen(function*() {
        const started = yield* Effect.makeLatch(false)
        yield* lab.machine.installPreparedSessionInterruptHandle(A, () => Effect.never)
        const caller = yield* Effect.fork(
          lab.machine.acceptInputAndRun(A, prompt(1), () => Effect.zipRight(started.open, Effect.never))
        )
        yield* started.await
        yield* lab.machine.hardCancelCurrentRun(A, "why")
        yield* lab.settle
        yield* lab.advance("31 seconds")
        return [yield* failing(Fiber.join(caller)), yield* lab.machine.outcome(A, inputId(1))]
      }),
    then: (_, told) =>
      Effect.sync(() => assert.deepStrictEqual(told, ["TurnCancelled", Option.some({ _tag: "Cancelled" })]))
  })

  row("INT-07 attaching an executor removes the prepared handle, and another one is refused", {
    given: (lab) =>
      Effect.gen(function*() {
        const calls = { prepared: 0 }
        const prepared = () => Effect.sync(() => void calls.prepared++)
        yield* lab.machine.registerSession(A)
        yield* lab.machine.installPreparedSessionInterruptHandle(A, prepared)
        const latched = yield* lab.executor({ held: true, hardCancel: () => Effect.void })
        yield* lab.machine.ensureSessionWithExecutor(A, latched.executor)
        const refused = yield* Effect.flip(lab.machine.installPreparedSessionInterruptHandle(A, prepared))
        return { calls, latched, refused }
      }),
    when: (lab, { latched }) =>
      Effect.gen(function*() {
        const { completion } = yield* lab.machine.session(A).prompt("x")
        yield* latched.started(1)
        yield* lab.machine.hardCancelCurrentRun(A, "why")
        yield* lab.settle
        yield* lab.advance("31 seconds")
        const outcome = yield* completion.wait
        // The end of the loop does not bring the prepared handle back: no handle is left.
        yield* killLoop(lab)
        const { turn } = yield* bound(lab)
        const caller = yield* Effect.fork(turn.run(Effect.never))
        yield* lab.settle
        yield* lab.machine.hardCancelCurrentRun(A, "again")
        return [outcome, yield* failing(Fiber.join(caller))]
      }),
    then: (_, outcomes, { calls, latched, refused }) =>
      Effect.sync(() => {
        assert.deepStrictEqual(outcomes, [{ _tag: "Cancelled" }, "TurnCancelled"])
        assert.deepStrictEqual([calls.prepared, latched.counts().hardCancel], [0, 1])
        assert.strictEqual(refused._tag === "ValidationFailed" ? refused.detail._tag : refused._tag, "Conflict")
      })
  })

  row("INT-03 D16 a cancel whose caller is interrupted ends the run completely or not at all", {
    given: working,
    when: (lab, { caller }) =>
      Effect.gen(function*() {
        const cancel = yield* Effect.fork(lab.machine.hardCancelCurrentRun(A, "first"))
        yield* Effect.yieldNow()
        yield* Effect.yieldNow()
        yield* Fiber.interrupt(cancel)
        yield* Effect.ignore(lab.machine.hardCancelCurrentRun(A, "second"))
        return yield* failing(Fiber.join(caller))
      }),
    then: (_, error) => Effect.sync(() => assert.strictEqual(error, "TurnCancelled"))
  })

  row("INT-07 a prepared handle is refused for a destroyed or unknown session", {
    given: ({ machine }) => Effect.zipRight(machine.registerSession(A), machine.destroyRuntime(A)),
    when: ({ machine }) =>
      Effect.forEach([A, B], (id) => failing(machine.installPreparedSessionInterruptHandle(id, () => Effect.void))),
    then: (_, errors) => Effect.sync(() => assert.deepStrictEqual(errors, ["Destroyed", "NotReady{destroyed}"]))
  })
})
