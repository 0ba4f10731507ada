/** RCV: what a registration makes of the rows that an earlier process left behind. */
import { assert, describe } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { RuntimeStore } from "../../services/RuntimeStore.js"
import type { RuntimeDriverError } from "../../src/domain/Errors.js"
import type { InputRecord } from "../../src/domain/InputRecord.js"
import type { CorruptRow, RuntimeCommit, RuntimeImage } from "../../src/domain/RuntimeCommit.js"
import * as Commits from "../support/commits.js"
import { continuation, inputId, prompt, record, runId } from "../support/inputs.js"
import type { Verdict, World } from "../support/rows.js"
import {
  accepted,
  advance,
  attach,
  committed,
  inTime,
  ioError,
  memoryRow,
  pass,
  phaseOf,
  row,
  runtimeId,
  scripted,
  settled,
  sid,
  until,
  untilPhase
} from "../support/rows.js"

/** Stores rows as an earlier process would have left them. */
const stored = (world: World, records: ReadonlyArray<InputRecord>, parts: Partial<RuntimeCommit> = {}) =>
  Commits.open(sid, { inputs: records.map(Commits.insert), lifecycle: "idle", ...parts }).pipe(
    Effect.provideService(RuntimeStore, world.store)
  )

const staged = (n: number, facts: Partial<InputRecord> = {}) =>
  record(prompt(n), { status: { type: "staged", runId: runId(n) }, attempts: 1, lastRunId: runId(n), ...facts })

const inputStates = (world: World) =>
  Effect.map(Stream.runCollect(world.store.inputs(runtimeId)), (states) => Array.from(states))

/**
 * Checks that the registration fails with RecoveryCorruption, leaves no session behind and writes nothing. Returns the
 * error.
 */
const corrupt = (world: World) =>
  Effect.gen(function*() {
    const before = yield* inputStates(world)
    const error: RuntimeDriverError = yield* Effect.flip(world.machine.registerSession(sid))
    assert.strictEqual(error._tag, "RecoveryCorruption")
    assert.isFalse(yield* world.machine.containsSession(sid))
    assert.isTrue(Option.isNone(yield* world.machine.meerkatMachineSpineSnapshot(sid)))
    assert.deepStrictEqual(yield* inputStates(world), before)
    return error._tag === "RecoveryCorruption" ? error : yield* Effect.dieMessage(error._tag)
  })

const unreadable = (n: number): CorruptRow => ({ table: "input", key: inputId(n), detail: "its words are missing" })

const without = (n: number) => (image: RuntimeImage): RuntimeImage => ({
  ...image,
  inputs: image.inputs.filter((found) => found.inputId !== inputId(n)),
  corrupt: [unreadable(n)]
})

/**
 * Sends three inputs in one process and ends that process at its n-th commit; a second process finishes the work.
 * Returns false when the first process made fewer commits.
 */
const crashAt = (world: World, point: number, verdict: Verdict) =>
  Effect.gen(function*() {
    const base = point * 10
    const ids = [base + 1, base + 2, base + 3]
    const first = scripted()
    const acknowledged: Array<number> = []
    const before = world.tap.commits.length
    world.tap.crashed = yield* Deferred.make<void>()
    world.tap.onCommit = (_, n) => n === before + point ? verdict : pass
    const client = yield* Effect.fork(Effect.gen(function*() {
      yield* attach(world, first)
      for (const n of ids) {
        const completion = yield* accepted(world, prompt(n))
        acknowledged.push(n)
        yield* completion.wait
      }
      yield* world.machine.unregisterSession(sid)
    }))
    yield* Effect.raceFirst(Deferred.await(world.tap.crashed), Fiber.await(client))
    const crashed = yield* Deferred.isDone(world.tap.crashed)
    yield* Fiber.interruptFork(client)
    world.tap.onCommit = () => pass
    const receipts = yield* committed(world)
    yield* world.crash
    const second = scripted()
    yield* attach(world, second)
    // The inputs that the crash left run again at once.
    assert.include(["attached", "running"], yield* world.machine.runtimeState(sid))
    for (const n of ids) yield* world.machine.acceptInput(sid, prompt(n))
    yield* Effect.forEach(ids, (n) => untilPhase(world, inputId(n), "consumed"))
    const done = yield* committed(world)
    for (const n of ids) {
      const id = inputId(n)
      assert.strictEqual(done.filter((found) => found === id).length, 1, `input ${n} was committed more than once`)
      const again = second.batches().flat().filter((found) => found === id).length
      assert.strictEqual(again, receipts.includes(id) ? 0 : 1, `input ${n} after its receipt`)
    }
    assert.isTrue(acknowledged.every((n) => done.includes(inputId(n))))
    yield* world.machine.unregisterSession(sid)
    yield* until("the session is gone", Effect.map(world.machine.containsSession(sid), (live) => !live))
    return crashed
  })

