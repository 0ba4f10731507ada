/** ING: which inputs a session accepts, refuses or deduplicates, and when they are durable. */
import { assert, describe } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as RuntimeControlPlaneLive from "../../layers/RuntimeControlPlaneLive.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import { RuntimeControlPlane } from "../../services/RuntimeControlPlane.js"
import type { Input } from "../../src/domain/Input.js"
import { textOf } from "../../src/domain/Message.js"
import {
  continuation,
  event,
  flowStep,
  inputId,
  message,
  operation,
  peer,
  progress,
  prompt,
  request,
  silentRequest,
  terminal
} from "../support/inputs.js"
import type { World } from "../support/rows.js"
import {
  accepted,
  anHour,
  attach,
  fail,
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

/**
 * Checks that every entry point refuses the input: with an error here, with an outcome on the control plane. The store
 * keeps no trace of it.
 */
const refused = (world: World, input: Input, tag: string) =>
  Effect.gen(function*() {
    const error = yield* Effect.flip(world.machine.acceptInput(sid, input))
    assert.strictEqual(error._tag, "ValidationFailed")
    assert.strictEqual(error._tag === "ValidationFailed" ? error.detail._tag : "", tag)
    const ingested = yield* Effect.flatMap(RuntimeControlPlane, (plane) => plane.ingest(runtimeId, input)).pipe(
      Effect.provide(Layer.provide(RuntimeControlPlaneLive.layer, Layer.succeed(MeerkatMachine, world.machine)))
    )
    assert.strictEqual(ingested._tag === "Rejected" ? ingested.detail._tag : ingested._tag, tag)
    assert.strictEqual(yield* phaseOf(world, input.header.id), null)
    assert.deepStrictEqual(yield* world.machine.listActiveInputs(sid), [])
    assert.strictEqual(world.tap.commits.length, 0)
  })

const keyed = (n: number, key = "k") => prompt(n, undefined, { idempotencyKey: key })
const replaceable = (n: number) => peer(n, progress, undefined, { supersessionKey: "k" })

/** Delays an effect by `n` turns of the scheduler. Different delays make two effects begin in different orders. */
const yields = (n: number) => Effect.repeatN(Effect.yieldNow(), n)

describe("ingress", () => {
  row("ING-03 an accepted prompt is queued and active", (world) =>
    Effect.gen(function*() {
      yield* world.machine.registerSession(sid)
      const outcome = yield* world.machine.acceptInput(sid, prompt(1))
      assert.strictEqual(outcome._tag, "Accepted")
      if (outcome._tag !== "Accepted") return
      assert.strictEqual(outcome.inputId, inputId(1))
      assert.strictEqual(outcome.state.phase, "queued")
      const snapshot = yield* world.snapshot
      assert.deepStrictEqual(snapshot.queue.map((_) => _.inputId), [inputId(1)])
      assert.deepStrictEqual(yield* world.machine.listActiveInputs(sid), [inputId(1)])
      assert.strictEqual(yield* world.machine.runtimeState(sid), "idle")
    }))

  row("ING-04 the lanes are disjoint and in admission order", (world) =>
    Effect.gen(function*() {
      yield* world.machine.registerSession(sid)
      yield* Effect.forEach([prompt(1), continuation(2), peer(3, progress)], (input) =>
        world.machine.acceptInput(sid, input))
      const snapshot = yield* world.snapshot
      assert.deepStrictEqual(
        snapshot.queue.map((_) =>
          _.inputId
        ),
        [inputId(1)]
      )
      assert.deepStrictEqual(snapshot.steer.map((_) => _.inputId), [inputId(2), inputId(3)])
    }))

  row("ING-05 an operation input is consumed by the commit that accepts it", (world) =>
    Effect.gen(function*() {
      const runs = scripted()
      yield* attach(world, runs)
      const { completion, outcome } = yield* world.machine.acceptInputWithCompletion(sid, operation(1))
      assert.strictEqual(outcome._tag === "Accepted" ? outcome.state.phase : "", "consumed")
      assert.strictEqual(outcome._tag === "Accepted" ? outcome.state.terminal?.type : "", "consumed")
      assert.isTrue(Option.isNone(completion))
      const snapshot = yield* world.snapshot
      assert.deepStrictEqual([snapshot.queue, snapshot.steer, snapshot.staged], [[], [], []])
      assert.deepStrictEqual(yield* world.machine.listActiveInputs(sid), [])
      yield* anHour
      assert.strictEqual(runs.turns.length, 0)
      assert.strictEqual(yield* phaseOf(world, inputId(1)), "consumed")
    }))

  row("ING-06 a progress input with a handling mode is refused", (world) =>
    Effect.zipRight(
      world.machine.registerSession(sid),
      Effect.forEach(
        ["queue", "steer"] as const,
        (mode, n) => refused(world, peer(n + 1, progress, mode), "PeerHandlingModeInvalid"),
        { discard: true }
      )
    ))

  row("ING-07 a terminal response without a request id is refused", (world) =>
    Effect.zipRight(
      world.machine.registerSession(sid),
      refused(
        world,
        peer(1, { type: "response_terminal", requestId: "  ", status: "completed" }),
        "PeerResponseTerminalInvalid"
      )
    ))

  row("ING-08 a derived prompt, flow step or peer message is refused", (world) =>
    Effect.gen(function*() {
      yield* world.machine.registerSession(sid)
      const fields = { durability: "derived", source: { type: "system" } } as const
      yield* refused(world, prompt(1, undefined, fields), "DurabilityViolation")
      yield* refused(world, flowStep(2, undefined, fields), "DurabilityViolation")
      yield* refused(world, peer(3, message, undefined, fields), "DurabilityViolation")
      yield* refused(world, peer(4, request, undefined, fields), "DurabilityViolation")
      yield* refused(world, peer(5, terminal, undefined, fields), "DurabilityViolation")
    }))

  row("ING-09 a derived input from outside is refused, whatever its kind", (world) =>
    Effect.gen(function*() {
      yield* world.machine.registerSession(sid)
      const sources = [
        { type: "operator" },
        { type: "peer", peerId: "00000000-0000-4000-8000-000000000bee" },
        { type: "external", sourceName: "hook" }
      ] as const
      for (const source of sources) {
        const fields = { durability: "derived", source } as const
        yield* refused(world, event(1, "queue", undefined, fields), "DurabilityViolation")
        yield* refused(world, continuation(2, "steer", fields), "DurabilityViolation")
        yield* refused(world, operation(3, fields), "DurabilityViolation")
        yield* refused(world, peer(4, progress, undefined, fields), "DurabilityViolation")
        yield* refused(world, prompt(5, undefined, fields), "DurabilityViolation")
      }
    }))

  row("ING-11 an input with a known key is deduplicated without a write", (world) =>
    Effect.gen(function*() {
      yield* world.machine.registerSession(sid)
      yield* world.machine.acceptInput(sid, keyed(1))
      const commits = world.tap.commits.length
      const again = yield* world.machine.acceptInput(sid, keyed(2))
      assert.deepStrictEqual(again, { _tag: "Deduplicated", inputId: inputId(2), existingId: inputId(1) })
      assert.deepStrictEqual(yield* world.machine.listActiveInputs(sid), [inputId(1)])
      yield* anHour
      assert.strictEqual(world.tap.commits.length, commits)
      assert.strictEqual(yield* phaseOf(world, inputId(2)), null)
    }))

  // `prompt` returns a completion of the finished duplicate from the store (D18, D19).
  row(
    "ING-12 a known key of a finished input gives no handle, but its stored outcome",
    (world) =>
      Effect.gen(function*() {
        yield* attach(world, scripted())
        const session = world.machine.session(sid)
        const first = yield* session.prompt("hello", { idempotencyKey: "k" })
        const told = yield* first.completion.wait
        const { completion, outcome } = yield* world.machine.acceptInputWithCompletion(sid, keyed(2))
        const existingId = first.completion.inputId
        assert.deepStrictEqual(outcome, { _tag: "Deduplicated", inputId: inputId(2), existingId })
        assert.isTrue(Option.isNone(completion))
        const again = yield* session.prompt("other words", { idempotencyKey: "k" })
        assert.deepStrictEqual(yield* again.completion.wait, told)
      })
  )

  row("ING-13 duplicates of an open input share its outcome", (world) =>
    Effect.gen(function*() {
      yield* world.machine.registerSession(sid)
      const first = yield* accepted(world, keyed(1))
      const second = yield* accepted(world, keyed(2))
      assert.deepStrictEqual((yield* world.snapshot).waiters, [{ inputId: inputId(1), count: 2 }])
      yield* attach(world, scripted())
      const told = yield* Effect.all([first.wait, second.wait])
      assert.deepStrictEqual(told[0], { _tag: "Completed", result: { text: "prompt 1" } })
      assert.deepStrictEqual(told[1], told[0])
    }))

  row("ING-14 keys are known after a restart", (world) =>
    Effect.gen(function*() {
      yield* world.machine.registerSession(sid)
      yield* world.machine.acceptInput(sid, keyed(1))
      yield* world.crash
      yield* world.machine.registerSession(sid)
      const open = yield* world.machine.acceptInput(sid, keyed(2))
      assert.deepStrictEqual(open, { _tag: "Deduplicated", inputId: inputId(2), existingId: inputId(1) })
      yield* attach(world, scripted())
      yield* untilPhase(world, inputId(1), "consumed")
      yield* world.restart
      yield* world.machine.registerSession(sid)
      const ended = yield* world.machine.acceptInput(sid, keyed(3))
      assert.deepStrictEqual(ended, { _tag: "Deduplicated", inputId: inputId(3), existingId: inputId(1) })
    }))

  row(
    "ING-16 a silent intent wakes no loop and joins the next driven run, in front",
    (world) =>
      Effect.gen(function*() {
        yield* world.machine.registerSession(sid)
        yield* world.machine.setSessionSilentIntents(sid, ["hush"])
        const runs = scripted()
        const idle = yield* world.machine.acceptInput(sid, peer(1, silentRequest))
        assert.strictEqual(idle._tag === "Accepted" ? idle.state.phase : "", "queued")
        yield* attach(world, runs)
        yield* world.machine.acceptInput(sid, peer(2, silentRequest))
        const snapshot = yield* world.snapshot
        assert.deepStrictEqual(snapshot.queue.map((_) => [_.inputId, _.hold]), [[inputId(1), true], [inputId(2), true]])
        yield* anHour
        assert.strictEqual(runs.turns.length, 0)
        yield* world.machine.acceptInput(sid, prompt(3))
        const turn = yield* runs.started(1)
        assert.deepStrictEqual(turn.inputs.map((_) => _.header.id), [inputId(1), inputId(2), inputId(3)])
        assert.strictEqual(textOf(turn.appends.at(-1)?.blocks ?? []), "prompt 3")
        assert.strictEqual(turn.appends.length + turn.contexts.length, 3)
      })
  )

  row("ING-18 a newer progress input coalesces the older one", (world) =>
    Effect.gen(function*() {
      const runs = scripted()
      yield* world.machine.registerSession(sid)
      yield* world.machine.acceptInput(sid, replaceable(1))
      yield* world.machine.acceptInput(sid, replaceable(2))
      const old = Option.getOrThrow(yield* world.machine.inputState(sid, inputId(1)))
      assert.deepStrictEqual(old.terminal, { type: "coalesced", into: inputId(2) })
      assert.deepStrictEqual((yield* world.snapshot).steer.map((_) => _.inputId), [inputId(2)])
      yield* world.machine.acceptInput(sid, prompt(3))
      yield* attach(world, runs)
      yield* untilPhase(world, inputId(3), "consumed")
      assert.deepStrictEqual(runs.batches(), [[inputId(2), inputId(3)]])
    }))

  // The waiter receives `Abandoned{"coalesced into <id>"}` at once. No policy of version 1 supersedes (D9).
  row("ING-21 the waiter of a coalesced input is told at once", (world) =>
    Effect.gen(function*() {
      yield* world.machine.registerSession(sid)
      const waiting = yield* accepted(world, replaceable(1))
      yield* world.machine.acceptInput(sid, replaceable(2))
      assert.deepStrictEqual(yield* waiting.wait, { _tag: "Abandoned", reason: `coalesced into ${inputId(2)}` })
      assert.deepStrictEqual((yield* world.snapshot).waiters, [])
    }))

  row("ING-22 a steering prompt runs at once, once, and cancels no run", (world) =>
    Effect.gen(function*() {
      const runs = scripted({ park: true, hardCancel: Effect.void })
      yield* attach(world, runs)
      const completion = yield* accepted(world, prompt(1, { handlingMode: "steer" }))
      const turn = yield* runs.started(1)
      const snapshot = yield* world.snapshot
      assert.deepStrictEqual([snapshot.state, snapshot.currentRunId], ["running", turn.runId])
      yield* runs.open(1)
      assert.strictEqual((yield* completion.wait)._tag, "Completed")
      yield* anHour
      assert.strictEqual(runs.turns.length, 1)
      assert.deepStrictEqual([runs.calls.hardCancel, runs.calls.cancelAfterBoundary], [[], []])
    }))

  row(
    "ING-24 an input accepted without wake stays queued until another input drives a run",
    (world) =>
      Effect.gen(function*() {
        const runs = scripted()
        yield* world.machine.registerSession(sid)
        yield* world.machine.acceptInputWithoutWake(sid, prompt(1))
        assert.strictEqual(yield* world.machine.runtimeState(sid), "idle")
        yield* attach(world, runs)
        yield* world.machine.acceptInputWithoutWake(sid, peer(2, message))
        yield* anHour
        assert.strictEqual(runs.turns.length, 0)
        assert.deepStrictEqual([yield* phaseOf(world, inputId(1)), yield* phaseOf(world, inputId(2))], [
          "queued",
          "queued"
        ])
        yield* world.machine.acceptInput(sid, prompt(3))
        yield* untilPhase(world, inputId(3), "consumed")
        assert.deepStrictEqual(runs.batches().flat(), [inputId(1), inputId(2), inputId(3)])
      })
  )

  row(
    "ING-26 a prompt accepted during a run is the next run, without another stimulus",
    (world) =>
      Effect.gen(function*() {
        const runs = scripted({ park: true })
        yield* attach(world, runs)
        yield* world.machine.acceptInput(sid, prompt(1))
        yield* runs.started(1)
        yield* world.machine.acceptInput(sid, prompt(2))
        yield* settled
        assert.strictEqual(yield* phaseOf(world, inputId(2)), "queued")
        yield* runs.openAll
        yield* untilPhase(world, inputId(2), "consumed")
        assert.deepStrictEqual(runs.batches(), [[inputId(1)], [inputId(2)]])
      })
  )

  row("ING-30 an input is durable when it is accepted", (world) =>
    Effect.gen(function*() {
      yield* world.machine.registerSession(sid)
      const latch = yield* Effect.makeLatch(false)
      world.tap.onCommit = () => ({ _tag: "Park", latch })
      const call = yield* Effect.fork(world.machine.acceptInput(sid, prompt(1)))
      yield* until("the write", Effect.sync(() => world.tap.commits.length === 1))
      yield* settled
      assert.isTrue(Option.isNone(yield* Fiber.poll(call)))
      assert.deepStrictEqual(yield* world.machine.listActiveInputs(sid), [])
      yield* latch.open
      assert.strictEqual((yield* Fiber.join(call))._tag, "Accepted")
      yield* world.crash
      yield* world.machine.registerSession(sid)
      assert.deepStrictEqual(yield* world.machine.listActiveInputs(sid), [inputId(1)])
    }))

  row("ING-31 a refused write leaves neither the input nor its key", (world) =>
    Effect.gen(function*() {
      yield* world.machine.registerSession(sid)
      world.tap.onCommit = (_, n) => n === 1 ? fail : pass
      const error = yield* Effect.flip(world.machine.acceptInput(sid, keyed(1)))
      assert.strictEqual(error._tag, "Internal")
      assert.isTrue(error._tag === "Internal" && error.retryable)
      const { queue, steer } = yield* world.snapshot
      assert.deepStrictEqual([queue, steer], [[], []])
      assert.strictEqual(yield* phaseOf(world, inputId(1)), null)
      assert.strictEqual((yield* world.machine.acceptInput(sid, keyed(2)))._tag, "Accepted")
    }))

  row("ING-32 a durable input runs when its caller has been interrupted", (world) =>
    Effect.gen(function*() {
      const runs = scripted()
      yield* attach(world, runs)
      const latch = yield* Effect.makeLatch(false)
      const before = world.tap.commits.length
      world.tap.onCommit = (_, n) => n === before + 1 ? { _tag: "Park", latch } : pass
      const call = yield* Effect.fork(world.machine.acceptInput(sid, keyed(1)))
      yield* until("the write", Effect.sync(() => world.tap.commits.length === before + 1))
      yield* Fiber.interrupt(call)
      yield* latch.open
      yield* untilPhase(world, inputId(1), "consumed")
      const again = yield* world.machine.acceptInput(sid, keyed(2))
      assert.deepStrictEqual(again, { _tag: "Deduplicated", inputId: inputId(2), existingId: inputId(1) })
      assert.deepStrictEqual(runs.batches(), [[inputId(1)]])
    }))

  memoryRow("ING-36 retire counts an input or refuses it, in every order", (world) =>
    Effect.gen(function*() {
      for (let late = 0; late < 12; late++) {
        for (const acceptFirst of [true, false]) {
          yield* world.machine.registerSession(sid)
          const n = late * 2 + (acceptFirst ? 1 : 2)
          const accept = Effect.either(accepted(world, prompt(n)))
          const retire = world.machine.retireRuntime(sid)
          const [first, second] = acceptFirst ? [0, late] : [late, 0]
          const [admitted, report] = yield* Effect.all([
            Effect.zipRight(yields(first), accept),
            Effect.zipRight(yields(second), retire)
          ], { concurrency: "unbounded" })
          if (Either.isRight(admitted)) {
            assert.strictEqual(report.inputsAbandoned + report.inputsPendingDrain, 1)
            assert.deepStrictEqual(yield* admitted.right.wait, {
              _tag: "RuntimeTerminated",
              reason: "retired without runtime loop"
            })
          } else {
            assert.strictEqual(admitted.left._tag === "NotReady" ? admitted.left.state : "", "retired")
            assert.strictEqual(report.inputsAbandoned + report.inputsPendingDrain, 0)
          }
          yield* world.machine.recycleRuntime(sid)
          assert.deepStrictEqual(yield* world.machine.listActiveInputs(sid), [])
        }
      }
    }))

  row("ING-41 an accept that found the old session does not reach the new one", (world) =>
    Effect.gen(function*() {
      yield* world.machine.registerSession(sid)
      const asked = yield* Deferred.make<void>()
      const latch = yield* Effect.makeLatch(false)
      world.tap.onFindKey = Effect.zipRight(Deferred.succeed(asked, undefined), latch.await)
      const call = yield* Effect.fork(Effect.flip(world.machine.acceptInput(sid, keyed(1))))
      yield* Deferred.await(asked)
      world.tap.onFindKey = Effect.void
      yield* world.machine.unregisterSession(sid)
      yield* world.machine.registerSession(sid)
      yield* latch.open
      const error = yield* Fiber.join(call)
      assert.strictEqual(error._tag === "NotReady" ? error.state : error._tag, "destroyed")
      assert.deepStrictEqual(yield* world.machine.listActiveInputs(sid), [])
      assert.strictEqual((yield* world.machine.acceptInput(sid, keyed(2)))._tag, "Accepted")
      yield* untilState(world, "idle")
    }))
})
