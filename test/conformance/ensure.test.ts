/** ENS: attaching an executor to a session, alone and in a race. */
import { assert } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as CoreExecutor from "../../services/CoreExecutor.js"
import type { CompletionOutcome } from "../../src/domain/Completion.js"
import { StoreIo } from "../../src/domain/StoreErrors.js"
import type { LatchedExecutor } from "../../src/testkit/index.js"
import { inputId, message, peer, prompt } from "../support/inputs.js"
import type { Lab } from "./driver.js"
import {
  A,
  failing,
  killLoop,
  nothing,
  row,
  snapshotOf,
  stateOf,
  storedInputs,
  storedPhases,
  storedState
} from "./driver.js"

/** An executor whose factory counts how often it was built and released. */
const built = (lab: Lab, options?: LatchedExecutor.LatchedOptions) =>
  Effect.gen(function*() {
    const latched = yield* lab.executor(options)
    const reached = yield* Deferred.make<void>()
    const log = { built: 0, released: 0 }
    const make = Effect.acquireRelease(
      Effect.sync(() => {
        log.built++
        return latched.executor
      }),
      () =>
        Effect.sync(() => {
          log.released++
        })
    ).pipe(Effect.tap(Deferred.succeed(reached, undefined)))
    return { ...latched, log, make, reached: Deferred.await(reached) }
  })

const ensure = (lab: Lab, { executor }: LatchedExecutor.LatchedExecutor) =>
  lab.machine.ensureSessionWithExecutor(A, executor)

/** Accepts a prompt and waits for its outcome. */
const finished = (lab: Lab, n: number): Effect.Effect<CompletionOutcome["_tag"], unknown> =>
  Effect.flatMap(lab.machine.acceptInputWithCompletion(A, prompt(n)), ({ completion }) =>
    Option.match(completion, {
      onNone: () => Effect.dieMessage("no completion"),
      onSome: ({ wait }) => Effect.map(wait, ({ _tag }) => _tag)
    }))

const broken = new StoreIo({ operation: "open", code: "EIO", detail: "the disk is gone" })

row("ENS-01 ensure registers and attaches an unknown session", {
  given: (lab) => lab.executor(),
  when: ensure,
  then: (lab, outcome) =>
    Effect.gen(function*() {
      assert.strictEqual(outcome, "attached")
      assert.strictEqual(yield* stateOf(lab, A), "attached")
      assert.isTrue(yield* lab.machine.sessionHasExecutor(A))
      assert.isTrue((yield* snapshotOf(lab, A)).attachmentLive)
    })
})

row("ENS-02 an attachment runs the queued inputs", {
  given: (lab) =>
    Effect.gen(function*() {
      yield* lab.machine.registerSession(A)
      const { completion } = yield* lab.machine.acceptInputWithCompletion(A, prompt(1))
      return { executor: yield* lab.executor(), waiter: yield* completion }
    }),
  when: (lab, { executor, waiter }) => Effect.zipRight(ensure(lab, executor), waiter.wait),
  then: (lab, outcome, { executor }) =>
    Effect.gen(function*() {
      assert.strictEqual(outcome._tag, "Completed")
      assert.strictEqual(executor.counts().apply, 1)
      assert.deepStrictEqual(yield* storedPhases(lab, A), ["consumed"])
      assert.strictEqual(yield* stateOf(lab, A), "attached")
    })
})

row("ENS-03 a registration and an attachment that race share one incarnation and one loop", {
  given: (lab) => lab.executor(),
  when: (lab, executor) =>
    Effect.zipRight(
      Effect.all([lab.machine.registerSession(A), ensure(lab, executor)], { concurrency: "unbounded" }),
      finished(lab, 1)
    ),
  then: (lab, outcome, executor) =>
    Effect.gen(function*() {
      assert.strictEqual(outcome, "Completed")
      assert.strictEqual(executor.counts().apply, 1)
      assert.strictEqual((yield* snapshotOf(lab, A)).incarnation, 1)
      assert.strictEqual(lab.loops().length, 1)
    })
})

