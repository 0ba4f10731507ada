/** Runs while the store refuses commits for the moment: results wait, no turn repeats, no input is charged (D21). */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { make } from "../../services/CoreExecutor.js"
import type { MeerkatMachineService } from "../../services/MeerkatMachine.js"
import * as Turn from "../../services/Turn.js"
import { ApplyFailed } from "../../src/domain/Errors.js"
import type { InputId } from "../../src/domain/Ids.js"
import { runtimeIdOf, SessionId } from "../../src/domain/Ids.js"
import { LatchedExecutor } from "../../src/testkit/index.js"
import { inputId, prompt } from "../support/inputs.js"
import type { Scene } from "../support/outages.js"
import { busy, full, id, later, scene, settled, soon } from "../support/outages.js"

const stateOf = (machine: MeerkatMachineService, input: InputId) =>
  Effect.map(machine.inputState(id, input), Option.getOrThrow)

const healthOf = (machine: MeerkatMachineService) =>
  Effect.map(machine.meerkatMachineSpineSnapshot(id), (found) => Option.getOrThrow(found).health)

/** A session whose run has begun, with its staging stored. */
const running = ({ machine }: Scene, options: LatchedExecutor.LatchedOptions = {}) =>
  Effect.gen(function*() {
    const latched = yield* LatchedExecutor.make({ held: true, ...options })
    yield* machine.ensureSessionWithExecutor(id, latched.executor)
    const { completion } = yield* machine.session(id).prompt("hello")
    yield* latched.started(1)
    yield* later("1 second")
    return { ...latched, completion }
  })

/** A session whose run has ended, with its result refused by the store. */
const kept = (one: Scene, error: typeof full | typeof busy = full) =>
  Effect.gen(function*() {
    const run = yield* running(one)
    const end = one.faults.outage(error)
    yield* run.open
    yield* later("5 seconds")
    return { ...run, end }
  })

const receipts = ({ store }: Scene) =>
  Effect.map(Stream.runCollect(store.receipts(runtimeIdOf(id))), ({ length }) => length)

/** Lengths of outages, with `retryCap`: a test of a month needs pauses of more than ten seconds. */
const lengths = [["5 seconds", "10 seconds"], ["5 minutes", "10 seconds"], ["30 days", "1 day"]] as const

describe("the result of a run", () => {
  for (const error of [full, busy]) {
    for (const [length, retryCap] of lengths) {
      it.effect(`is committed once without a second turn when ${error._tag} lasts ${length}`, () =>
        scene((one) =>
          Effect.gen(function*() {
            const { completion, counts, end } = yield* kept(one, error)
            assert.strictEqual(yield* one.machine.runtimeState(id), "running")
            assert.strictEqual(yield* healthOf(one.machine), "storeRefuses")
            yield* later(length)
            end()
            yield* later(Duration.times(Duration.decode(retryCap), 2))
            assert.strictEqual((yield* soon(completion.wait))._tag, "Completed")
            assert.strictEqual(counts().apply, 1)
            assert.strictEqual(yield* receipts(one), 1)
            assert.strictEqual(yield* healthOf(one.machine), "ready")
            assert.isTrue(one.lines.some((line) => line.includes("waits for the store")))
          }), { retryCap: Duration.decode(retryCap) }))
    }
  }

  it.effect("is committed without a charge when three outages follow each other", () =>
    scene((one) =>
      Effect.gen(function*() {
        const { counts, executor } = yield* LatchedExecutor.make()
        yield* one.machine.ensureSessionWithExecutor(id, executor)
        for (let n = 1; n <= 3; n++) {
          const parked = one.faults.park("commit", { nth: 2 })
          const { completion } = yield* one.machine.session(id).prompt(`prompt ${n}`)
          yield* parked.reached
          const end = one.faults.outage(full)
          yield* parked.release
          yield* later("1 minute")
          assert.strictEqual(counts().apply, n)
          end()
          assert.strictEqual((yield* soon(completion.wait))._tag, "Completed")
          const state = yield* stateOf(one.machine, completion.inputId)
          assert.deepInclude(state, { crashed: 0, charged: 0, attempts: 1 })
        }
      })
    ))

  it.effect("does not fail the waiters of other inputs when it waits for the store", () =>
    scene((one) =>
      Effect.gen(function*() {
        const run = yield* running(one)
        const { completion } = yield* one.machine.session(id).prompt("behind")
        const waiting = yield* Effect.fork(completion.wait)
        const end = one.faults.outage(full)
        yield* run.open
        yield* later("20 minutes")
        assert.isNull(waiting.unsafePoll())
        end()
        assert.strictEqual((yield* soon(Fiber.join(waiting)))._tag, "Completed")
        assert.strictEqual(run.counts().apply, 2)
      })
    ))

  it.effect("is retried with growing pauses when the store stays full", () =>
    scene((one) =>
      Effect.gen(function*() {
        const { end } = yield* kept(one)
        yield* later("1 minute")
        const before = one.faults.calls("commit")
        yield* later("10 minutes")
        const tries = one.faults.calls("commit") - before
        // one try in 8 to 12 seconds: `retryCap` with jitter
        assert.isTrue(tries >= 45 && tries <= 80, String(tries))
        end()
      })
    ))

  it.effect("does not delay other sessions when it waits for the store", () =>
    scene((one) =>
      Effect.gen(function*() {
        const run = yield* running(one)
        const end = one.faults.outage(full, { runtimeId: runtimeIdOf(id) })
        yield* run.open
        yield* later("5 seconds")
        const other = SessionId.make("other")
        const { executor } = yield* LatchedExecutor.make()
        yield* one.machine.ensureSessionWithExecutor(other, executor)
        assert.strictEqual((yield* soon(one.machine.session(other).ask("hello"))).text, "answer 1")
        end()
        assert.strictEqual((yield* soon(run.completion.wait))._tag, "Completed")
      })
    ))
})

