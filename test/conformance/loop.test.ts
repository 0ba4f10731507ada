/** LOOP: how the loop runs batches, retries failed attempts, commits results, drains and ends. */
import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Turns from "../../services/Turn.js"
import { ApplyFailed, TerminalFailure, TurnCancelled } from "../../src/domain/Errors.js"
import { continuation, inputId, message, peer, prompt, runId } from "../support/inputs.js"
import type { Scripted, World } from "../support/rows.js"
import {
  accepted,
  advance,
  anHour,
  attach,
  committed,
  echo,
  fail,
  inTime,
  memoryRow,
  pass,
  phaseOf,
  row,
  runtimeId,
  scripted,
  settled,
  sid,
  until,
  untilPhase,
  untilState
} from "../support/rows.js"

const ordinary = new ApplyFailed({ cause: "RuntimeTurn", detail: "no" })
const steering = (n: number) => prompt(n, { handlingMode: "steer" })

/** The state changes of the session, as its subscribers see them. */
const states = (world: World) =>
  Effect.gen(function*() {
    const seen: Array<string> = []
    yield* Effect.forkScoped(Stream.runForEach(world.machine.runtimeEvents(sid), (item) =>
      Effect.sync(() => {
        if (item._tag === "Event" && item.envelope.event._tag === "StateChanged") seen.push(item.envelope.event.to)
      })))
    yield* settled
    return seen
  })

const exhausted = (world: World, runs: Scripted) =>
  Effect.gen(function*() {
    const state = Option.getOrThrow(yield* world.machine.inputState(sid, inputId(1)))
    assert.deepStrictEqual(state.terminal, {
      type: "abandoned",
      reason: { type: "max_attempts_exhausted", attempts: 3 }
    })
    assert.strictEqual(runs.turns.length, 3)
    assert.deepStrictEqual(runs.turns.map(({ attempt }) => attempt), [1, 2, 3])
  })

/** Waits for a phase that lies behind a pause, while time passes. */
const untilTime = (world: World, n: number, phase: string) =>
  Effect.repeat(Effect.delay(phaseOf(world, inputId(n)), "100 millis"), { until: (found) => found === phase })

