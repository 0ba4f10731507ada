// Operations that a process owns, the validity of registries and handles, and interrupted callers (D28).
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import type { SessionOperations } from "../../services/SessionOperations.js"
import { ApplyFailed } from "../../src/domain/Errors.js"
import { opId } from "../support/operations.js"
import type { Lab } from "./driver.js"
import { A, B, failing, row, snapshotOf } from "./driver.js"
import { broken, done, member, ops, registered, statuses, statusOf, table, timeless } from "./operationRows.js"

/** An operation whose work waits for a latch and logs how it ended. */
const working = (lab: Lab) =>
  Effect.gen(function*() {
    yield* lab.machine.registerSession(A)
    const log: Array<string> = []
    const gate = yield* lab.latch
    const work = gate.await.pipe(
      Effect.as("done"),
      Effect.onExit((exit) => Effect.sync(() => log.push(exit._tag)))
    )
    const id = yield* ops(lab).run(work, { displayName: "work" })
    yield* lab.settle
    return { id, gate, log }
  })

row("D28 cancelling an operation interrupts its work and stores the canceller's reason", {
  given: working,
  when: (lab, { id }) => ops(lab).cancel(id, "not needed"),
  then: (lab, record, { id, log }) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(record.outcome, { _tag: "Cancelled", reason: "not needed" })
      yield* lab.settle
      assert.deepStrictEqual(log, ["Failure"])
      assert.deepStrictEqual((yield* ops(lab).listSince(0)).entries.map(({ operationId }) => operationId), [id])
      yield* lab.advance("1 second")
      assert.strictEqual(yield* lab.machine.fiberCount, 0)
    })
})

row("D28 the first of an end and a cancellation to be committed wins", {
  given: working,
  when: (lab, { gate, id }) =>
    Effect.all([Effect.exit(ops(lab).cancel(id, "race")), gate.open, ops(lab).watch(id)], { concurrency: "unbounded" }),
  then: (lab, [cancelled, , outcome], { id }) =>
    Effect.gen(function*() {
      yield* lab.settle
      assert.strictEqual(outcome._tag, cancelled._tag === "Success" ? "Cancelled" : "Completed")
      const { entries } = yield* ops(lab).listSince(0)
      assert.deepStrictEqual(entries.map((entry) => [entry.operationId, entry.outcome]), [[id, outcome]])
    })
}, { seeds: 40 })

row("D28 an operation ends by the exit of its work: success, failure, defect or interruption", {
  given: ({ machine }) => machine.registerSession(A),
  when: (lab) =>
    Effect.forEach([
      Effect.succeed({ content: "ok", durationMs: 3, tokensUsed: 5 }),
      Effect.fail(new ApplyFailed({ cause: "Unknown", detail: "no luck" })),
      Effect.dieMessage("lost"),
      Effect.interrupt
    ], (work) => Effect.flatMap(ops(lab).run(work, { displayName: "work" }), (id) => ops(lab).watch(id))),
  then: (_, outcomes) =>
    Effect.sync(() =>
      assert.deepStrictEqual(outcomes, [
        { _tag: "Completed", result: { content: "ok", isError: false, durationMs: 3, tokensUsed: 5 } },
        { _tag: "Failed", error: "no luck" },
        { _tag: "Failed", error: "lost" },
        { _tag: "Cancelled", reason: "its work was interrupted" }
      ])
    )
})

row("D28 the result of work is stored once the store takes commits again", {
  given: working,
  when: (lab, { gate, id }) =>
    Effect.gen(function*() {
      yield* lab.advance("1 second")
      lab.faults.failCommit(broken)
      lab.faults.failCommit(broken, { nth: 2 })
      yield* gate.open
      yield* lab.settle
      yield* lab.advance("1 second")
      return yield* ops(lab).watch(id)
    }),
  then: (_, outcome) => Effect.sync(() => assert.deepStrictEqual(timeless(outcome), done("done")))
})

row("D28 an operation may wait for a turn of its own session", {
  given: (lab) =>
    Effect.gen(function*() {
      const executor = yield* lab.executor({
        begin: ({ inputs, operations }) =>
          inputs[0]?._tag !== "Prompt" || inputs[0].text !== "start" ?
            Effect.void :
            Effect.orDie(Effect.asVoid(operations.run(
              Effect.map(lab.machine.session(A).ask("from inside"), ({ text }) => text),
              { displayName: "asks", id: opId(1) }
            )))
      })
      yield* lab.machine.ensureSessionWithExecutor(A, executor.executor)
    }),
  when: (lab) => Effect.zipRight(lab.machine.session(A).ask("start"), ops(lab).watch(opId(1))),
  then: (_, outcome) => Effect.sync(() => assert.deepStrictEqual(timeless(outcome), done("answer 2")))
})

