/** INT: cancelling a run and asking it to yield. */
import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Turns from "../../services/Turn.js"
import type { RuntimeDriverError } from "../../src/domain/Errors.js"
import { inputId, prompt } from "../support/inputs.js"
import type { World } from "../support/rows.js"
import {
  accepted,
  advance,
  anHour,
  attach,
  echo,
  inTime,
  phaseOf,
  row,
  scripted,
  settled,
  sid,
  until
} from "../support/rows.js"

const outcomeOf = (error: RuntimeDriverError): string =>
  error._tag === "NotReady" ? `NotReady{${error.state}}` : error._tag

/** Returns the errors of both requests, a hard cancel and a yield. */
const both = ({ machine }: World) =>
  Effect.all([
    Effect.map(Effect.flip(machine.hardCancelCurrentRun(sid, "x")), outcomeOf),
    Effect.map(Effect.flip(machine.cancelAfterBoundary(sid, "x")), outcomeOf)
  ])

describe("interrupt", () => {
  row("INT-01 both requests are refused in an idle or unknown session", (world) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* both(world), ["NotReady{destroyed}", "NotReady{destroyed}"])
      yield* world.machine.registerSession(sid)
      assert.deepStrictEqual(yield* both(world), ["NotReady{idle}", "NotReady{idle}"])
    }))

  row("INT-02 both requests are refused in a destroyed session", (world) =>
    Effect.gen(function*() {
      yield* world.machine.registerSession(sid)
      yield* world.machine.destroyRuntime(sid)
      assert.deepStrictEqual(yield* both(world), ["Destroyed", "Destroyed"])
    }))

  // The request records the cancel for this run, calls the handle and returns. The run is interrupted after
  // `cancelGrace` (D17).
  row(
    "INT-03 a cancel calls the handle without waiting for it, and interrupts the run after the grace",
    (world) =>
      Effect.gen(function*() {
        const runs = scripted({ park: true, hardCancel: Effect.void })
        yield* attach(world, runs)
        const completion = yield* accepted(world, prompt(1))
        const waiting = yield* Effect.fork(completion.wait)
        yield* runs.started(1)
        yield* world.machine.acceptInput(sid, prompt(2))
        const before = yield* world.snapshot
        yield* world.machine.hardCancelCurrentRun(sid, "too slow")
        const after = yield* world.snapshot
        assert.deepStrictEqual(
          [after.state, after.currentRunId, after.contributors, after.queue.map((_) => _.inputId)],
          [before.state, before.currentRunId, before.contributors, before.queue.map((_) => _.inputId)]
        )
        yield* until("the handle", Effect.sync(() => runs.calls.hardCancel.length > 0))
        yield* settled
        assert.deepStrictEqual(runs.calls.hardCancel, ["too slow"])
        assert.isTrue(Option.isNone(yield* Fiber.poll(waiting)))
        yield* advance("4900 millis")
        yield* settled
        assert.isTrue(Option.isNone(yield* Fiber.poll(waiting)))
        yield* advance("100 millis")
        assert.deepStrictEqual(yield* Fiber.join(waiting), { _tag: "Cancelled" })
        const state = Option.getOrThrow(yield* world.machine.inputState(sid, inputId(1)))
        assert.deepStrictEqual(state.terminal, { type: "abandoned", reason: { type: "cancelled" } })
        yield* runs.started(2)
        yield* runs.openAll
        yield* until("the next run", Effect.map(phaseOf(world, inputId(2)), (phase) => phase === "consumed"))
        assert.deepStrictEqual(runs.calls.hardCancel, ["too slow"])
      })
  )

  row("INT-03 a cancel interrupts the run at once when there is no handle", (world) =>
    Effect.gen(function*() {
      const runs = scripted({ park: true })
      yield* attach(world, runs)
      const completion = yield* accepted(world, prompt(1))
      yield* runs.started(1)
      yield* world.machine.hardCancelCurrentRun(sid, "x")
      assert.deepStrictEqual(yield* completion.wait, { _tag: "Cancelled" })
    }))

  // A result that the executor handed over counts, whatever happens afterwards (D17).
  row("INT-03 a result handed over before the interruption is kept", (world) =>
    Effect.gen(function*() {
      const runs = scripted({
        apply: (turn) => Effect.zipRight(turn.finish(Turns.reply("handed over")), Effect.never)
      })
      yield* attach(world, runs)
      const completion = yield* accepted(world, prompt(1))
      yield* runs.started(1)
      yield* settled
      yield* world.machine.hardCancelCurrentRun(sid, "x")
      assert.deepStrictEqual(yield* completion.wait, { _tag: "Completed", result: { text: "handed over" } })
    }))

  // A drain run can be cancelled, although its session looks retired (D17).
  row("INT-03 a drain run can be cancelled", (world) =>
    Effect.gen(function*() {
      const runs = scripted({ park: true })
      yield* attach(world, runs)
      const completion = yield* accepted(world, prompt(1))
      yield* runs.started(1)
      yield* world.machine.retireRuntime(sid)
      assert.strictEqual(yield* world.machine.runtimeState(sid), "retired")
      yield* world.machine.hardCancelCurrentRun(sid, "x")
      assert.deepStrictEqual(yield* completion.wait, { _tag: "Cancelled" })
    }))

  // The request belongs to its run; the loop does not deliver it a second time (D16).
  row("INT-09 a request to yield is delivered at once, and once", (world) =>
    Effect.gen(function*() {
      const runs = scripted({
        apply: (turn, n) => n === 1 ? Effect.as(turn.boundaryRequested, echo(turn)) : Effect.succeed(echo(turn))
      })
      yield* attach(world, runs)
      const completion = yield* accepted(world, prompt(1))
      yield* runs.started(1)
      yield* world.machine.acceptInput(sid, prompt(2))
      yield* world.machine.cancelAfterBoundary(sid, "others wait")
      assert.strictEqual((yield* completion.wait)._tag, "Completed")
      yield* until("the next run", Effect.map(phaseOf(world, inputId(2)), (phase) => phase === "consumed"))
      yield* anHour
      assert.deepStrictEqual(runs.calls.cancelAfterBoundary, ["others wait"])
    }))

  row("INT-11 a request without a run is refused and does not affect a later run", (world) =>
    Effect.gen(function*() {
      const runs = scripted({ hardCancel: Effect.void })
      yield* attach(world, runs)
      assert.deepStrictEqual(yield* both(world), ["NotReady{attached}", "NotReady{attached}"])
      const completion = yield* accepted(world, prompt(1))
      assert.strictEqual((yield* completion.wait)._tag, "Completed")
      yield* anHour
      assert.deepStrictEqual([runs.calls.hardCancel, runs.calls.cancelAfterBoundary], [[], []])
    }))

  row("INT-12 a cancel of a run that ended first does not reach the next run", (world) =>
    Effect.gen(function*() {
      const runs = scripted({ park: true, hardCancel: Effect.void })
      yield* attach(world, runs)
      const first = yield* accepted(world, prompt(1))
      const second = yield* accepted(world, prompt(2))
      yield* runs.started(1)
      yield* world.machine.hardCancelCurrentRun(sid, "x")
      yield* world.machine.cancelAfterBoundary(sid, "y")
      yield* settled
      yield* runs.open(1)
      assert.strictEqual((yield* first.wait)._tag, "Completed")
      const turn = yield* runs.started(2)
      const asked = yield* Effect.fork(turn.boundaryRequested)
      yield* anHour
      assert.strictEqual(yield* world.machine.runtimeState(sid), "running")
      assert.isTrue(Option.isNone(yield* Fiber.poll(asked)))
      yield* runs.open(2)
      assert.strictEqual((yield* second.wait)._tag, "Completed")
      assert.deepStrictEqual([runs.calls.hardCancel, runs.calls.cancelAfterBoundary], [["x"], ["y"]])
    }))

  row("INT-13 the executor receives one of a hundred requests to the same run", (world) =>
    Effect.gen(function*() {
      const runs = scripted({ park: true, hardCancel: Effect.void })
      yield* attach(world, runs)
      const completion = yield* accepted(world, prompt(1))
      yield* runs.started(1)
      for (let n = 1; n <= 100; n++) yield* world.machine.cancelAfterBoundary(sid, `${n}`)
      yield* settled
      assert.deepStrictEqual(runs.calls.cancelAfterBoundary, ["1"])
      for (let n = 1; n <= 100; n++) yield* world.machine.hardCancelCurrentRun(sid, `${n}`)
      yield* settled
      assert.deepStrictEqual(runs.calls.hardCancel, ["1"])
      yield* runs.open(1)
      assert.strictEqual((yield* completion.wait)._tag, "Completed")
    }))

  const stuck = {
    "hangs": (gate: Effect.Latch) => gate.await,
    "cannot be interrupted": (gate: Effect.Latch) => Effect.uninterruptible(gate.await)
  }
  for (const [name, waits] of Object.entries(stuck)) {
    row(`INT-14 a handle that ${name} delays no other call`, (world) =>
      Effect.gen(function*() {
        const gate = yield* Effect.makeLatch(false)
        const runs = scripted({ park: true, hardCancel: waits(gate) })
        yield* attach(world, runs)
        const completion = yield* accepted(world, prompt(1))
        yield* runs.started(1)
        yield* world.machine.hardCancelCurrentRun(sid, "x")
        yield* until("the handle", Effect.sync(() => runs.calls.hardCancel.length === 1))
        assert.strictEqual((yield* world.machine.acceptInput(sid, prompt(2)))._tag, "Accepted")
        assert.strictEqual(yield* world.machine.runtimeState(sid), "running")
        const report = yield* world.machine.unregisterSession(sid).pipe(name === "hangs" ? (_) => _ : inTime)
        assert.isFalse(yield* world.machine.containsSession(sid))
        assert.deepInclude(report, { joined: true, forced: name !== "hangs" })
        assert.strictEqual((yield* completion.wait)._tag, "RuntimeTerminated")
        yield* gate.open
      }))
  }

  row("INT-14 a handle that hangs does not extend the run beyond the grace", (world) =>
    Effect.gen(function*() {
      const runs = scripted({ park: true, hardCancel: Effect.never })
      yield* attach(world, runs)
      const completion = yield* accepted(world, prompt(1))
      const waiting = yield* Effect.fork(completion.wait)
      yield* runs.started(1)
      yield* world.machine.hardCancelCurrentRun(sid, "x")
      yield* settled
      yield* advance("5 seconds")
      yield* settled
      const answer = yield* Fiber.poll(waiting)
      assert.isTrue(Option.isSome(answer), "the grace begins with the request, not with the end of the handle")
      assert.deepStrictEqual(yield* Fiber.join(waiting), { _tag: "Cancelled" })
    }))
})