describe("runtime loop", () => {
  row("LOOP-01 a prompt takes the session through a run and back to attached", (world) =>
    Effect.gen(function*() {
      const runs = scripted({ park: true })
      yield* attach(world, runs)
      const seen = yield* states(world)
      assert.strictEqual(yield* world.machine.runtimeState(sid), "attached")
      yield* world.machine.acceptInput(sid, prompt(1))
      const { runId } = yield* runs.started(1)
      assert.strictEqual(yield* world.machine.runtimeState(sid), "running")
      assert.strictEqual(yield* phaseOf(world, inputId(1)), "staged")
      yield* runs.open(1)
      yield* untilPhase(world, inputId(1), "consumed")
      const state = Option.getOrThrow(yield* world.machine.inputState(sid, inputId(1)))
      assert.deepStrictEqual([state.lastRunId, state.lastSequence], [runId, 0])
      const receipt = Option.getOrThrow(yield* world.machine.loadBoundaryReceipt(sid, runId, 0))
      assert.deepStrictEqual(receipt.contributingInputIds, [inputId(1)])
      yield* settled
      assert.deepStrictEqual(seen, ["running", "attached"])
      assert.strictEqual(runs.turns.length, 1)
    }))

  // No failure is final before the last attempt, which overrides the row (D9).
  row("LOOP-03 an input that always fails is never left staged", (world) =>
    Effect.gen(function*() {
      const runs = scripted({ apply: () => Effect.fail(ordinary) })
      yield* attach(world, runs)
      yield* world.machine.acceptInput(sid, prompt(1))
      yield* anHour
      yield* anHour
      yield* anHour
      yield* exhausted(world, runs)
      yield* anHour
      assert.strictEqual(runs.turns.length, 3)
      assert.strictEqual(yield* world.machine.runtimeState(sid), "attached")
    }))

  // The waiter is told when the input is terminal, never at a failed attempt (D9).
  row("LOOP-04 an input that always fails gets three attempts, then one answer", (world) =>
    Effect.gen(function*() {
      const runs = scripted({ apply: () => Effect.fail(ordinary) })
      yield* attach(world, runs)
      const completion = yield* accepted(world, prompt(1))
      const waiting = yield* Effect.fork(completion.wait)
      yield* runs.started(1)
      yield* untilPhase(world, inputId(1), "queued")
      yield* settled
      assert.isTrue(Option.isNone(yield* Fiber.poll(waiting)))
      yield* Effect.repeatN(Effect.ignore(world.machine.wakeRuntimeIfActiveInputs(sid)), 20)
      yield* settled
      assert.strictEqual(runs.turns.length, 1, "a wake does not shorten the pause")
      const told = yield* inTime(Fiber.join(waiting))
      assert.deepStrictEqual(told, { _tag: "Abandoned", reason: "apply failed: no" })
      yield* exhausted(world, runs)
      assert.deepStrictEqual(Option.getOrNull(yield* world.machine.outcome(sid, inputId(1))), told)
      assert.deepStrictEqual(yield* completion.wait, told)
    }))

  row("LOOP-05 other inputs run while one input fails", (world) =>
    Effect.gen(function*() {
      const runs = scripted({
        apply: (turn) =>
          turn.inputs.some(({ header }) => header.id === inputId(1))
            ? Effect.fail(ordinary)
            : Effect.succeed(echo(turn))
      })
      yield* attach(world, runs)
      yield* Effect.forEach([1, 2, 3], (n) => world.machine.acceptInput(sid, prompt(n)))
      yield* untilPhase(world, inputId(2), "consumed")
      yield* untilPhase(world, inputId(3), "consumed")
      assert.strictEqual(yield* phaseOf(world, inputId(1)), "queued")
      yield* inTime(untilTime(world, 1, "abandoned"))
      assert.deepStrictEqual(yield* committed(world), [inputId(2), inputId(3)])
    }))

  row("LOOP-06 the loop retries a failed input without a wake", (world) =>
    Effect.gen(function*() {
      const runs = scripted({ apply: (turn, n) => n === 1 ? Effect.fail(ordinary) : Effect.succeed(echo(turn)) })
      yield* attach(world, runs)
      const completion = yield* accepted(world, prompt(1))
      assert.strictEqual((yield* inTime(completion.wait))._tag, "Completed")
      assert.strictEqual(runs.turns.length, 2)
    }))

  row("LOOP-07 a turn that ends as cancelled is not retried", (world) =>
    Effect.gen(function*() {
      const runs = scripted({ apply: () => Effect.fail(new TurnCancelled({ detail: "enough" })) })
      yield* attach(world, runs)
      const completion = yield* accepted(world, prompt(1))
      assert.deepStrictEqual(yield* completion.wait, { _tag: "Cancelled" })
      yield* anHour
      const state = Option.getOrThrow(yield* world.machine.inputState(sid, inputId(1)))
      assert.deepStrictEqual(state.terminal, { type: "abandoned", reason: { type: "cancelled" } })
      assert.strictEqual(runs.turns.length, 1)
      assert.strictEqual(yield* world.machine.runtimeState(sid), "attached")
      const stored = yield* Stream.runCollect(world.store.sessions())
      assert.deepStrictEqual(Array.from(stored, ({ lifecycle }) => lifecycle), ["idle"])
    }))

  // The failure is told at once, since this cause is not retried. Otherwise the last cause is told, at the end (D10).
  row("LOOP-08 a typed terminal failure reaches the waiter unchanged", (world) =>
    Effect.gen(function*() {
      const failure = new TerminalFailure({
        outcome: "budget_exhausted",
        causeKind: "budget_exhausted",
        detail: "too dear"
      })
      const runs = scripted({ apply: () => Effect.fail(failure) })
      yield* attach(world, runs)
      const completion = yield* accepted(world, prompt(1))
      assert.deepStrictEqual(yield* completion.wait, {
        _tag: "AbandonedWithError",
        reason: "apply failed: too dear",
        error: { kind: "budget_exhausted", terminal: true, outcome: "budget_exhausted", detail: "too dear" }
      })
      assert.strictEqual(runs.turns.length, 1)
    }))

  row(
    "LOOP-08 a retryable terminal failure reaches the waiter after its last attempt",
    (world) =>
      Effect.gen(function*() {
        const runs = scripted({
          apply: (_, n) =>
            Effect.fail(new TerminalFailure({ outcome: "failed", causeKind: "llm_failure", detail: `try ${n}` }))
        })
        yield* attach(world, runs)
        const completion = yield* accepted(world, prompt(1))
        assert.deepStrictEqual(yield* inTime(completion.wait), {
          _tag: "AbandonedWithError",
          reason: "apply failed: try 3",
          error: { kind: "llm_failure", terminal: true, outcome: "failed", detail: "try 3" }
        })
      })
  )

  // A defect is a failed run like any other: the loop survives, and the waiter is told at the end (D8, D9).
  for (const [name, end] of [["dies", Effect.dieMessage("boom")], ["is interrupted", Effect.interrupt]] as const) {
    row(`LOOP-10 the run ends and the loop survives when the executor ${name}`, (world) =>
      Effect.gen(function*() {
        const runs = scripted({
          apply: (turn) => turn.inputs.some(({ header }) => header.id === inputId(1)) ? end : Effect.succeed(echo(turn))
        })
        yield* attach(world, runs)
        const completion = yield* accepted(world, prompt(1))
        yield* runs.started(1)
        yield* untilState(world, "attached")
        assert.strictEqual(yield* phaseOf(world, inputId(1)), "queued")
        const other = yield* accepted(world, prompt(2))
        assert.strictEqual((yield* other.wait)._tag, "Completed")
        const told = yield* inTime(completion.wait)
        assert.strictEqual(told._tag, "AbandonedWithError")
        assert.strictEqual(told._tag === "AbandonedWithError" ? told.error.kind : "", "fatal_failure")
        assert.isTrue(yield* world.machine.sessionHasExecutor(sid))
        assert.strictEqual(runs.turns.length, 4)
      }))
  }

  // The session must be registered again. The input is queued and runs then, so it is not abandoned (D21).
  row(
    "LOOP-11 the session must be reloaded when the commit of a turn without a result keeps failing",
    (world) =>
      Effect.gen(function*() {
        const runs = scripted({ apply: () => Effect.succeed(Turns.consume) })
        yield* attach(world, runs)
        world.tap.onCommit = ({ receipt }) => receipt === undefined ? pass : fail
        const completion = yield* accepted(world, prompt(1))
        const told = yield* inTime(completion.wait)
        assert.strictEqual(told._tag, "RuntimeTerminated")
        assert.match(told._tag === "RuntimeTerminated" ? told.reason : "", /^session must be reloaded: /)
        yield* until("the stop hook", Effect.sync(() => runs.calls.stop.length === 1))
        const refused = yield* Effect.flip(world.machine.acceptInput(sid, prompt(2)))
        assert.isTrue(refused._tag === "Internal" && !refused.retryable)
        assert.strictEqual((yield* world.snapshot).health, "reloadRequired")
        assert.isFalse(yield* world.machine.sessionHasExecutor(sid))
        world.tap.onCommit = () => pass
        yield* world.machine.registerSession(sid)
        assert.strictEqual(yield* phaseOf(world, inputId(1)), "queued")
        yield* attach(world, runs)
        yield* inTime(untilTime(world, 1, "consumed"))
        assert.deepStrictEqual(yield* committed(world), [inputId(1)])
      })
  )

  // The outcome of the row holds. The input is queued again after the reload (D21).
  row("LOOP-12 the waiter receives the result when its commit keeps failing", (world) =>
    Effect.gen(function*() {
      yield* attach(world, scripted())
      world.tap.onCommit = ({ receipt }) => receipt === undefined ? pass : fail
      const completion = yield* accepted(world, prompt(1))
      const told = yield* inTime(completion.wait)
      assert.strictEqual(told._tag, "CompletedWithFinalizationFailure")
      if (told._tag !== "CompletedWithFinalizationFailure") return
      assert.deepStrictEqual(told.result, { text: "prompt 1" })
      assert.deepStrictEqual([told.error.kind, told.error.terminal], ["runtime_apply_failure", true])
      world.tap.onCommit = () => pass
      yield* world.machine.registerSession(sid)
      assert.strictEqual(yield* phaseOf(world, inputId(1)), "queued")
    }))

  // The loop makes the pauses. Meanwhile the state is running and the result is kept (D21).
  row(
    "LOOP-12 a boundary commit that fails for a while is retried without another turn",
    (world) =>
      Effect.gen(function*() {
        const runs = scripted()
        yield* attach(world, runs)
        let failures = 0
        world.tap.onCommit = ({ receipt }) => receipt !== undefined && failures++ < 2 ? fail : pass
        const completion = yield* accepted(world, prompt(1))
        yield* until("the first refusal", Effect.sync(() => failures === 1))
        yield* settled
        assert.strictEqual(yield* world.machine.runtimeState(sid), "running")
        assert.strictEqual((yield* inTime(completion.wait))._tag, "Completed")
        assert.strictEqual(failures, 3)
        assert.strictEqual(runs.turns.length, 1)
      })
  )

  // Exactly one commit holds the receipt; at most one commit stages before it (D11).
  // The kernel numbers receipts, and the output of an executor has no field for them (D20).
  row("LOOP-14 an executor cannot choose the receipt of its run", (world) =>
    Effect.gen(function*() {
      const forged = { ...Turns.reply("mine"), receipt: { runId: runId(9), sequence: 7, contributingInputIds: [] } }
      const runs = scripted({ apply: () => Effect.succeed(forged) })
      yield* attach(world, runs)
      const completion = yield* accepted(world, prompt(1))
      assert.deepStrictEqual(yield* completion.wait, { _tag: "Completed", result: { text: "mine" } })
      const turn = yield* runs.started(1)
      const [stored, ...others] = Array.from(yield* Stream.runCollect(world.store.receipts(runtimeId)))
      assert.deepStrictEqual(others, [])
      assert.deepInclude(stored?.receipt, { runId: turn.runId, sequence: 0, contributingInputIds: [inputId(1)] })
    }))

  // At most one commit stages, beside the one that holds the receipt. This overrides the row (D11).
  row("LOOP-16 a turn makes one admission commit and one boundary commit", (world) =>
    Effect.gen(function*() {
      yield* attach(world, scripted())
      const before = world.tap.commits.length
      const completion = yield* accepted(world, prompt(1))
      yield* completion.wait
      yield* anHour
      const commits = world.tap.commits.slice(before)
      assert.strictEqual(commits.length, 2)
      const boundary = commits[1]
      assert.isDefined(boundary?.receipt)
      assert.isDefined(boundary?.session)
      assert.isUndefined(boundary?.lifecycle)
      assert.deepStrictEqual(boundary?.inputs.map((put) => put._tag), ["Terminal"])
    }))

  row("LOOP-16 a slow turn makes one more commit, for its staging", (world) =>
    Effect.gen(function*() {
      const runs = scripted({ park: true })
      yield* attach(world, runs)
      const before = world.tap.commits.length
      yield* world.machine.acceptInput(sid, prompt(1))
      yield* runs.started(1)
      yield* settled
      assert.strictEqual(world.tap.commits.length, before + 1)
      yield* advance("20 millis")
      yield* until("the staging", Effect.sync(() => world.tap.commits.length === before + 2))
      yield* anHour
      yield* runs.open(1)
      yield* untilPhase(world, inputId(1), "consumed")
      const commits = world.tap.commits.slice(before)
      assert.deepStrictEqual(commits.map(({ receipt }) => receipt !== undefined), [false, false, true])
    }))

  row("LOOP-18 an idle loop makes no store call", (world) =>
    Effect.gen(function*() {
      const runs = scripted()
      yield* attach(world, runs)
      const completion = yield* accepted(world, prompt(1))
      yield* completion.wait
      yield* anHour
      const calls = world.tap.calls
      yield* anHour
      assert.strictEqual(world.tap.calls, calls)
      assert.strictEqual(runs.turns.length, 1)
    }))

  memoryRow(
    "LOOP-20 a steer input at any moment of the staging of a queue batch runs once",
    (world) =>
      Effect.gen(function*() {
        const runs = scripted()
        yield* attach(world, runs)
        for (let late = 0; late < 20; late++) {
          const [queued, steer] = [late * 2 + 1, late * 2 + 2]
          const [first, second] = yield* Effect.all([
            accepted(world, prompt(queued)),
            Effect.zipRight(Effect.repeatN(Effect.yieldNow(), late), accepted(world, steering(steer)))
          ], { concurrency: "unbounded" })
          const told = yield* Effect.all([first.wait, second.wait])
          assert.deepStrictEqual(told.map(({ _tag }) => _tag), ["Completed", "Completed"])
          const batches = runs.batches().slice(late * 2)
          assert.deepStrictEqual(batches.flat().toSorted(), [inputId(queued), inputId(steer)])
        }
      })
  )

  row("LOOP-21 a pending stop goes before queued work", (world) =>
    Effect.gen(function*() {
      const runs = scripted({ park: true })
      yield* attach(world, runs)
      const first = yield* accepted(world, prompt(1))
      yield* runs.started(1)
      const second = yield* accepted(world, prompt(2))
      const stop = yield* Effect.fork(world.machine.stopRuntimeExecutor(sid, "enough"))
      yield* settled
      yield* runs.openAll
      yield* Fiber.join(stop)
      assert.strictEqual((yield* first.wait)._tag, "Completed")
      assert.deepStrictEqual(yield* second.wait, { _tag: "RuntimeTerminated", reason: "runtime stopped" })
      yield* anHour
      assert.deepStrictEqual(runs.batches(), [[inputId(1)]])
      assert.deepStrictEqual(runs.calls.stop, ["enough"])
    }))

  row(
    "LOOP-24 a retired session drains held inputs and looks retired meanwhile",
    (world) =>
      Effect.gen(function*() {
        const runs = scripted({ park: true })
        yield* attach(world, runs)
        yield* world.machine.acceptInputWithoutWake(sid, prompt(1))
        yield* world.machine.acceptInputWithoutWake(sid, prompt(2))
        const report = yield* world.machine.retireRuntime(sid)
        assert.deepStrictEqual(report, { inputsAbandoned: 0, inputsPendingDrain: 2 })
        const looks: Array<string> = [yield* world.machine.runtimeState(sid)]
        for (const n of [1, 2]) {
          yield* runs.started(n)
          looks.push(yield* world.machine.runtimeState(sid))
          yield* runs.open(n)
          yield* untilPhase(world, inputId(n), "consumed")
          looks.push(yield* world.machine.runtimeState(sid))
        }
        yield* anHour
        looks.push(yield* world.machine.runtimeState(sid))
        assert.deepStrictEqual(Array.from(new Set(looks)), ["retired"])
        assert.deepStrictEqual(runs.batches(), [[inputId(1)], [inputId(2)]])
      })
  )

  row("LOOP-25 a run and the inputs behind it drain after a retire", (world) =>
    Effect.gen(function*() {
      const runs = scripted({ park: true })
      yield* attach(world, runs)
      yield* Effect.forEach([1, 2, 3], (n) => world.machine.acceptInput(sid, prompt(n)))
      yield* runs.started(1)
      const report = yield* world.machine.retireRuntime(sid)
      assert.deepStrictEqual(report, { inputsAbandoned: 0, inputsPendingDrain: 3 })
      yield* runs.openAll
      yield* untilPhase(world, inputId(3), "consumed")
      assert.deepStrictEqual(yield* committed(world), [inputId(1), inputId(2), inputId(3)])
      assert.strictEqual(yield* world.machine.runtimeState(sid), "retired")
    }))

  row(
    "LOOP-26 a wake returns whether a loop with work exists, and fails without a loop",
    (world) =>
      Effect.gen(function*() {
        const { machine } = world
        const unknown = yield* Effect.flip(machine.wakeRuntimeIfActiveInputs(sid))
        assert.strictEqual(unknown._tag === "NotReady" ? unknown.state : "", "destroyed")
        yield* machine.registerSession(sid)
        assert.isFalse(yield* machine.wakeRuntimeIfActiveInputs(sid))
        yield* machine.acceptInput(sid, prompt(1))
        const noLoop = yield* Effect.flip(machine.wakeRuntimeIfActiveInputs(sid))
        assert.strictEqual(noLoop._tag === "NotReady" ? noLoop.state : "", "idle")
        assert.strictEqual(yield* machine.runtimeState(sid), "idle")
        const runs = scripted({ park: true })
        yield* attach(world, runs)
        yield* runs.started(1)
        assert.isTrue(yield* machine.wakeRuntimeIfActiveInputs(sid))
        assert.strictEqual(yield* machine.runtimeState(sid), "running")
      })
  )

  // A run from idle has no loop: see acceptInputAndRun.
  row("LOOP-28 a session returns to the state in which its run began", (world) =>
    Effect.gen(function*() {
      const runs = scripted()
      yield* attach(world, runs)
      const completion = yield* accepted(world, prompt(1))
      yield* completion.wait
      assert.strictEqual(yield* world.machine.runtimeState(sid), "attached")
      yield* world.machine.acceptInputWithoutWake(sid, prompt(2))
      yield* world.machine.retireRuntime(sid)
      yield* untilPhase(world, inputId(2), "consumed")
      assert.strictEqual(yield* world.machine.runtimeState(sid), "retired")
    }))

  row("LOOP-30 another executor can be attached after a loop has ended", (world) =>
    Effect.gen(function*() {
      const first = scripted()
      yield* world.machine.registerSession(sid)
      // A drain-only loop ends itself.
      yield* attach(world, first)
      yield* world.machine.acceptInputWithoutWake(sid, prompt(1))
      yield* world.machine.retireRuntime(sid)
      yield* until("the loop's end", Effect.map(world.machine.sessionHasExecutor(sid), (live) => !live))
      yield* until("the stop hook", Effect.sync(() => first.calls.stop.length > 0))
      yield* settled
      assert.deepStrictEqual(first.calls.stop, ["runtime loop exited"])
      yield* world.machine.recycleRuntime(sid)
      const second = scripted()
      assert.strictEqual(yield* attach(world, second), "attached")
      yield* (yield* accepted(world, prompt(2))).wait
      assert.deepStrictEqual([first.batches(), second.batches()], [[[inputId(1)]], [[inputId(2)]]])
      // A stop ends the loop too.
      yield* world.machine.stopRuntimeExecutor(sid, "enough")
      assert.isFalse(yield* world.machine.sessionHasExecutor(sid))
      assert.deepStrictEqual(second.calls.stop, ["enough"])
      yield* world.machine.unregisterSession(sid)
      const third = scripted()
      assert.strictEqual(yield* attach(world, third), "attached")
      yield* (yield* accepted(world, prompt(3))).wait
      assert.deepStrictEqual(third.batches(), [[inputId(3)]])
    }))

  memoryRow("LOOP-33 the loop waits exactly when no input is selectable", (world) =>
    Effect.gen(function*() {
      const runs = scripted()
      yield* attach(world, runs)
      for (let seed = 1; seed <= 25; seed++) {
        const inputs = [0, 1, 2, 3].map((n) => {
          const id = seed * 4 + n
          switch ((seed * 7 + n * 5) % 4) {
            case 0:
              return { input: prompt(id), wake: true }
            case 1:
              return { input: continuation(id), wake: true }
            case 2:
              return { input: peer(id, message), wake: true }
            default:
              return { input: prompt(id), wake: false }
          }
        })
        yield* Effect.forEach(
          inputs,
          ({ input, wake }, n) =>
            Effect.zipRight(
              Effect.repeatN(Effect.yieldNow(), (seed * n) % 7),
              wake ? world.machine.acceptInput(sid, input) : world.machine.acceptInputWithoutWake(sid, input)
            ),
          { concurrency: "unbounded" }
        )
        yield* settled
        yield* settled
        const { queue, state, steer } = yield* world.snapshot
        assert.strictEqual(state, "attached")
        assert.deepStrictEqual([...queue, ...steer].filter(({ hold }) => !hold), [], `seed ${seed}`)
        const calls = world.tap.calls
        const turns = runs.turns.length
        yield* settled
        assert.deepStrictEqual([world.tap.calls, runs.turns.length], [calls, turns], `it spins at seed ${seed}`)
      }
    }))
})
