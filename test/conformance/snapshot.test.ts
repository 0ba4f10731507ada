/** SNP: the spine snapshot of a session. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type { SpineSnapshot } from "../../services/MeerkatMachine.js"
import type { CompletionOutcome } from "../../src/domain/Completion.js"
import { event, inputId, prompt } from "../support/inputs.js"
import type { Lab } from "./driver.js"
import { A, B, nothing, row, snapshotOf, storedInputs, storedState } from "./driver.js"

/**
 * Session A runs prompt 1. Prompts 2 and 3 wait in the queue lane, event 4 in the steer lane. Inputs 1 and 2 have
 * waiters.
 */
const busy = (lab: Lab) =>
  Effect.gen(function*() {
    const executor = yield* lab.executor({ held: true })
    yield* lab.machine.ensureSessionWithExecutor(A, executor.executor)
    const waiter = (n: number) =>
      Effect.gen(function*() {
        const { completion } = yield* lab.machine.acceptInputWithCompletion(A, prompt(n))
        return yield* Effect.forkScoped(Effect.flatMap(completion, ({ wait }) => wait))
      })
    const first = yield* waiter(1)
    const turn = yield* executor.started(1)
    const second = yield* waiter(2)
    yield* lab.machine.acceptInput(A, prompt(3))
    yield* lab.machine.acceptInput(A, event(4, "steer"))
    return { executor, turn, first, second }
  })

/** Takes a session through all phases, and returns a snapshot of each. */
const phases = (lab: Lab) =>
  Effect.gen(function*() {
    const seen: Array<SpineSnapshot> = []
    const look = Effect.map(snapshotOf(lab, A), (snapshot) => seen.push(snapshot))
    yield* lab.machine.registerSession(A)
    yield* look
    const executor = yield* lab.executor({ held: true })
    yield* lab.machine.ensureSessionWithExecutor(A, executor.executor)
    yield* look
    yield* lab.machine.acceptInput(A, prompt(1))
    yield* executor.started(1)
    yield* look
    yield* lab.machine.retireRuntime(A)
    yield* look
    yield* executor.open
    yield* lab.settle
    yield* look
    yield* lab.machine.recycleRuntime(A)
    yield* look
    yield* lab.machine.stopRuntimeExecutor(A, "why")
    yield* look
    yield* lab.machine.destroyRuntime(A)
    yield* look
    return seen
  })

const idsOf = (inputs: SpineSnapshot["queue"]) => inputs.map((input) => input.inputId)

row("SNP-01 only a phase that runs has a run id", {
  given: nothing,
  when: phases,
  then: (_, seen) =>
    Effect.sync(() =>
      assert.deepStrictEqual(seen.map(({ currentRunId, state }) => [state, currentRunId !== null]), [
        ["idle", false],
        ["attached", false],
        ["running", true],
        ["retired", true],
        ["retired", false],
        [seen[5]?.attachmentLive === true ? "attached" : "idle", false],
        ["stopped", false],
        ["destroyed", false]
      ])
    )
})

row("SNP-02 the current run and its staged inputs share one run id", {
  given: busy,
  when: (lab) => snapshotOf(lab, A),
  then: (_, { currentRunId, staged }, { turn }) =>
    Effect.sync(() => {
      assert.strictEqual(currentRunId, turn.runId)
      assert.deepStrictEqual(staged.map(({ lastRunId }) => lastRunId), [turn.runId])
    })
})

// This test reads the row as: for runs of the loop. A service turn has no contributors.
// The row is about runs of the loop; a service turn has no contributors. This overrides the row (D26).
row("SNP-03 the contributors of a run are staged", {
  given: busy,
  when: (lab) => snapshotOf(lab, A),
  then: (_, { contributors, staged }) =>
    Effect.sync(() => {
      assert.deepStrictEqual(contributors, [inputId(1)])
      assert.deepStrictEqual(staged.map(({ inputId, phase }) => [inputId, phase]), [[inputId(1), "staged"]])
    })
})

row("SNP-04 the lanes are disjoint", {
  given: busy,
  when: (lab) => snapshotOf(lab, A),
  then: (_, { queue, steer }) =>
    Effect.sync(() => {
      assert.deepStrictEqual(idsOf(queue), [inputId(2), inputId(3)])
      assert.deepStrictEqual(idsOf(steer), [inputId(4)])
      assert.deepStrictEqual(new Set([...queue, ...steer].map(({ phase }) => phase)), new Set(["queued"]))
      assert.deepStrictEqual(new Set(queue.map(({ lane }) => lane)), new Set(["queue"]))
      assert.deepStrictEqual(new Set(steer.map(({ lane }) => lane)), new Set(["steer"]))
    })
})

row("SNP-05 an ended input is in no lane", {
  given: busy,
  when: (lab, { executor }) => Effect.zipRight(executor.open, lab.settle),
  then: (lab) =>
    Effect.gen(function*() {
      const { queue, staged, steer } = yield* snapshotOf(lab, A)
      assert.deepStrictEqual([...queue, ...staged, ...steer], [])
      const phases = (yield* storedInputs(lab, A)).map(({ phase }) => phase)
      assert.deepStrictEqual(phases, ["consumed", "consumed", "consumed", "consumed"])
    })
})

