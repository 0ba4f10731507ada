/** The shortest way through the whole machine: a prompt, its answer, a retry. */
import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import * as CoreExecutor from "../../services/CoreExecutor.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import * as Turn from "../../services/Turn.js"
import { textOf } from "../../src/domain/Message.js"

const echo = CoreExecutor.make((turn) =>
  Effect.succeed(Turn.reply(turn.appends.map((message) => textOf(message.blocks)).join("|")))
)

describe("walking skeleton", () => {
  it.live("answers a prompt and keeps both in the history of the session", () =>
    Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      const answer = yield* Effect.scoped(Effect.gen(function*() {
        const session = yield* machine.sessionScoped("demo", yield* echo)
        const first = yield* session.ask("hello", { idempotencyKey: "k" })
        const again = yield* session.ask("something else", { idempotencyKey: "k" })
        const second = yield* session.ask("world")
        const history = yield* Stream.runCollect(session.history)
        return [first.text, again.text, second.text, Chunk.toReadonlyArray(history).map((m) => textOf(m.blocks))]
      }))
      assert.deepStrictEqual(answer, ["hello", "hello", "world", ["hello", "hello", "world", "world"]])
      assert.strictEqual(yield* machine.fiberCount, 0)
    }).pipe(Effect.provide(MeerkatMachineLive.layerEphemeral)))

  it.live("retries a failed attempt and tells the waiter only the final outcome", () =>
    Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      let runs = 0
      const flaky = CoreExecutor.make(() =>
        Effect.suspend(() => {
          runs++
          return runs < 3 ? Effect.dieMessage("boom") : Effect.succeed(Turn.reply("done"))
        })
      )
      const session = yield* machine.sessionScoped("flaky", yield* flaky)
      const { completion } = yield* session.prompt("try")
      const outcome = yield* completion.wait
      assert.strictEqual(outcome._tag, "Completed")
      assert.strictEqual(runs, 3)
      const stored = yield* session.outcome(completion.inputId)
      assert.deepStrictEqual(Option.getOrNull(stored), outcome)
    }).pipe(Effect.scoped, Effect.provide(MeerkatMachineLive.layerEphemeral)))
})
