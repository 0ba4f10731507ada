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

/** An executor that is built by a factory which tells what became of it. */
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

/** Accepts a prompt and waits for its end. */
const finished = (lab: Lab, n: number): Effect.Effect<CompletionOutcome["_tag"], unknown> =>
  Effect.flatMap(lab.machine.acceptInputWithCompletion(A, prompt(n)), ({ completion }) =>
    Option.match(completion, {
      onNone: () => Effect.dieMessage("no completion"),
      onSome: ({ wait }) => Effect.map(wait, ({ _tag }) => _tag)
    }))

const broken = new StoreIo({ operation: "open", code: "EIO", detail: "the disk is gone" })

row("ENS-01 an unknown session is registered and attached", {
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

row("ENS-02 what was queued is run", {
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

row("ENS-03 registering and attaching race", {
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

row("ENS-04 the first executor stays", {
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

// as it is read here: losers await the winner
// D6: the losers of the race wait for the winner
row("ENS-05 sixteen at once attach one", {
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

row("ENS-06 an interrupted attachment gives the slot back", {
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

// as it is read here: phase and loop never disagree, so that the phase beside a dead loop is idle
for (const how of ["fails", "is interrupted"] as const) {
  row(`ENS-05 when the first of a race ${how} the second takes over, and the session stays`, {
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

row("ENS-06 an interrupted sessionScoped does not wait for its executor, and takes down what it registered", {
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

// D5 overrides the row: a session whose loop has ended is idle; phase and loop never disagree
row("ENS-07 a dead loop is replaced", {
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

row("ENS-08 an input right after the attachment needs no other stimulus", {
  given: (lab) => Effect.zipRight(lab.machine.registerSession(A), lab.executor()),
  when: (lab, executor) => Effect.zipRight(ensure(lab, executor), finished(lab, 1)),
  then: (_, outcome, executor) =>
    Effect.sync(() => {
      assert.strictEqual(outcome, "Completed")
      assert.strictEqual(executor.counts().apply, 1)
    })
})

row("ENS-09 no wake is lost while attaching", {
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

row("ENS-10 a destroyed session takes no executor", {
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

// as it is read here: "retired" without pending inputs; with some a loop drains them
for (const state of ["retired", "stopped"] as const) {
  // D5 overrides the row for a retired session with pending inputs, which gets a loop that drains them; this one has none
  row(`ENS-11 a ${state} session takes no executor`, {
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

// D6 overrides the row: `NotReady{destroyed}`
row("ENS-12 a late attachment does not touch the successor", {
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

row("ENS-13 an executor whose handles cannot be read gives the slot back", {
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

// D12 overrides the row: what is accepted without wake is held, and what is held drives nothing, an attachment no
// more than a loop; it goes before the first input that drives
row("ENS-15 an attachment looks at the queue, and what is held waits for what drives", {
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

row("ENS-16 a cold attachment goes on with the stored epoch", {
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

row("ENS-17 an attachment is not durable", {
  given: (lab) => lab.executor(),
  when: ensure,
  then: (lab) =>
    Effect.gen(function*() {
      assert.strictEqual(yield* stateOf(lab, A), "attached")
      assert.strictEqual(yield* storedState(lab, A), "idle")
    })
})

row("ENS-19 a failed recovery is the error of the attachment", {
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

row("ENS-19 a corrupt session is the error of the attachment", {
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

// as it is read here: a defect of `apply` does not kill the loop (D8); the loop's fiber is interrupted instead
row("ENS-20 a loop that is killed ends after its run has, and whoever waited is told", {
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

row("ENS-20 what a dead loop left staged is queued again", {
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
