import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type { SpineSnapshot } from "../../services/MeerkatMachine.js"
import type { CompletionOutcome } from "../../src/domain/Completion.js"
import { event, inputId, prompt } from "../support/inputs.js"
import type { Lab } from "./driver.js"
import { A, B, nothing, row, snapshotOf, storedInputs, storedState } from "./driver.js"

/** A runs prompt 1; 2 and 3 wait in the queue lane, 4 in the steer lane; somebody waits for 1 and 2. */
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

/** The snapshots of a session on its way through all phases. */
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

row("SNP-01 a run belongs to a phase that runs", {
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

row("SNP-02 one run id", {
  given: busy,
  when: (lab) => snapshotOf(lab, A),
  then: (_, { currentRunId, staged }, { turn }) =>
    Effect.sync(() => {
      assert.strictEqual(currentRunId, turn.runId)
      assert.deepStrictEqual(staged.map(({ lastRunId }) => lastRunId), [turn.runId])
    })
})

// as it is read here: for runs of the loop; a service turn has no contributors
// D26 overrides the row: it is about runs of the loop, a service turn has no contributors
row("SNP-03 a run has contributors, staged for it", {
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

row("SNP-05 what ended is in no lane", {
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
  row(`SNP-06 nobody waits for a ${end} session`, {
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

row("SNP-07 the ledger adds up", {
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

row("SNP-09 reading changes nothing", {
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

// as it is read here: attached loops, active runs, drains, operations, busy workers
// D17 overrides the row: loops, runs, drains, operations and busy commit workers
row("SNP-11 fibers are those of the sessions", {
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

row("SNP-12 the durable phase is that of the session", {
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
