import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import * as HandoverLive from "../../layers/HandoverLive.js"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import * as RuntimeStoreMemory from "../../layers/RuntimeStoreMemory.js"
import { make } from "../../services/CoreExecutor.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import * as MeerkatMachineConfig from "../../services/MeerkatMachineConfig.js"
import * as Turn from "../../services/Turn.js"
import { ApplyFailed } from "../../src/domain/Errors.js"
import { runtimeIdOf, SessionId } from "../../src/domain/Ids.js"
import type { CommitError } from "../../src/domain/StoreErrors.js"
import { CommitRefused, CommitTooLarge, CommitUnencodable, StoreBusy } from "../../src/domain/StoreErrors.js"
import { FaultyStore } from "../../src/testkit/index.js"

const id = SessionId.make("s")
const limit = 10_000
const words = (length: number) => "x".repeat(length)

const memory = Layer.provide(RuntimeStoreMemory.layerNoDeps(), HandoverLive.layer)
const small = MeerkatMachineLive.layer.pipe(
  Layer.provide(memory),
  Layer.provide(MeerkatMachineConfig.layer({ ...MeerkatMachineConfig.defaults, maxCommitBytes: limit }))
)

/** Waits, with whatever comes due in the meantime. */
const later = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.raceFirst(effect, Effect.forever(Effect.zipRight(Effect.yieldNow(), TestClock.adjust("1 second"))))

const counting = (runs: { count: number }, answer: string) =>
  make(() =>
    Effect.sync(() => {
      runs.count++
      return Turn.reply(answer)
    })
  )

describe("a turn that no commit can hold", () => {
  it.effect("fails once when its answer is over the limit", () =>
    Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      const runs = { count: 0 }
      yield* machine.ensureSessionWithExecutor(id, yield* counting(runs, words(limit + 1)))
      const { completion } = yield* machine.session(id).prompt(words(6_000))
      const told = yield* later(completion.wait)
      assert.include(told._tag === "Abandoned" ? told.reason : told._tag, "the limit is 10000")
      assert.strictEqual(runs.count, 1)
      assert.strictEqual(yield* machine.runtimeState(id), "attached")
    }).pipe(Effect.provide(small)))

  it.effect("completes when input and answer fit each by itself", () =>
    Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      const runs = { count: 0 }
      yield* machine.ensureSessionWithExecutor(id, yield* counting(runs, words(limit)))
      const { completion } = yield* machine.session(id).prompt(words(limit))
      assert.strictEqual((yield* later(completion.wait))._tag, "Completed")
      assert.strictEqual(runs.count, 1)
    }).pipe(Effect.provide(small)))

  it.effect("since it was given too many inputs is done again with each of them alone", () =>
    Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      const runs = { count: 0 }
      yield* machine.registerSession(id)
      const one = yield* machine.session(id).steer(words(6_000))
      const two = yield* machine.session(id).steer(words(6_000))
      yield* machine.ensureSessionWithExecutor(id, yield* counting(runs, "short"))
      const told = yield* later(Effect.all([one.completion.wait, two.completion.wait]))
      assert.deepStrictEqual(told.map(({ _tag }) => _tag), ["Completed", "Completed"])
      assert.strictEqual(runs.count, 3)
    }).pipe(Effect.provide(small)))
})

describe("a retired session", () => {
  it.effect("goes on behind an input whose turn no commit can hold, which is told", () =>
    Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      const executor = yield* make(({ inputs: [input] }) => {
        const isLong = input?._tag === "Prompt" && input.text.length > 1
        return Effect.as(Effect.sleep("1 second"), Turn.reply(words(isLong ? limit + 1 : 1)))
      })
      yield* machine.ensureSessionWithExecutor(id, executor)
      const sizes = [1, 7_000, 7_000, 1]
      const prompts = yield* Effect.forEach(sizes, (size) => machine.session(id).prompt(words(size)))
      yield* machine.session(id).retire
      const told = yield* later(Effect.forEach(prompts, ({ completion }) => completion.wait))
      assert.deepStrictEqual(told.map(({ _tag }) => _tag), ["Completed", "Abandoned", "Abandoned", "Completed"])
    }).pipe(Effect.provide(small)))
})