describe("another end of a run", () => {
  it.effect("charges a failure once when its commit waits for the store", () =>
    scene((one) =>
      Effect.gen(function*() {
        const failure = Exit.fail(new ApplyFailed({ cause: "RuntimeTurn", detail: "no" }))
        const run = yield* running(one, { script: [failure] })
        const end = one.faults.outage(full)
        yield* run.open
        yield* later("20 minutes")
        assert.strictEqual(run.counts().apply, 1)
        end()
        assert.strictEqual((yield* soon(run.completion.wait))._tag, "Completed")
        assert.deepInclude(yield* stateOf(one.machine, run.completion.inputId), { charged: 1, crashed: 0 })
      })
    ))

  it.effect("stores a cancel and does not repeat the run when the commit waits for the store", () =>
    scene((one) =>
      Effect.gen(function*() {
        const run = yield* running(one)
        const end = one.faults.outage(full)
        yield* one.machine.hardCancelCurrentRun(id, "enough")
        yield* later("20 minutes")
        end()
        assert.strictEqual((yield* soon(run.completion.wait))._tag, "Cancelled")
        assert.strictEqual(run.counts().apply, 1)
      })
    ))

  it.effect("begins a run once when its staging waits for the store", () =>
    scene((one) =>
      Effect.gen(function*() {
        const failure = Exit.fail(new ApplyFailed({ cause: "RuntimeTurn", detail: "no" }))
        const { counts, executor } = yield* LatchedExecutor.make({ script: [failure] })
        yield* one.machine.ensureSessionWithExecutor(id, executor)
        const { completion } = yield* one.machine.session(id).prompt("hello")
        yield* settled
        const end = one.faults.outage(full)
        yield* later("20 minutes")
        assert.strictEqual(counts().apply, 1)
        assert.strictEqual(yield* healthOf(one.machine), "ready")
        end()
        assert.strictEqual((yield* soon(completion.wait))._tag, "Completed")
        assert.strictEqual(counts().apply, 2)
      })
    ))
})