describe("recovery", () => {
  // Rows of phase Accepted (RCV-02, RCV-03) or Applied (RCV-05 to RCV-07) are never written. An input is inserted
  // queued, and a run ends in the commit that holds its receipt.
  row("RCV-01 a queued input stays queued", (world) =>
    Effect.gen(function*() {
      yield* stored(world, [record(prompt(1))])
      yield* world.machine.registerSession(sid)
      const state = Option.getOrThrow(yield* world.machine.inputState(sid, inputId(1)))
      assert.deepStrictEqual([state.phase, state.attempts, state.crashed], ["queued", 0, 0])
      assert.deepStrictEqual(yield* world.machine.listActiveInputs(sid), [inputId(1)])
      assert.strictEqual(world.tap.commits.length, 0)
    }))

  // The opening commit keeps the attempt and counts the crash (D10).
  row("RCV-04 a staged input is queued again", (world) =>
    Effect.gen(function*() {
      yield* stored(world, [staged(1)])
      yield* world.machine.registerSession(sid)
      const state = Option.getOrThrow(yield* world.machine.inputState(sid, inputId(1)))
      assert.deepStrictEqual([state.phase, state.attempts, state.charged, state.crashed], ["queued", 1, 0, 1])
      const [durable] = yield* inputStates(world)
      assert.deepStrictEqual([durable?.phase, durable?.crashed], ["queued", 1])
      assert.strictEqual(world.tap.commits.length, 0)
      const runs = scripted()
      yield* attach(world, runs)
      const turn = yield* runs.started(1)
      assert.strictEqual(turn.attempt, 2)
    }))

  // Ephemeral inputs are never written (D20).
  memoryRow("RCV-08 an ephemeral input ends with its process", (world) =>
    Effect.gen(function*() {
      yield* world.machine.registerSession(sid)
      yield* world.machine.acceptInput(sid, prompt(1, undefined, { durability: "ephemeral" }))
      yield* world.machine.acceptInput(sid, prompt(2))
      assert.deepStrictEqual(yield* world.machine.listActiveInputs(sid), [inputId(1), inputId(2)])
      yield* world.crash
      yield* world.machine.registerSession(sid)
      assert.deepStrictEqual(yield* world.machine.listActiveInputs(sid), [inputId(2)])
    }))

  row("RCV-11 recovery orders the lanes by admission, not by id", (world) =>
    Effect.gen(function*() {
      yield* world.machine.registerSession(sid)
      yield* Effect.forEach([prompt(9), continuation(8), prompt(3), continuation(2), prompt(5)], (input) =>
        world.machine.acceptInput(sid, input))
      yield* world.crash
      yield* world.machine.registerSession(sid)
      const { queue, steer } = yield* world.snapshot
      assert.deepStrictEqual(
        queue.map((_) =>
          _.inputId
        ),
        [9, 3, 5].map(inputId)
      )
      assert.deepStrictEqual(steer.map((_) => _.inputId), [8, 2].map(inputId))
    }))

  // The error is typed and names the table, the row and the reason, which overrides the row (D1).
  row("RCV-12 a registration fails and names the row when a payload is missing", (world) =>
    Effect.gen(function*() {
      yield* stored(world, [record(prompt(1))])
      world.tap.onImage = without(1)
      const error = yield* corrupt(world)
      assert.deepStrictEqual([error.table, error.key, error.reason], ["input", inputId(1), "its words are missing"])
    }))

  // The error is typed and names the table, the row and the reason, which overrides the row (D1).
  row("RCV-16 a registration fails as a whole when one of three rows is unreadable", (world) =>
    Effect.gen(function*() {
      yield* stored(world, [staged(1), record(prompt(2)), record(prompt(3))])
      world.tap.onImage = without(3)
      assert.strictEqual((yield* corrupt(world)).key, inputId(3))
      world.tap.onImage = (image) => image
      yield* world.machine.registerSession(sid)
      assert.deepStrictEqual(yield* world.machine.listActiveInputs(sid), [1, 2, 3].map(inputId))
    }))

  for (const lifecycle of ["stopped", "destroyed"] as const) {
    row(`RCV-17 a registration fails when a ${lifecycle} session has open inputs`, (world) =>
      Effect.gen(function*() {
        yield* stored(world, [record(prompt(1)), record(prompt(2))])
        world.tap.onImage = (image) => ({ ...image, lifecycle })
        const error = yield* corrupt(world)
        assert.include(error.message, lifecycle)
        assert.include(error.message, "2 open inputs")
      }))
  }

  // This test reads the row as: `openRuntime` is the write of a registration.
  // The opening is the write of a registration, which overrides the row (D3).
  row(
    "RCV-18 a registration leaves no session and no recovered input when its opening write fails",
    (world) =>
      Effect.gen(function*() {
        yield* stored(world, [staged(1)])
        world.tap.onOpen = Effect.fail(ioError)
        const error = yield* Effect.flip(world.machine.registerSession(sid))
        assert.isTrue(error._tag === "Internal" && error.retryable)
        assert.isFalse(yield* world.machine.containsSession(sid))
        const [row] = yield* inputStates(world)
        assert.deepStrictEqual([row?.phase, row?.crashed], ["staged", 0])
        world.tap.onOpen = Effect.void
        yield* world.machine.registerSession(sid)
        assert.strictEqual(yield* phaseOf(world, inputId(1)), "queued")
      })
  )

  row("RCV-22 recovering a live session changes nothing", (world) =>
    Effect.gen(function*() {
      yield* world.machine.registerSession(sid)
      const completion = yield* accepted(world, prompt(1))
      yield* world.machine.acceptInput(sid, continuation(2))
      const before = yield* world.snapshot
      const report = yield* world.machine.recoverRuntime(sid)
      assert.deepStrictEqual(report, { inputsRecovered: 2, inputsAbandoned: 0, inputsRequeued: 0 })
      assert.deepStrictEqual(yield* world.snapshot, before)
      yield* attach(world, scripted())
      assert.strictEqual((yield* completion.wait)._tag, "Completed")
    }))

  row("RCV-24 an unreadable live row fails the registration", (world) =>
    Effect.gen(function*() {
      yield* stored(world, [record(prompt(1)), record(prompt(2)), record(prompt(3))])
      world.tap.onImage = without(2)
      assert.strictEqual((yield* corrupt(world)).key, inputId(2))
    }))

  // The first crash is free while the staging is still a deferred write; then the budget counts (D10).
  row("RCV-29 an input that kills the process runs at most 1 + crashBudget times", (world) =>
    Effect.gen(function*() {
      const turns: Array<number> = []
      yield* world.machine.registerSession(sid)
      yield* world.machine.acceptInput(sid, prompt(1))
      for (let life = 1; life <= 8; life++) {
        const runs = scripted({ park: true })
        yield* attach(world, runs)
        yield* settled
        turns.push(runs.turns.length)
        yield* world.crash
      }
      assert.deepStrictEqual(turns, [1, 1, 1, 1, 0, 0, 0, 0])
      yield* world.machine.registerSession(sid)
      const state = Option.getOrThrow(yield* world.machine.inputState(sid, inputId(1)))
      assert.deepStrictEqual(state.terminal, {
        type: "abandoned",
        reason: { type: "crash_budget_exhausted", crashes: 3 }
      })
      const told = Option.getOrThrow(yield* world.machine.outcome(sid, inputId(1)))
      assert.strictEqual(told._tag, "Abandoned")
    }))

  row("RCV-29 a run that outlived the stage flush counts from its first crash", (world) =>
    Effect.gen(function*() {
      const turns: Array<number> = []
      yield* world.machine.registerSession(sid)
      yield* world.machine.acceptInput(sid, prompt(1))
      for (let life = 1; life <= 6; life++) {
        const runs = scripted({ park: true })
        yield* attach(world, runs)
        yield* settled
        yield* advance("1 second")
        yield* settled
        turns.push(runs.turns.length)
        yield* world.crash
      }
      assert.deepStrictEqual(turns, [1, 1, 1, 0, 0, 0])
    }))

  row("RCV-29 an orderly teardown charges no input", (world) =>
    Effect.gen(function*() {
      yield* world.machine.registerSession(sid)
      yield* world.machine.acceptInput(sid, prompt(1))
      for (let life = 1; life <= 10; life++) {
        const runs = scripted({ park: true })
        yield* attach(world, runs)
        yield* runs.started(1)
        yield* life % 2 === 0 ? world.restart : world.machine.unregisterSession(sid)
      }
      yield* world.machine.registerSession(sid)
      const state = Option.getOrThrow(yield* world.machine.inputState(sid, inputId(1)))
      assert.deepStrictEqual([state.phase, state.charged, state.crashed], ["queued", 0, 0])
      yield* attach(world, scripted())
      yield* untilPhase(world, inputId(1), "consumed")
    }))

  // The whole life of three inputs, ended at every commit: before it is durable, and after.
  for (const when of ["CrashBefore", "CrashAfter"] as const) {
    row(
      `RCV-29 ${when}: an acknowledged input survives and runs until its receipt, never after it`,
      (world) =>
        Effect.gen(function*() {
          let points = 0
          for (let point = 1; point <= 12; point++) {
            const crashed = yield* crashAt(world, point, { _tag: when })
            if (!crashed) break
            points = point
          }
          assert.isAtLeast(points, 6)
        })
    )
  }

  // The answer of the store decides. A commit that did not happen is repeated with the result at hand (D21).
  for (const happened of [true, false]) {
    row(
      `RCV-29 a commit of unknown outcome that ${happened ? "happened" : "did not happen"} is looked up`,
      (world) =>
        Effect.gen(function*() {
          const runs = scripted()
          yield* attach(world, runs)
          let lost = 0
          world.tap.onCommit = ({ receipt }) =>
            receipt !== undefined && lost++ === 0 ? { _tag: "Lose", happened } : pass
          const completion = yield* accepted(world, prompt(1))
          assert.strictEqual((yield* inTime(completion.wait))._tag, "Completed")
          assert.strictEqual(runs.turns.length, 1)
          assert.deepStrictEqual(yield* committed(world), [inputId(1)])
          assert.strictEqual(lost, happened ? 1 : 2)
          assert.strictEqual((yield* world.snapshot).health, "ready")
          world.tap.onCommit = () => ({ _tag: "Lose", happened })
          const answer = yield* Effect.either(world.machine.acceptInput(sid, prompt(2)))
          world.tap.onCommit = () => pass
          if (answer._tag === "Right") assert.isTrue(happened)
          else assert.isTrue(!happened && answer.left._tag === "Internal" && answer.left.retryable)
          assert.strictEqual((yield* phaseOf(world, inputId(2))) === null, !happened)
        })
    )
  }

  type End = "stop" | "retire" | "recycle" | "reset" | "destroy"
  const ends: Record<End, (world: World) => Effect.Effect<unknown, RuntimeDriverError>> = {
    stop: ({ machine }: World) => machine.stopRuntimeExecutor(sid, "enough"),
    retire: ({ machine }: World) => machine.retireRuntime(sid),
    recycle: ({ machine }: World) => machine.recycleRuntime(sid),
    reset: ({ machine }: World) => machine.resetRuntime(sid),
    destroy: ({ machine }: World) => machine.destroyRuntime(sid)
  }
  // The state and the number of open inputs after a crash: [before the commit was durable, after it was durable].
  const found: Record<End, readonly [string, string]> = {
    stop: ["idle 1", "idle 0"],
    retire: ["idle 1", "retired 0"],
    recycle: ["idle 1", "idle 1"],
    reset: ["idle 1", "idle 0"],
    destroy: ["idle 1", "Destroyed"]
  }
  for (const name of ["stop", "retire", "recycle", "reset", "destroy"] as const) {
    row(`RCV-29 a crash during ${name} leaves it done or undone`, (world) =>
      Effect.gen(function*() {
        for (const [index, when] of (["CrashBefore", "CrashAfter"] as const).entries()) {
          yield* world.machine.registerSession(sid)
          yield* world.machine.acceptInput(sid, prompt(1))
          world.tap.crashed = yield* Deferred.make<void>()
          world.tap.onCommit = () => ({ _tag: when })
          const call = yield* Effect.fork(ends[name](world))
          yield* Effect.raceFirst(Deferred.await(world.tap.crashed), Effect.exit(Fiber.join(call)))
          world.tap.onCommit = () => pass
          yield* Fiber.interruptFork(call)
          yield* world.crash
          const registered = yield* Effect.either(world.machine.registerSession(sid))
          const seen = registered._tag === "Left"
            ? registered.left._tag
            : `${yield* world.machine.runtimeState(sid)} ${(yield* world.machine.listActiveInputs(sid)).length}`
          assert.strictEqual(seen, found[name][index], when)
        }
      }))
  }
})