row("ENS-04 a second attachment leaves the first executor in place", {
  given: (lab) =>
    Effect.gen(function*() {
      const first = yield* lab.executor()
      yield* ensure(lab, first)
      return { first, second: yield* built(lab) }
    }),
  when: (lab, { second }) =>
    Effect.gen(function*() {
      const given = yield* ensure(lab, second)
      const made = yield* lab.machine.ensureSessionWithExecutorFactory(A, second.make)
      return { outcomes: [given, made], end: yield* finished(lab, 1) }
    }),
  then: (_, { end, outcomes }, { first, second }) =>
    Effect.sync(() => {
      assert.deepStrictEqual(outcomes, ["alreadyAttached", "alreadyAttached"])
      assert.strictEqual(end, "Completed")
      assert.strictEqual(first.counts().apply, 1)
      assert.deepStrictEqual(Object.values(second.counts()), [0, 0, 0, 0, 0, 0])
      assert.strictEqual(second.log.built, second.log.released)
    })
})

// The losers of the race wait for the winner, which is how this test reads the row (D6).
row("ENS-05 one of sixteen concurrent attachments wins", {
  given: (lab) => Effect.replicateEffect(lab.executor(), 16),
  when: (lab, executors) =>
    Effect.gen(function*() {
      const outcomes = yield* Effect.forEach(
        executors,
        (executor) => Effect.zip(ensure(lab, executor), lab.machine.sessionHasExecutor(A)),
        { concurrency: "unbounded" }
      )
      return { outcomes, end: yield* finished(lab, 1) }
    }),
  then: (lab, { end, outcomes }, executors) =>
    Effect.gen(function*() {
      assert.strictEqual(outcomes.filter(([outcome]) => outcome === "attached").length, 1)
      assert.isTrue(outcomes.every(([, live]) => live))
      assert.strictEqual(end, "Completed")
      assert.strictEqual(executors.reduce((sum, executor) => sum + executor.counts().apply, 0), 1)
      yield* lab.settle
      assert.strictEqual(lab.loops().length, 1)
    })
})

row("ENS-06 an interrupted attachment releases the slot", {
  given: (lab) =>
    Effect.gen(function*() {
      yield* lab.machine.registerSession(A)
      const first = yield* built(lab)
      const latch = yield* lab.latch
      const parked = Effect.zipLeft(first.make, latch.await)
      const fiber = yield* Effect.forkScoped(lab.machine.ensureSessionWithExecutorFactory(A, parked))
      yield* first.reached
      return { first, fiber, second: yield* lab.executor() }
    }),
  when: (lab, { fiber, second }) =>
    Effect.gen(function*() {
      yield* Fiber.interrupt(fiber)
      const left = yield* lab.machine.sessionHasExecutor(A)
      return { left, outcome: yield* ensure(lab, second) }
    }),
  then: (lab, { left, outcome }, { first, second }) =>
    Effect.gen(function*() {
      assert.isFalse(left)
      assert.deepStrictEqual(first.log, { built: 1, released: 1 })
      assert.strictEqual(outcome, "attached")
      assert.strictEqual(yield* finished(lab, 1), "Completed")
      assert.strictEqual(second.counts().apply, 1)
    })
})

// This test reads the row as: phase and loop never disagree, so a session with a dead loop is idle.
for (const how of ["fails", "is interrupted"] as const) {
  row(`ENS-05 the second attachment takes over when the first of a race ${how}, and the session stays registered`, {
    given: nothing,
    when: (lab) =>
      Effect.gen(function*() {
        const reached = yield* lab.latch
        const gate = yield* lab.latch
        const doomed = Effect.zipRight(Effect.zipRight(reached.open, gate.await), Effect.fail("broken"))
        const second = yield* lab.executor()
        const first = yield* Effect.forkScoped(lab.machine.ensureSessionWithExecutorFactory(A, doomed))
        yield* reached.await
        const other = yield* Effect.forkScoped(ensure(lab, second))
        yield* lab.settle
        yield* how === "fails" ? gate.open : Fiber.interruptFork(first)
        return { second, outcome: yield* Fiber.join(other), first: yield* Fiber.await(first) }
      }),
    then: (lab, { outcome, second }) =>
      Effect.gen(function*() {
        assert.strictEqual(outcome, "attached")
        assert.strictEqual(yield* finished(lab, 1), "Completed")
        assert.strictEqual(second.counts().apply, 1)
      })
  })
}

row("ENS-06 an interrupted sessionScoped does not wait for its factory, and unregisters the session it registered", {
  given: nothing,
  when: (lab) =>
    Effect.gen(function*() {
      const reached = yield* lab.latch
      const build = Effect.zipRight(reached.open, Effect.never)
      const fiber = yield* Effect.forkScoped(Effect.scoped(lab.machine.sessionScoped(A, build)))
      yield* reached.await
      yield* Fiber.interruptFork(fiber)
      yield* lab.settle
      return fiber.unsafePoll() !== null
    }),
  then: (lab, ended) =>
    Effect.gen(function*() {
      assert.isTrue(ended)
      assert.isFalse(yield* lab.machine.containsSession(A))
      assert.strictEqual(yield* lab.machine.fiberCount, 0)
    })
})

