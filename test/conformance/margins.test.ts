/** Rare overlaps of two calls, and the paths that only such an overlap takes. */
import { assert } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { reply } from "../../services/Turn.js"
import type { CompletionOutcome } from "../../src/domain/Completion.js"
import { Internal } from "../../src/domain/Errors.js"
import { StoreBusy, StoreIo } from "../../src/domain/StoreErrors.js"
import { deny, witnessOf } from "../../src/domain/ToolVisibility.js"
import { LlmHost } from "../../src/testkit/index.js"
import { inputId, prompt } from "../support/inputs.js"
import type { Lab } from "./driver.js"
import { A, failing, nothing, row, storedPhases } from "./driver.js"

const shell = witnessOf({ kind: "builtin", sourceId: "shell" })

const registered = ({ machine }: Lab) => machine.registerSession(A)

const disk = new StoreIo({ operation: "commit", code: "EIO", detail: "the medium failed" })

/** An inline run that holds the run slot until its gate opens. */
const inline = (lab: Lab) =>
  Effect.gen(function*() {
    yield* registered(lab)
    const gate = yield* lab.latch
    const reached = yield* lab.latch
    const calls = { interrupted: 0 }
    const op = () =>
      Effect.zipRight(reached.open, gate.await).pipe(
        Effect.onInterrupt(() => Effect.sync(() => calls.interrupted++)),
        Effect.as(["value", reply("answer")] as const)
      )
    const caller = yield* Effect.fork(lab.machine.acceptInputAndRun(A, prompt(1), op))
    yield* reached.await
    return { caller, calls, gate }
  })

// --- Unregistering ---

row("D7 an unregistration grants an inline run its grace and commits its result", {
  given: inline,
  when: (lab, { caller, calls, gate }) =>
    Effect.gen(function*() {
      const gone = yield* Effect.fork(lab.machine.unregisterSession(A))
      yield* lab.settle
      yield* lab.advance("1 second")
      const waits = gone.unsafePoll() === null && calls.interrupted === 0
      yield* gate.open
      return { waits, value: yield* Fiber.join(caller), report: yield* Fiber.join(gone) }
    }),
  then: (lab, outcome) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(outcome, {
        waits: true,
        value: "value",
        report: { requeued: 0, terminatedOperations: 0, forced: false, joined: true }
      })
      assert.deepStrictEqual(yield* storedPhases(lab, A), ["consumed"])
    })
}, { config: { unregisterGrace: Duration.seconds(20) } })

row("D7 D21 an unregistration ends when its last commit stays unknown, and the next opening resolves it", {
  given: (lab) =>
    Effect.gen(function*() {
      yield* registered(lab)
      yield* lab.machine.session(A).operations.run(Effect.never, { displayName: "beside" })
      yield* lab.settle
    }),
  when: (lab) =>
    Effect.gen(function*() {
      lab.faults.loseAck()
      for (let nth = 1; nth < 400; nth++) lab.faults.failRead("witness", disk, { nth })
      const gone = yield* Effect.fork(failing(lab.machine.unregisterSession(A)))
      yield* lab.settle
      for (let n = 0; n < 20; n++) yield* lab.advance("1 second")
      const told = yield* Fiber.join(gone)
      yield* lab.faults.heal
      const asked = lab.faults.calls("witness") > 0
      return { told, asked, there: yield* lab.machine.containsSession(A), again: yield* failing(registered(lab)) }
    }),
  then: (_, outcome) =>
    Effect.sync(() => assert.deepStrictEqual(outcome, { told: "success", asked: true, there: false, again: "success" }))
})

row("D7 a loop that ends after its teardown was given up does not change the outcome of waiters", {
  given: (lab) =>
    Effect.gen(function*() {
      const { executor, open, started } = yield* lab.executor({ held: true, stubborn: true })
      yield* lab.machine.ensureSessionWithExecutor(A, executor)
      yield* lab.machine.acceptInput(A, prompt(1))
      yield* started(1)
      const { completion } = yield* lab.machine.acceptInputWithCompletion(A, prompt(2))
      const waiter = yield* Effect.fork(Option.getOrThrow(completion).wait)
      return { open, waiter }
    }),
  when: (lab, { open, waiter }) =>
    Effect.gen(function*() {
      for (let nth = 1; nth < 20; nth++) lab.faults.failCommit(disk, { nth })
      const gone = yield* Effect.fork(failing(lab.machine.unregisterSession(A)))
      yield* lab.settle
      yield* lab.advance("31 seconds")
      const told = [yield* Fiber.join(gone)]
      yield* lab.faults.heal
      yield* open
      yield* lab.settle
      const waits = waiter.unsafePoll() === null
      told.push(yield* failing(lab.machine.unregisterSession(A)))
      return { told, waits, outcome: yield* Fiber.join(waiter) }
    }),
  then: (_, outcome) =>
    Effect.sync(() =>
      assert.deepStrictEqual(outcome, {
        told: ["Internal", "success"],
        waits: true,
        outcome: { _tag: "RuntimeTerminated", reason: "runtime session unregistered" }
      })
    )
}, { config: { teardownTimeout: Duration.seconds(10) }, abandons: 1 })