for (const end of ["stopped", "destroyed"] as const) {
  row(`SNP-06 a ${end} session has no waiters`, {
    given: busy,
    when: (lab, { executor }) =>
      Effect.zipRight(
        Effect.forkScoped(
          end === "stopped" ? lab.machine.stopRuntimeExecutor(A, "why") : lab.machine.destroyRuntime(A)
        ),
        Effect.zipRight(lab.settle, Effect.zipRight(executor.open, lab.settle))
      ),
    then: (lab, _, { first, second }) =>
      Effect.gen(function*() {
        const { queue, staged, state, steer, waiters } = yield* snapshotOf(lab, A)
        assert.strictEqual(state, end)
        assert.deepStrictEqual([queue, steer, staged, waiters], [[], [], [], []])
        const told: CompletionOutcome = { _tag: "RuntimeTerminated", reason: `runtime ${end}` }
        const answered: CompletionOutcome = { _tag: "Completed", result: { text: "answer 1" } }
        assert.deepStrictEqual(yield* Fiber.join(first), end === "stopped" ? answered : told)
        assert.deepStrictEqual(yield* Fiber.join(second), told)
      })
  })
}

row("SNP-07 every stored input is open or terminal", {
  given: (lab) =>
    Effect.gen(function*() {
      const parts = yield* busy(lab)
      yield* lab.machine.retractInput(A, inputId(3))
      return parts
    }),
  when: (lab) => Effect.all([snapshotOf(lab, A), lab.machine.listActiveInputs(A), storedInputs(lab, A)]),
  then: (_, [{ queue, staged, steer }, active, stored]) =>
    Effect.sync(() => {
      assert.strictEqual(queue.length + staged.length + steer.length, active.length)
      const terminal = stored.filter((input) => input.terminal !== undefined)
      assert.deepStrictEqual(idsOf(terminal), [inputId(3)])
      assert.strictEqual(stored.length, active.length + terminal.length)
    })
})

row("SNP-08 only open inputs have waiters", {
  given: (lab) => Effect.zipLeft(busy(lab), lab.machine.retractInput(A, inputId(2))),
  when: (lab) => snapshotOf(lab, A),
  then: (_, { waiters }, { second }) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(waiters, [{ inputId: inputId(1), count: 1 }])
      assert.strictEqual((yield* Fiber.join(second))._tag, "Cancelled")
    })
})

row("SNP-09 a snapshot changes nothing", {
  given: (lab) => Effect.zipRight(busy(lab), Effect.zipRight(lab.settle, snapshotOf(lab, A))),
  when: (lab) =>
    Effect.gen(function*() {
      const writes = lab.faults.writes()
      const again = yield* snapshotOf(lab, A)
      const unknown = yield* lab.machine.meerkatMachineSpineSnapshot(B)
      return { writes: lab.faults.writes() - writes, again, unknown }
    }),
  then: (_, { again, unknown }, before) =>
    Effect.sync(() => {
      assert.deepStrictEqual(again, before)
      assert.isTrue(Option.isNone(unknown))
    })
})

row("SNP-10 an attachment is live while its loop runs", {
  given: nothing,
  when: phases,
  then: (lab, seen) =>
    Effect.sync(() => {
      assert.deepStrictEqual(seen.slice(0, 4).map(({ attachmentLive }) => attachmentLive), [false, true, true, true])
      assert.deepStrictEqual(seen.slice(-2).map(({ attachmentLive }) => attachmentLive), [false, false])
      assert.isTrue(lab.loops().every((loop) => loop.unsafePoll() !== null))
      for (const { attachmentLive, registration } of seen) assert.strictEqual(registration === "Active", attachmentLive)
    })
})

// This test reads the row as: attached loops, active runs, drains, operations and busy workers.
// The count covers loops, runs, drains, operations and busy commit workers, which overrides the row (D17).
row("SNP-11 fiberCount counts the fibers of sessions", {
  given: (lab) => Effect.zipRight(lab.machine.registerSession(B), lab.settle),
  when: (lab) =>
    Effect.gen(function*() {
      const { executor } = yield* lab.executor()
      const before = yield* lab.machine.fiberCount
      yield* lab.machine.ensureSessionWithExecutor(A, executor)
      yield* lab.settle
      const attached = yield* lab.machine.fiberCount
      yield* lab.machine.unregisterSession(A)
      yield* lab.settle
      return [before, attached, yield* lab.machine.fiberCount]
    }),
  then: (_, counts) => Effect.sync(() => assert.deepStrictEqual(counts, [0, 1, 0]))
})

row("SNP-12 the stored lifecycle follows the phase of the session", {
  given: busy,
  when: (lab, { executor }) =>
    Effect.gen(function*() {
      const running = yield* storedState(lab, A)
      yield* lab.machine.retireRuntime(A)
      const retiring = yield* storedState(lab, A)
      yield* executor.open
      yield* lab.settle
      const retired = yield* storedState(lab, A)
      yield* lab.machine.destroyRuntime(A)
      return [running, retiring, retired, yield* storedState(lab, A)]
    }),
  then: (_, states) => Effect.sync(() => assert.deepStrictEqual(states, ["idle", "retired", "retired", "destroyed"]))
})