// A session whose loop has ended is idle, since phase and loop never disagree. This overrides the row (D5).
row("ENS-07 an attachment replaces a dead loop", {
  given: (lab) =>
    Effect.gen(function*() {
      yield* ensure(lab, yield* lab.executor({ stop: Effect.dieMessage("boom") }))
      yield* lab.settle
      yield* killLoop(lab)
      return yield* lab.executor()
    }),
  when: (lab, second) =>
    Effect.gen(function*() {
      const cancel = yield* failing(lab.machine.hardCancelCurrentRun(A, "why"))
      return { cancel, outcome: yield* ensure(lab, second), end: yield* finished(lab, 1) }
    }),
  then: (_, outcome, second) =>
    Effect.sync(() => {
      assert.deepStrictEqual(outcome, { cancel: "NotReady{idle}", outcome: "attached", end: "Completed" })
      assert.strictEqual(second.counts().apply, 1)
    })
})

row("ENS-08 an input right after the attachment runs without another stimulus", {
  given: (lab) => Effect.zipRight(lab.machine.registerSession(A), lab.executor()),
  when: (lab, executor) => Effect.zipRight(ensure(lab, executor), finished(lab, 1)),
  then: (_, outcome, executor) =>
    Effect.sync(() => {
      assert.strictEqual(outcome, "Completed")
      assert.strictEqual(executor.counts().apply, 1)
    })
})

row("ENS-09 no wake is lost during an attachment", {
  given: (lab) => Effect.zipRight(lab.machine.registerSession(A), lab.executor()),
  when: (lab, executor) =>
    Effect.all([ensure(lab, executor), finished(lab, 1), finished(lab, 2)], { concurrency: "unbounded" }),
  then: (lab, outcomes, executor) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(outcomes, ["attached", "Completed", "Completed"])
      const ran = executor.turns().flatMap(({ inputs }) => inputs.map(({ header }) => header.id))
      assert.deepStrictEqual(ran.sort(), [inputId(1), inputId(2)])
      assert.deepStrictEqual(yield* storedPhases(lab, A), ["consumed", "consumed"])
    })
})

row("ENS-10 a destroyed session refuses an executor", {
  given: (lab) =>
    Effect.gen(function*() {
      yield* lab.machine.registerSession(A)
      yield* lab.machine.destroyRuntime(A)
      return yield* built(lab)
    }),
  when: ({ machine }, { make }) => failing(machine.ensureSessionWithExecutorFactory(A, make)),
  then: (lab, error, { log }) =>
    Effect.gen(function*() {
      assert.strictEqual(error, "Destroyed")
      assert.strictEqual(log.built, log.released)
      assert.strictEqual(lab.loops().length, 0)
      assert.isFalse(yield* lab.machine.sessionHasExecutor(A))
    })
})

// This test reads "retired" as: without pending inputs. With pending inputs, a loop drains them.
for (const state of ["retired", "stopped"] as const) {
  // A retired session with pending inputs gets a loop that drains them, which overrides the row (D5). This session has
  // no pending inputs.
  row(`ENS-11 a ${state} session refuses an executor`, {
    given: (lab) =>
      Effect.gen(function*() {
        yield* lab.machine.registerSession(A)
        yield* (state === "retired" ? lab.machine.retireRuntime(A) : lab.machine.stopRuntimeExecutor(A, "why"))
        return yield* built(lab)
      }),
    when: ({ machine }, { make }) =>
      Effect.all([
        failing(machine.ensureSessionWithExecutorFactory(A, make)),
        failing(machine.ensureSessionWithExecutorFactory(A, make))
      ]),
    then: (lab, errors, { log }) =>
      Effect.gen(function*() {
        assert.deepStrictEqual(errors, [`NotReady{${state}}`, `NotReady{${state}}`])
        assert.strictEqual(log.built, log.released)
        assert.isFalse(yield* lab.machine.sessionHasExecutor(A))
        assert.strictEqual((yield* snapshotOf(lab, A)).registration, "Queuing")
      })
  })
}