row("D28 each registration has its own operation registry, and an old registry is closed", {
  given: (lab) => Effect.zipRight(registered(1)(lab), lab.executor()),
  when: ({ machine }, { executor }) =>
    Effect.gen(function*() {
      const unknown = yield* machine.opsLifecycleRegistry(B)
      const first = yield* machine.opsLifecycleRegistry(A)
      yield* machine.ensureSessionWithExecutor(A, executor)
      const second = yield* machine.opsLifecycleRegistry(A)
      yield* machine.unregisterSession(A)
      const none = yield* machine.opsLifecycleRegistry(A)
      yield* machine.registerSession(A)
      const third = yield* machine.opsLifecycleRegistry(A)
      return { unknown, first, second, none, third }
    }),
  then: (_, { first, none, second, third, unknown }) =>
    Effect.gen(function*() {
      assert.isTrue(Option.isNone(unknown) && Option.isNone(none))
      const [old, fresh] = [Option.getOrThrow(first), Option.getOrThrow(third)]
      assert.strictEqual(old, Option.getOrThrow(second))
      assert.notStrictEqual(old, fresh)
      assert.strictEqual(yield* failing(old.complete(opId(1), "late")), "OpOwnerRetired")
      assert.strictEqual(yield* failing(old.watch(opId(1))), "WatchClosed")
      assert.strictEqual((yield* fresh.complete(opId(1), "in time")).status, "completed")
    })
})

row("D28 a handle of one incarnation does not reach the next, but a handle by id does", {
  given: (lab) => lab.executor(),
  when: ({ machine }, { executor }) =>
    Effect.gen(function*() {
      const scoped = yield* machine.sessionScoped(A, executor)
      yield* scoped.operations.external({ displayName: "op", id: opId(1) })
      yield* machine.unregisterSession(A)
      const between = yield* failing(machine.session(A).operations.list)
      yield* machine.registerSession(A)
      return { scoped, between }
    }),
  then: (lab, { between, scoped }) =>
    Effect.gen(function*() {
      assert.strictEqual(between, "OpOwnerRetired")
      assert.strictEqual(yield* failing(scoped.operations.list), "OpOwnerRetired")
      assert.strictEqual(yield* failing(scoped.operations.complete(opId(1), "no")), "OpOwnerRetired")
      assert.strictEqual(yield* statusOf(ops(lab), opId(1)), "running")
    })
})

// ---------------------------------------------------------------------------------------------------------------------
// interruption
// ---------------------------------------------------------------------------------------------------------------------

const calls: Readonly<Record<string, (own: SessionOperations) => Effect.Effect<unknown, unknown>>> = {
  ...Object.fromEntries(
    Object.entries(table).map(([action, [change]]) => [action, (own: SessionOperations) => change(own, opId(1))])
  ),
  register: (own) => own.register({ displayName: "new", id: opId(2) }),
  external: (own) => own.external({ displayName: "new", id: opId(2) }),
  run: (own) => own.run(Effect.never, { displayName: "new", id: opId(2) }),
  terminateOwner: (own) => own.terminateOwner("over"),
  collectCompleted: (own) => own.collectCompleted,
  waitAll: (own) => Effect.timeoutOption(own.waitAll([opId(1)]), "10 millis"),
  watch: (own) => Effect.timeoutOption(own.watch(opId(1)), "10 millis")
}

/** The errors that a repeated call may return when the first call was carried out. */
const known = new Set(["OpInvalidTransition", "OpAlreadyRegistered", "OpAlreadyPeerReady"])

for (const [name, call] of Object.entries(calls)) {
  row(`D28 interrupting the caller of ${name} leaves the call done or undone`, {
    given: registered(1, member),
    when: (lab) =>
      Effect.gen(function*() {
        const fiber = yield* Effect.fork(call(ops(lab)))
        for (let steps = yield* Random.nextIntBetween(0, 12); steps > 0; steps--) yield* Effect.yieldNow()
        yield* Fiber.interrupt(fiber)
        yield* lab.settle
        const before = yield* statuses(ops(lab))
        // With the test clock, only a forked call can be awaited while time passes.
        const again = yield* Effect.forkScoped(failing(Effect.mapError(call(ops(lab)), tagged)))
        yield* lab.settle
        yield* lab.advance("1 second")
        return { before, again: yield* Fiber.join(again) }
      }),
    then: (lab, { again, before }) =>
      Effect.gen(function*() {
        assert.isTrue(again === "success" || known.has(again), `${again} after ${before.join(", ")}`)
        assert.deepStrictEqual((yield* snapshotOf(lab, A)).violations, [])
        const wait = yield* Effect.forkScoped(Effect.either(ops(lab).waitAll([])))
        assert.strictEqual((yield* Fiber.join(wait))._tag, "Right", "no barrier is left")
        yield* ops(lab).terminateOwner("over")
      })
  }, { seeds: 30 })
}

function tagged(error: unknown): { readonly _tag: string } {
  return typeof error === "object" && error !== null && "_tag" in error && typeof error._tag === "string"
    ? { _tag: error._tag }
    : { _tag: "unknown" }
}