// --- Ends ---

row("D25 D28 a destroy waits until the work of operations has ended", {
  given: (lab) =>
    Effect.gen(function*() {
      yield* registered(lab)
      const gate = yield* lab.latch
      const ended = { count: 0 }
      const work = Effect.onInterrupt(Effect.never, () => Effect.zipRight(gate.await, Effect.sync(() => ended.count++)))
      yield* lab.machine.session(A).operations.run(work, { displayName: "beside" })
      yield* lab.settle
      return { gate, ended }
    }),
  when: (lab, { ended, gate }) =>
    Effect.gen(function*() {
      const end = yield* Effect.fork(lab.machine.destroyRuntime(A))
      yield* lab.settle
      const waits = end.unsafePoll() === null
      yield* gate.open
      yield* Fiber.join(end)
      return { waits, ended: ended.count }
    }),
  then: (_, outcome) => Effect.sync(() => assert.deepStrictEqual(outcome, { waits: true, ended: 1 }))
})

row("D28 D7 an end of work that could not be stored is retried once when the session unregisters", {
  given: (lab) =>
    Effect.gen(function*() {
      yield* registered(lab)
      const gate = yield* lab.latch
      yield* lab.machine.session(A).operations.run(Effect.as(gate.await, "done"), { displayName: "beside" })
      yield* lab.settle
      return gate
    }),
  when: (lab, gate) =>
    Effect.gen(function*() {
      const busy = new StoreBusy({ operation: "commit", waitedMs: 0 })
      for (const nth of [1, 2]) lab.faults.failCommit(busy, { nth })
      yield* gate.open
      yield* lab.settle
      const report = yield* lab.machine.unregisterSession(A)
      const tries = lab.faults.commits().filter(({ operations }) =>
        operations.some(({ status }) => status === "completed")
      )
      return { forced: report.forced, tries: tries.length }
    }),
  then: (_, outcome) => Effect.sync(() => assert.deepStrictEqual(outcome, { forced: false, tries: 2 }))
}, { config: { commitRetryBase: Duration.hours(1), retryCap: Duration.hours(1) } })

// --- Attaching ---

row("D5 the stop hook of an executor is not called when its session ended before the attachment", {
  given: (lab) => Effect.zipRight(registered(lab), lab.latch),
  when: (lab, latch) =>
    Effect.gen(function*() {
      const { counts, executor } = yield* lab.executor()
      const reached = yield* lab.latch
      const making = yield* Effect.fork(failing(lab.machine.ensureSessionWithExecutorFactory(
        A,
        Effect.as(Effect.zipRight(reached.open, latch.await), executor)
      )))
      yield* reached.await
      yield* lab.machine.destroyRuntime(A)
      yield* latch.open
      const told = yield* Fiber.join(making)
      yield* lab.settle
      return { told, stops: counts().stop }
    }),
  then: (_, outcome) => Effect.sync(() => assert.deepStrictEqual(outcome, { told: "Destroyed", stops: 0 }))
})

row("D5 D23 an executor whose factory fails beside an inline run leaves the slot to the next executor", {
  given: inline,
  when: (lab, { caller, gate }) =>
    Effect.gen(function*() {
      const { executor } = yield* lab.executor()
      const failed = yield* failing(lab.machine.ensureSessionWithExecutorFactory(A, Effect.fail({ _tag: "NoKey" })))
      const attached = yield* lab.machine.ensureSessionWithExecutor(A, executor)
      yield* gate.open
      yield* Fiber.join(caller)
      return { failed, attached }
    }),
  then: (_, outcome) => Effect.sync(() => assert.deepStrictEqual(outcome, { failed: "NoKey", attached: "attached" }))
})