// A late attachment fails with `NotReady{destroyed}`, which overrides the row (D6).
row("ENS-12 a late attachment does not change the next incarnation", {
  given: (lab) =>
    Effect.gen(function*() {
      yield* lab.machine.registerSession(A)
      const old = yield* built(lab)
      const latch = yield* lab.latch
      const parked = Effect.zipLeft(old.make, latch.await)
      const fiber = yield* Effect.forkScoped(failing(lab.machine.ensureSessionWithExecutorFactory(A, parked)))
      yield* old.reached
      return { old, latch, fiber }
    }),
  when: (lab, { fiber, latch }) =>
    Effect.gen(function*() {
      yield* lab.machine.unregisterSession(A)
      yield* lab.machine.registerSession(A)
      yield* latch.open
      return yield* Fiber.join(fiber)
    }),
  then: (lab, error, { old }) =>
    Effect.gen(function*() {
      assert.strictEqual(error, "NotReady{destroyed}")
      assert.deepStrictEqual(old.log, { built: 1, released: 1 })
      const snapshot = yield* snapshotOf(lab, A)
      assert.strictEqual(snapshot.state, "idle")
      assert.strictEqual(snapshot.registration, "Queuing")
      assert.isFalse(snapshot.attachmentLive)
      assert.strictEqual(yield* ensure(lab, old), "attached")
    })
})

row("ENS-13 an attachment releases the slot when the handles of its executor cannot be read", {
  given: (lab) => lab.machine.registerSession(A),
  when: ({ machine }) => {
    const broken: Pick<CoreExecutor.CoreExecutor, "stop"> = {
      get stop(): never {
        throw new Error("no handles")
      }
    }
    const make = Effect.suspend(() => CoreExecutor.make(() => Effect.never, broken))
    return failing(machine.ensureSessionWithExecutorFactory(A, make))
  },
  then: (lab, error) =>
    Effect.gen(function*() {
      assert.strictEqual(error, "Internal")
      assert.strictEqual(yield* stateOf(lab, A), "idle")
      assert.strictEqual(yield* ensure(lab, yield* lab.executor()), "attached")
      assert.strictEqual(yield* finished(lab, 1), "Completed")
    })
})

// An input accepted without wake is held: it drives no run, and runs in front of the next driving input. An attachment
// looks at the queue and begins no run for held inputs alone. This overrides the row (D12).
row("ENS-15 an attachment looks at the queue, and a held input waits for a driving one", {
  given: (lab) =>
    Effect.gen(function*() {
      yield* lab.machine.registerSession(A)
      yield* lab.machine.acceptInputWithoutWake(A, prompt(1))
      const executor = yield* lab.executor()
      yield* lab.machine.ensureSessionWithExecutor(A, executor.executor)
      yield* lab.advance("1 hour")
      assert.deepStrictEqual([executor.counts().apply, yield* storedPhases(lab, A)], [0, ["queued"]])
      yield* lab.machine.unregisterSession(A)
      yield* lab.machine.registerSession(A)
      yield* lab.machine.acceptInput(A, peer(2, message))
      return yield* lab.executor()
    }),
  when: (lab, { executor }) => Effect.zipRight(lab.machine.ensureSessionWithExecutor(A, executor), lab.settle),
  then: (lab, _, executor) =>
    Effect.gen(function*() {
      const ran = executor.turns().flatMap(({ inputs }) => inputs.map(({ header }) => header.id))
      assert.deepStrictEqual(ran, [inputId(1), inputId(2)])
      assert.deepStrictEqual(yield* storedPhases(lab, A), ["consumed", "consumed"])
    })
})

row("ENS-16 an attachment after a restart keeps the stored epoch", {
  given: (lab) =>
    Effect.gen(function*() {
      const begin: LatchedExecutor.LatchedOptions["begin"] = ({ operations }) =>
        Effect.orDie(Effect.asVoid(operations.run(Effect.never, { displayName: "endless" })))
      yield* ensure(lab, yield* lab.executor({ begin }))
      yield* finished(lab, 1)
      return { before: yield* snapshotOf(lab, A), second: yield* lab.executor() }
    }),
  when: (lab, { second }) =>
    Effect.gen(function*() {
      const cold = yield* lab.boot
      yield* cold.machine.ensureSessionWithExecutor(A, second.executor)
      yield* cold.machine.acceptInput(A, prompt(2))
      const turn = yield* second.started(1)
      const { entries } = yield* cold.machine.session(A).operations.listSince(0)
      return { turn, after: yield* snapshotOf(cold, A), entries }
    }),
  then: (_, { after, entries, turn }, { before }) =>
    Effect.sync(() => {
      assert.strictEqual(after.epochId, before.epochId)
      assert.deepStrictEqual(entries.map(({ displayName, outcome }) => [displayName, outcome._tag]), [
        ["endless", "Terminated"]
      ])
      assert.deepStrictEqual(turn.completions, entries)
    })
})

