/**
 * Rows of the recovery table about phases that this store never contains (D11 and D20 override them). An input is
 * inserted queued, and its run ends in the commit that holds the receipt. `test/kernel/opening` tests the images; this
 * file tests the crashes that would have left such phases.
 */
import { assert } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type { RuntimeCommit } from "../../src/domain/RuntimeCommit.js"
import { inputId, message, operation, peer, prompt } from "../support/inputs.js"
import type { World } from "../support/rows.js"
import { attach, committed, pass, phaseOf, row, scripted, settled, sid, untilPhase } from "../support/rows.js"

interface Crash {
  readonly when: "CrashBefore" | "CrashAfter"
  /** selects the commit in which the process ends */
  readonly commit: (commit: RuntimeCommit) => boolean
}

const boundary = ({ receipt }: RuntimeCommit) => receipt !== undefined

/** Ends the process at the selected commit, and registers the session in another process. */
const crashing = <E>(world: World, { commit, when }: Crash, work: Effect.Effect<unknown, E>) =>
  Effect.gen(function*() {
    world.tap.onCommit = (handed) => commit(handed) ? { _tag: when } : pass
    const client = yield* Effect.fork(work)
    yield* Effect.raceFirst(Deferred.await(world.tap.crashed), Effect.zipRight(Fiber.await(client), Effect.never))
    world.tap.onCommit = () => pass
    yield* Fiber.interruptFork(client)
    yield* world.crash
    yield* world.machine.registerSession(sid)
  })

row("RCV-02 an accepted input is queued after a crash", (world) =>
  Effect.gen(function*() {
    yield* world.machine.registerSession(sid)
    yield* crashing(world, { when: "CrashAfter", commit: () => true }, world.machine.acceptInput(sid, prompt(1)))
    assert.strictEqual(yield* phaseOf(world, inputId(1)), "queued")
    yield* attach(world, scripted())
    yield* untilPhase(world, inputId(1), "consumed")
  }))

row(
  "RCV-03 an input that its policy ignores is consumed in the commit that accepts it",
  (world) =>
    Effect.gen(function*() {
      yield* world.machine.registerSession(sid)
      yield* crashing(world, { when: "CrashAfter", commit: () => true }, world.machine.acceptInput(sid, operation(1)))
      assert.strictEqual(yield* phaseOf(world, inputId(1)), "consumed")
      assert.deepStrictEqual(yield* world.machine.listActiveInputs(sid), [])
    })
)

/** Crashes in the boundary commit of the first run, attaches a second executor, and returns what the crash left. */
const afterBoundary = (world: World, when: Crash["when"], inputs: ReadonlyArray<number>) =>
  Effect.gen(function*() {
    yield* world.machine.registerSession(sid)
    for (const n of inputs.slice(0, -1)) yield* world.machine.acceptInputWithoutWake(sid, peer(n, message))
    yield* Effect.forEach(inputs.slice(-1), (n) => world.machine.acceptInput(sid, prompt(n)))
    yield* crashing(world, { when, commit: boundary }, attach(world, scripted()))
    const phases = yield* Effect.forEach(inputs, (n) => phaseOf(world, inputId(n)))
    const active = yield* world.machine.listActiveInputs(sid)
    const second = scripted()
    yield* attach(world, second)
    yield* settled
    yield* Effect.forEach(inputs, (n) => untilPhase(world, inputId(n), "consumed"))
    assert.deepStrictEqual(yield* committed(world), inputs.map(inputId))
    return { phases, active, again: second.batches() }
  })

row("RCV-05 a run whose receipt is stored does not run again", (world) =>
  Effect.gen(function*() {
    const left = yield* afterBoundary(world, "CrashAfter", [1])
    assert.deepStrictEqual(left, { phases: ["consumed"], active: [], again: [] })
  }))

row("RCV-06 a run whose receipt is not stored runs again", (world) =>
  Effect.gen(function*() {
    const left = yield* afterBoundary(world, "CrashBefore", [1])
    assert.deepStrictEqual(left, { phases: ["queued"], active: [inputId(1)], again: [[inputId(1)]] })
    const state = Option.getOrThrow(yield* world.machine.inputState(sid, inputId(1)))
    assert.deepStrictEqual([state.charged, state.crashed], [0, 0])
  }))

row("RCV-07 no member of a batch whose receipt is stored runs again", (world) =>
  Effect.gen(function*() {
    const left = yield* afterBoundary(world, "CrashAfter", [1, 2])
    assert.deepStrictEqual(left, { phases: ["consumed", "consumed"], active: [], again: [] })
  }))