describe("the result of a caller's run", () => {
  const inline = ({ machine }: Scene, gate: Effect.Latch, ran: { count: number }) =>
    machine.acceptInputAndRun(id, prompt(1), () =>
      Effect.as(
        Effect.zipRight(Effect.sync(() => void ran.count++), gate.await),
        ["value", Turn.reply("answer")] as const
      ))

  it.effect("is returned to the caller of an inline run when the store has committed it", () =>
    scene((one) =>
      Effect.gen(function*() {
        yield* one.machine.registerSession(id)
        const gate = yield* Effect.makeLatch(false)
        const ran = { count: 0 }
        const running = yield* Effect.fork(inline(one, gate, ran))
        yield* later("1 second")
        const end = one.faults.outage(full)
        yield* gate.open
        yield* later("20 minutes")
        assert.isNull(running.unsafePoll())
        end()
        assert.strictEqual(yield* soon(Fiber.join(running)), "value")
        assert.strictEqual(ran.count, 1)
        assert.strictEqual((yield* stateOf(one.machine, inputId(1))).phase, "consumed")
      })
    ))

  it.effect("is committed when the caller of an inline run is interrupted during the outage", () =>
    scene((one) =>
      Effect.gen(function*() {
        yield* one.machine.registerSession(id)
        const gate = yield* Effect.makeLatch(true)
        const parked = one.faults.park("commit", { nth: 2 })
        const running = yield* Effect.fork(inline(one, gate, { count: 0 }))
        yield* parked.reached
        const end = one.faults.outage(full)
        yield* parked.release
        yield* later("1 minute")
        yield* soon(Fiber.interrupt(running))
        end()
        yield* later("1 minute")
        assert.strictEqual((yield* stateOf(one.machine, inputId(1))).phase, "consumed")
        assert.strictEqual(yield* one.machine.runtimeState(id), "idle")
      })
    ))

  it.effect("is returned to the owner of a service turn when the store has committed it", () =>
    scene((one) =>
      Effect.gen(function*() {
        const { turn } = yield* one.machine.prepareBindings(id)
        const gate = yield* Effect.makeLatch(false)
        const work = Effect.as(gate.await, "value")
        const running = yield* Effect.fork(turn.run(work, { output: () => Turn.reply("said") }))
        yield* later("1 second")
        const end = one.faults.outage(full)
        yield* gate.open
        yield* later("20 minutes")
        assert.isNull(running.unsafePoll())
        end()
        assert.strictEqual(yield* soon(Fiber.join(running)), "value")
        assert.strictEqual((yield* Stream.runCollect(one.machine.history(id))).length, 1)
      })
    ))

  it.effect("fails as retryable when its owner completes a turn during the outage, and is committed by a retry", () =>
    scene((one) =>
      Effect.gen(function*() {
        const { turn } = yield* one.machine.prepareBindings(id)
        const runId = yield* turn.begin()
        const end = one.faults.outage(full)
        const refused = yield* Effect.flip(turn.complete(Turn.reply("said"), runId))
        assert.deepInclude(refused, { _tag: "Internal", retryable: true })
        end()
        yield* turn.complete(Turn.reply("said"), runId)
        assert.strictEqual((yield* Stream.runCollect(one.machine.history(id))).length, 1)
      })
    ))
})

describe("the budget of results that wait", () => {
  it.effect("is shared by all sessions, and a session must be reloaded when it exceeds the budget", () =>
    scene((one) =>
      Effect.gen(function*() {
        const { machine } = one
        const ids = Array.from({ length: 8 }, (_, n) => SessionId.make(`many ${n}`))
        const gate = yield* Effect.makeLatch(false)
        const runs = { count: 0 }
        const executor = yield* make(() =>
          Effect.as(Effect.zipRight(Effect.sync(() => void runs.count++), gate.await), Turn.reply("x".repeat(1_000)))
        )
        const completions = yield* Effect.forEach(ids, (one) =>
          Effect.gen(function*() {
            yield* machine.ensureSessionWithExecutor(one, executor)
            return (yield* machine.session(one).prompt("hello")).completion
          }))
        yield* later("1 second")
        const end = one.faults.outage(full)
        yield* gate.open
        yield* later("1 minute")
        const snapshots = yield* Effect.forEach(ids, (one) => machine.meerkatMachineSpineSnapshot(one))
        const healths = snapshots.map((found) => Option.getOrThrow(found).health)
        const waiting = healths.filter((health) => health === "storeRefuses").length
        assert.isTrue(waiting > 0 && waiting < ids.length, healths.join())
        assert.isTrue(one.lines.some((line) => line.includes("maxKeptBytes")))
        end()
        const told = yield* soon(Effect.forEach(completions, ({ wait }) => wait))
        assert.strictEqual(told.filter(({ _tag }) => _tag === "Completed").length, waiting)
        assert.strictEqual(
          told.filter(({ _tag }) => _tag === "CompletedWithFinalizationFailure").length,
          ids.length - waiting
        )
        // register again in the same process: the inputs run once more without a charge
        for (const one of ids) yield* machine.ensureSessionWithExecutor(one, executor)
        yield* later("1 minute")
        assert.strictEqual(runs.count, 2 * ids.length - waiting)
        for (const [n, session] of ids.entries()) {
          const state = yield* machine.inputState(session, completions[n]?.inputId ?? inputId(1))
          assert.deepInclude(Option.getOrThrow(state), { phase: "consumed", crashed: 0 })
        }
      }), { maxKeptBytes: 4_000 }))
})

