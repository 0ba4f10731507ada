/** Commits that the store refuses for good: the session ends or retries the input and runs the next one (D21). */
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

/** Waits for the effect while the test clock advances. */
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
  it.effect("fails after one run when its answer exceeds the limit", () =>
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

  it.effect("completes when input and answer each fit the limit", () =>
    Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      const runs = { count: 0 }
      yield* machine.ensureSessionWithExecutor(id, yield* counting(runs, words(limit)))
      const { completion } = yield* machine.session(id).prompt(words(limit))
      assert.strictEqual((yield* later(completion.wait))._tag, "Completed")
      assert.strictEqual(runs.count, 1)
    }).pipe(Effect.provide(small)))

  it.effect("runs again with each input alone when its inputs together exceed the limit", () =>
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
  it.effect("runs the next inputs when the turn of an input exceeds the commit limit", () =>
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

describe("a failure that the store refuses to write", () => {
  it.effect("ends its input with a short outcome and lets the next input run", () =>
    Effect.flatMap(FaultyStore.make, (faults) =>
      Effect.gen(function*() {
        const machine = yield* MeerkatMachine
        const runs = { count: 0 }
        const executor = yield* make(() =>
          Effect.suspend(() => {
            if (runs.count++ > 0) return Effect.succeed(Turn.reply("answer"))
            // the second commit holds the failure and the deferred writes of the turn, the third only the failure
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

describe("a turn that the store refuses to write", () => {
  it.effect("abandons its input and leaves the session attached", () =>
    Effect.flatMap(FaultyStore.make, (faults) =>
      Effect.gen(function*() {
        const machine = yield* MeerkatMachine
        const executor = yield* make(() =>
          Effect.sync(() => {
            // the second commit holds the deferred writes of the turn
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

/** Fails the first run, so that the session stages its input again; that commit meets the errors. */
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

describe("the staging of a run", () => {
  const ends = {
    "is retried when the store is busy": [[new StoreBusy({ operation: "commit", waitedMs: 1 })], "Completed"],
    // the commit may fit without the inputs that ride along
    "is retried with the input alone when the store refuses it once": [[tooLarge], "Completed"],
    "ends its input when each commit is too large": [[tooLarge, tooLarge], "Abandoned"],
    "ends its input when each commit is contradictory": [[contradictory, contradictory], "Abandoned"],
    "ends its input when each commit is unencodable": [[unencodable, unencodable], "Abandoned"]
  } as const
  for (const [title, [errors, expected]] of Object.entries(ends)) {
    it.effect(title, () =>
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