row("D26 bindings that cannot be made leave the session registered", {
  given: registered,
  when: (lab) =>
    Effect.gen(function*() {
      const write = lab.faults.park("commit")
      const end = yield* Effect.fork(lab.machine.destroyRuntime(A))
      yield* write.reached
      const binding = yield* Effect.fork(failing(lab.machine.prepareBindings(A)))
      yield* lab.settle
      yield* write.release
      yield* Fiber.join(end)
      return { told: yield* Fiber.join(binding), there: yield* lab.machine.containsSession(A) }
    }),
  then: (_, outcome) => Effect.sync(() => assert.deepStrictEqual(outcome, { told: "Destroyed", there: true }))
})

// --- Runs ---

row("D7 a run may wait for an input that has ended", {
  given: (lab) =>
    Effect.gen(function*() {
      const told: Array<CompletionOutcome> = []
      const { executor, started } = yield* lab.executor({
        begin: () =>
          Effect.gen(function*() {
            const { completion } = yield* lab.machine.acceptInputWithCompletion(A, prompt(2))
            yield* lab.machine.retractInput(A, inputId(2))
            told.push(yield* Option.getOrThrow(completion).wait)
          }).pipe(Effect.orDie)
      })
      yield* lab.machine.ensureSessionWithExecutor(A, executor)
      yield* lab.machine.acceptInput(A, prompt(1))
      yield* started(1)
      yield* lab.settle
      return told
    }),
  when: nothing,
  then: (_, __, told) => Effect.sync(() => assert.deepStrictEqual(told, [{ _tag: "Cancelled" }]))
})

row("D16 a run is asked to yield once, whatever its session admits meanwhile", {
  given: (lab) =>
    Effect.gen(function*() {
      const latched = yield* lab.executor({ held: true })
      yield* lab.machine.ensureSessionWithExecutor(A, latched.executor)
      yield* lab.machine.acceptInput(A, prompt(1))
      yield* latched.started(1)
      return latched
    }),
  when: (lab, { counts }) =>
    Effect.gen(function*() {
      yield* lab.machine.cancelAfterBoundary(A, "others wait")
      yield* lab.machine.acceptInput(A, prompt(2))
      yield* lab.machine.acceptInput(A, prompt(3))
      yield* lab.settle
      return counts().cancelBoundary
    }),
  then: (_, asked) => Effect.sync(() => assert.strictEqual(asked, 1))
})

// --- Operations, models ---

row("D28 an operation carries the id of its child session", {
  given: registered,
  when: (lab) =>
    Effect.gen(function*() {
      const { external, get } = lab.machine.session(A).operations
      const about = yield* external({ displayName: "child", childSessionId: A })
      const plain = yield* external({ displayName: "plain" })
      const childOf = (id: typeof about) =>
        Effect.map(get(id), (found) => Option.getOrNull(Option.map(found, ({ spec }) => spec.childSessionId ?? "none")))
      return [yield* childOf(about), yield* childOf(plain)]
    }),
  then: (lab, children) => Effect.sync(() => assert.deepStrictEqual(children, [String(A), "none"], lab.backend))
})

row("LLM-07 the host stores the old model again when a later call of the change was refused", {
  given: (lab) =>
    Effect.gen(function*() {
      const llm = yield* LlmHost.make()
      yield* lab.machine.setSessionLlmReconfigureHost(llm.host)
      yield* registered(lab)
      yield* lab.machine.prepareBindings(A)
      return llm
    }),
  when: (lab, { live, script, stored }) =>
    Effect.gen(function*() {
      let persisted = 0
      const refusal = new Internal({ detail: "not now", retryable: false })
      script({
        before: ({ name }) =>
          Effect.suspend(() => name === "persistLiveSession" && ++persisted === 2 ? Effect.fail(refusal) : Effect.void),
        // The tools change after the host has stored them once, so the host must be called again.
        after: ({ name }) =>
          name === "persistLiveSession" && persisted === 1
            ? Effect.asVoid(lab.machine.stagePersistentFilter(A, deny("shell"), { shell }))
            : Effect.void
      })
      const told = yield* failing(lab.machine.reconfigureSessionLlmIdentity(A, { model: "blind", provider: "openai" }))
      return { told, live: live(A).identity.model, stored: stored(A).identity.model, persisted }
    }),
  then: (_, outcome) =>
    Effect.sync(() =>
      assert.deepStrictEqual(outcome, { told: "Internal", live: "seeing", stored: "seeing", persisted: 3 })
    )
})