describe("the end of a session whose result waits for the store", () => {
  it.effect("fails an unregistration as retryable, and a retry completes when the store answers again", () =>
    scene((one) =>
      Effect.gen(function*() {
        const { machine } = one
        const { completion, counts, end } = yield* kept(one)
        const refused = yield* soon(Effect.flip(machine.unregisterSession(id)))
        assert.deepInclude(refused, { _tag: "Internal", retryable: true })
        assert.include(refused.message, "StoreFull")
        assert.isTrue(yield* machine.containsSession(id))
        const again = yield* soon(Effect.flip(machine.unregisterSession(id)))
        assert.deepInclude(again, { _tag: "Internal", retryable: true })
        end()
        const report = yield* soon(machine.unregisterSession(id))
        assert.deepStrictEqual(report, { requeued: 0, terminatedOperations: 0, forced: false, joined: true })
        assert.strictEqual((yield* soon(completion.wait))._tag, "Completed")
        assert.strictEqual(yield* receipts(one), 1)
        yield* machine.registerSession(id)
        assert.deepInclude(yield* stateOf(machine, completion.inputId), { phase: "consumed", crashed: 0 })
        assert.strictEqual(counts().apply, 1)
      })
    ))

  it.effect("requeues the input without a charge when an unregistration during a run is retried", () =>
    scene((one) =>
      Effect.gen(function*() {
        const { machine } = one
        const run = yield* running(one)
        const end = one.faults.outage(full)
        const refused = yield* soon(Effect.flip(machine.unregisterSession(id)))
        assert.deepInclude(refused, { _tag: "Internal", retryable: true })
        end()
        yield* soon(machine.unregisterSession(id))
        yield* machine.registerSession(id)
        assert.deepInclude(yield* stateOf(machine, run.completion.inputId), { phase: "queued", crashed: 0 })
      })
    ))

  it.effect("fails a registration as retryable when the unregistration before it failed", () =>
    scene((one) =>
      Effect.gen(function*() {
        const { end } = yield* kept(one)
        yield* soon(Effect.flip(one.machine.unregisterSession(id)))
        const refused = yield* soon(Effect.flip(one.machine.registerSession(id)))
        assert.deepInclude(refused, { _tag: "Internal", retryable: true })
        end()
        yield* soon(one.machine.registerSession(id))
        assert.strictEqual(yield* one.machine.runtimeState(id), "idle")
      })
    ))

  it.effect("fails an unregistration as retryable when the session has an inline run, and a retry completes", () =>
    scene((one) =>
      Effect.gen(function*() {
        const { machine } = one
        yield* machine.registerSession(id)
        const gate = yield* Effect.makeLatch(false)
        const running = yield* Effect.fork(
          machine.acceptInputAndRun(
            id,
            prompt(1),
            () => Effect.as(gate.await, ["value", Turn.reply("answer")] as const)
          )
        )
        yield* later("1 second")
        const end = one.faults.outage(busy)
        yield* gate.open
        yield* later("1 minute")
        const refused = yield* soon(Effect.flip(machine.unregisterSession(id)))
        assert.deepInclude(refused, { _tag: "Internal", retryable: true })
        end()
        assert.strictEqual(yield* soon(Fiber.join(running)), "value")
        yield* soon(machine.unregisterSession(id))
      })
    ))

  it.effect("fails a stop as retryable and keeps the loop, and a retry stops when the store answers again", () =>
    scene((one) =>
      Effect.gen(function*() {
        const { machine } = one
        const { completion, counts, end } = yield* kept(one)
        const refused = yield* soon(Effect.flip(machine.stopRuntimeExecutor(id, "enough")))
        assert.deepInclude(refused, { _tag: "Internal", retryable: true })
        assert.strictEqual(counts().stop, 0)
        end()
        assert.strictEqual((yield* soon(completion.wait))._tag, "Completed")
        assert.strictEqual((yield* soon(machine.session(id).ask("more"))).text, "answer 2")
        yield* soon(machine.stopRuntimeExecutor(id, "enough"))
        assert.strictEqual(yield* machine.runtimeState(id), "stopped")
        assert.strictEqual(counts().stop, 1)
      })
    ))

  it.effect("fails a destroy as retryable without a change, and a retry destroys when the store answers again", () =>
    scene((one) =>
      Effect.gen(function*() {
        const { machine } = one
        const { end } = yield* kept(one)
        const refused = yield* soon(Effect.flip(machine.destroyRuntime(id)))
        assert.deepInclude(refused, { _tag: "Internal", retryable: true })
        assert.strictEqual(yield* machine.runtimeState(id), "running")
        end()
        yield* soon(machine.destroyRuntime(id))
        assert.strictEqual(yield* machine.runtimeState(id), "destroyed")
      })
    ))

  it.effect("closes the machine with a log of the lost run when the outage lasts, and the next process charges it", () =>
    scene((one) =>
      Effect.gen(function*() {
        const { completion } = yield* kept(one)
        const before = yield* Clock.currentTimeMillis
        yield* soon(one.close)
        assert.isTrue((yield* Clock.currentTimeMillis) - before <= 10_000)
        assert.isTrue(one.lines.some((line) => line.includes("ends without the end of run")))
        yield* one.faults.heal
        const machine = yield* one.reopen
        yield* machine.registerSession(id)
        assert.deepInclude(yield* stateOf(machine, completion.inputId), { phase: "queued", crashed: 1 })
      })
    ))

  it.effect("closes the machine with the result stored when the outage ends during the close", () =>
    scene((one) =>
      Effect.gen(function*() {
        const { completion, end } = yield* kept(one)
        const closing = yield* Effect.fork(one.close)
        yield* settled
        end()
        yield* soon(Fiber.join(closing))
        assert.strictEqual(yield* receipts(one), 1)
        const machine = yield* one.reopen
        yield* machine.registerSession(id)
        assert.deepInclude(yield* stateOf(machine, completion.inputId), { phase: "consumed" })
      })
    ))
})