row("ENS-17 an attachment is not stored", {
  given: (lab) => lab.executor(),
  when: ensure,
  then: (lab) =>
    Effect.gen(function*() {
      assert.strictEqual(yield* stateOf(lab, A), "attached")
      assert.strictEqual(yield* storedState(lab, A), "idle")
    })
})

row("ENS-19 an attachment fails with the error of a failed recovery", {
  given: (lab) => Effect.zipRight(Effect.sync(() => lab.faults.failOpen(broken)), built(lab)),
  when: ({ machine }, { make }) => Effect.flip(machine.ensureSessionWithExecutorFactory(A, make)),
  then: (lab, error, { log }) =>
    Effect.gen(function*() {
      assert.strictEqual(error._tag, "Internal")
      assert.include(error.message, "the disk is gone")
      assert.isFalse(yield* lab.machine.containsSession(A))
      assert.strictEqual(log.built, log.released)
    })
})

row("ENS-19 an attachment fails with RecoveryCorruption when the session is corrupt", {
  given: (lab) =>
    Effect.gen(function*() {
      const corrupt = [{ table: "input", key: inputId(1), detail: "cannot be read" }]
      lab.faults.tamper((image) => ({ ...image, corrupt }))
      return yield* built(lab)
    }),
  when: ({ machine }, { make }) => failing(machine.ensureSessionWithExecutorFactory(A, make)),
  then: (lab, error, { log }) =>
    Effect.gen(function*() {
      assert.strictEqual(error, "RecoveryCorruption")
      assert.isFalse(yield* lab.machine.containsSession(A))
      assert.strictEqual(log.built, log.released)
    })
})

// This test reads the row as: the fiber of the loop is interrupted. A defect of `apply` does not end the loop (D8).
row("ENS-20 a loop that is interrupted ends after its run, and its waiters are told", {
  given: (lab) =>
    Effect.gen(function*() {
      const began = yield* lab.latch
      const cleaned = yield* lab.latch
      const slow = yield* CoreExecutor.make(() =>
        Effect.onInterrupt(Effect.zipRight(began.open, Effect.never), () => cleaned.await)
      )
      yield* lab.machine.ensureSessionWithExecutor(A, slow)
      const { completion } = yield* lab.machine.acceptInputWithCompletion(A, prompt(1))
      yield* began.await
      return { cleaned, waiting: yield* Effect.fork(Option.getOrThrow(completion).wait) }
    }),
  when: (lab, { cleaned }) =>
    Effect.gen(function*() {
      const loop = yield* Effect.fromNullable(lab.loops().at(-1))
      const killing = yield* Effect.fork(Fiber.interrupt(loop))
      yield* lab.settle
      const early = loop.unsafePoll()
      yield* cleaned.open
      yield* lab.settle
      return { early, late: killing.unsafePoll() !== null }
    }),
  then: (lab, { early, late }, { waiting }) =>
    Effect.gen(function*() {
      assert.isNull(early)
      assert.isTrue(late)
      assert.deepStrictEqual(yield* Fiber.join(waiting), {
        _tag: "RuntimeTerminated",
        reason: "runtime loop exited"
      })
      assert.deepStrictEqual(yield* storedPhases(lab, A), ["queued"])
    })
})

row("ENS-20 inputs that a dead loop left staged are queued again", {
  given: (lab) =>
    Effect.gen(function*() {
      const first = yield* lab.executor({ held: true })
      yield* ensure(lab, first)
      yield* lab.machine.acceptInput(A, prompt(1))
      yield* first.started(1)
      yield* killLoop(lab)
      const rolledBack = { state: yield* stateOf(lab, A), queue: (yield* snapshotOf(lab, A)).queue.length }
      return { rolledBack, second: yield* lab.executor() }
    }),
  when: (lab, { second }) => Effect.zipLeft(ensure(lab, second), Effect.zipRight(second.started(1), lab.settle)),
  then: (lab, outcome, { rolledBack, second }) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(rolledBack, { state: "idle", queue: 1 })
      assert.strictEqual(outcome, "attached")
      assert.strictEqual(second.counts().apply, 1)
      const [input] = yield* storedInputs(lab, A)
      assert.strictEqual(input?.phase, "consumed")
      assert.strictEqual(input?.charged, 0)
    })
})