describe("a failure that the store cannot write down", () => {
  it.effect("ends its input with a short outcome, and the session goes on", () =>
    Effect.flatMap(FaultyStore.make, (faults) =>
      Effect.gen(function*() {
        const machine = yield* MeerkatMachine
        const runs = { count: 0 }
        const executor = yield* make(() =>
          Effect.suspend(() => {
            if (runs.count++ > 0) return Effect.succeed(Turn.reply("answer"))
            // the second commit writes what the turn left beside it, the third is the failure alone
            for (const nth of [1, 3]) faults.failCommit(new CommitTooLarge({ bytes: 2, limit: 1 }), { nth })
            return Effect.fail(new ApplyFailed({ cause: "RuntimeTurn", detail: "no" }))
          })
        )
        yield* machine.ensureSessionWithExecutor(id, executor)
        const first = yield* machine.session(id).prompt("first")
        const second = yield* machine.session(id).prompt("second")
        const told = yield* later(Effect.all([first.completion.wait, second.completion.wait]))
        assert.include("reason" in told[0] ? told[0].reason : told[0]._tag, "cannot hold its failure: CommitTooLarge")
        assert.strictEqual(told[1]._tag, "Completed")
        assert.strictEqual(runs.count, 2)
      }).pipe(
        Effect.provide(MeerkatMachineLive.layer),
        Effect.provide(FaultyStore.layer(faults)),
        Effect.provide(memory)
      )))
})

describe("a turn that the store cannot write down", () => {
  it.effect("has failed, and the session goes on", () =>
    Effect.flatMap(FaultyStore.make, (faults) =>
      Effect.gen(function*() {
        const machine = yield* MeerkatMachine
        const executor = yield* make(() =>
          Effect.sync(() => {
            // the second one is of what the turn left to be written beside it
            for (const nth of [1, 3]) faults.failCommit(new CommitUnencodable({ detail: "it has no end" }), { nth })
            return Turn.reply("answer")
          })
        )
        yield* machine.ensureSessionWithExecutor(id, executor)
        const { completion } = yield* machine.session(id).prompt("hello")
        const told = yield* later(completion.wait)
        assert.include(told._tag === "Abandoned" ? told.reason : told._tag, "it has no end")
        assert.strictEqual(yield* machine.runtimeState(id), "attached")
      }).pipe(
        Effect.provide(MeerkatMachineLive.layer),
        Effect.provide(FaultyStore.layer(faults)),
        Effect.provide(memory)
      )))
})

/** The first run fails, so that its input is staged a second time, and that has to be written. */
const retried = (faults: FaultyStore.FaultyStore, errors: ReadonlyArray<CommitError>) =>
  Effect.gen(function*() {
    const machine = yield* MeerkatMachine
    const runs = { count: 0 }
    const executor = yield* make(() =>
      Effect.suspend(() => {
        if (runs.count++ > 0) return Effect.succeed(Turn.reply("answer"))
        errors.forEach((error, n) => faults.failCommit(error, { nth: 2 + n }))
        return Effect.fail(new ApplyFailed({ cause: "RuntimeTurn", detail: "no" }))
      })
    )
    yield* machine.ensureSessionWithExecutor(id, executor)
    const { completion } = yield* machine.session(id).prompt("hello")
    const waiting = yield* Effect.fork(completion.wait)
    const behind = yield* machine.session(id).prompt("behind", { hold: true })
    const told = yield* later(Fiber.join(waiting))
    yield* machine.session(id).promote(behind.completion.inputId)
    const next = yield* later(machine.session(id).ask("next"))
    return { told: told._tag, next: next.text, state: yield* machine.runtimeState(id) }
  })

const tooLarge = new CommitTooLarge({ bytes: 2, limit: 1 })
const contradictory = new CommitRefused({ runtimeId: runtimeIdOf(id), detail: "no" })
const unencodable = new CommitUnencodable({ detail: "no" })

describe("the beginning of a run that the store refuses", () => {
  const ends = {
    "for the moment is tried again": [[new StoreBusy({ operation: "commit", waitedMs: 1 })], "Completed"],
    // once: without the inputs that ride along it may be written
    "once is tried with the input alone": [[tooLarge], "Completed"],
    "each time as too large ends its input": [[tooLarge, tooLarge], "Abandoned"],
    "each time as contradictory ends its input": [[contradictory, contradictory], "Abandoned"],
    "each time as unencodable ends its input": [[unencodable, unencodable], "Abandoned"]
  } as const
  for (const [how, [errors, expected]] of Object.entries(ends)) {
    it.effect(`${how}, and the next input runs`, () =>
      Effect.flatMap(FaultyStore.make, (faults) =>
        Effect.gen(function*() {
          const came = yield* retried(faults, errors)
          assert.deepStrictEqual(came, { told: expected, next: "answer", state: "attached" })
        }).pipe(
          Effect.provide(MeerkatMachineLive.layer),
          Effect.provide(FaultyStore.layer(faults)),
          Effect.provide(memory)
        )))
  }
})