describe("a reload in the living process", () => {
  /** Makes the session require a reload: the outcome of one of its commits stays unknown. */
  const lost = ({ faults, machine }: Scene) =>
    Effect.gen(function*() {
      faults.loseAck()
      for (let nth = 1; nth < 50; nth++) faults.failRead("witness", busy, { nth })
      const accepting = yield* Effect.fork(Effect.flip(machine.session(id).prompt("lost")))
      yield* later("1 second")
      assert.strictEqual((yield* Fiber.join(accepting))._tag, "Internal")
      yield* faults.heal
    })
  const quick = { resolveTimeout: Duration.millis(500) }

  it.effect("charges no crash when this process began the run", () =>
    scene((one) =>
      Effect.gen(function*() {
        const run = yield* running(one)
        yield* lost(one)
        yield* soon(one.machine.registerSession(id))
        assert.deepInclude(yield* stateOf(one.machine, run.completion.inputId), { phase: "queued", crashed: 0 })
      }), quick))

  it.effect("keeps an acknowledged cancel when the session is loaded again", () =>
    scene((one) =>
      Effect.gen(function*() {
        const run = yield* running(one, { hardCancel: () => Effect.void })
        yield* one.machine.hardCancelCurrentRun(id, "enough")
        yield* lost(one)
        yield* soon(one.machine.ensureSessionWithExecutor(id, run.executor))
        yield* run.open
        yield* later("1 minute")
        const state = yield* stateOf(one.machine, run.completion.inputId)
        assert.deepInclude(state, { phase: "abandoned", crashed: 0 })
        assert.deepStrictEqual(state.terminal, { type: "abandoned", reason: { type: "cancelled" } })
      }), quick))

  it.effect("keeps a cancel when its commit waited for the store before the reload", () =>
    scene((one) =>
      Effect.gen(function*() {
        const run = yield* running(one)
        const end = one.faults.outage(full)
        yield* one.machine.hardCancelCurrentRun(id, "enough")
        yield* later("1 minute")
        assert.strictEqual(yield* healthOf(one.machine), "storeRefuses")
        end()
        yield* lost(one)
        yield* soon(one.machine.ensureSessionWithExecutor(id, run.executor))
        yield* later("1 minute")
        assert.strictEqual((yield* stateOf(one.machine, run.completion.inputId)).phase, "abandoned")
        assert.isTrue(
          run.turns().every(({ inputs }, n) =>
            n === 0 || inputs.every(({ header }) => header.id !== run.completion.inputId)
          )
        )
      }), quick))

  it.effect("is reported by an event, a log line and a state without a loop when it is required", () =>
    scene((one) =>
      Effect.gen(function*() {
        const run = yield* running(one)
        const seen: Array<string> = []
        yield* Effect.forkScoped(Stream.runForEach(one.machine.runtimeEvents(id), (item) =>
          Effect.sync(() =>
            void seen.push(item._tag === "Event" ? item.envelope.event._tag : item._tag)
          )))
        yield* settled
        yield* lost(one)
        assert.include(seen, "ReloadRequired")
        assert.isTrue(one.lines.some((line) =>
          line.includes("must be registered again")
        ))
        yield* run.open
        yield* later("1 minute")
        assert.strictEqual(yield* healthOf(one.machine), "reloadRequired")
        assert.isFalse(yield* one.machine.sessionHasExecutor(id))
        assert.strictEqual(yield* one.machine.runtimeState(id), "idle")
        const snapshot = Option.getOrThrow(yield* one.machine.meerkatMachineSpineSnapshot(id))
        assert.deepInclude(snapshot, { state: "idle", attachmentLive: false })
        assert.strictEqual(seen[seen.length - 1], "StateChanged")
      }), quick))
})
