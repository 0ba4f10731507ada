/** `layerResuming`: which sessions it attaches when the process starts again. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as HandoverLive from "../../layers/HandoverLive.js"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import * as RuntimeStoreMemory from "../../layers/RuntimeStoreMemory.js"
import { make } from "../../services/CoreExecutor.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import * as Turn from "../../services/Turn.js"
import { ExecutorFault } from "../../src/domain/Errors.js"
import { SessionId } from "../../src/domain/Ids.js"
import { textOf } from "../../src/domain/Message.js"

const [a, b, c] = [SessionId.make("a"), SessionId.make("b"), SessionId.make("c")]

const failures = {
  fails: () => new ExecutorFault({ detail: "no model" }),
  throws: (): ExecutorFault => {
    throw new TypeError("no configuration")
  }
}

describe.each(Object.entries(failures))("layerResuming", (how, noModel) => {
  it.live(`attaches sessions with pending work, and skips one session when its executor factory ${how}`, () => {
    const image = RuntimeStoreMemory.makeImage()
    const onImage = Layer.provide(RuntimeStoreMemory.layerNoDeps({ image }), HandoverLive.layerYield)
    const queue = Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      const inputs = yield* Effect.forEach(
        [a, b],
        (id) => Effect.zipRight(machine.registerSession(id), machine.session(id).prompt("later"))
      )
      yield* machine.registerSession(c)
      return inputs.map(({ completion }) => completion.inputId)
    }).pipe(Effect.provide(MeerkatMachineLive.layer), Effect.provide(onImage))
    const resuming = MeerkatMachineLive.layerResuming({
      executorFor: (id) => id === b ? noModel() : make(() => Effect.succeed(Turn.reply("done")))
    })
    return Effect.gen(function*() {
      const [first] = yield* queue
      yield* Effect.gen(function*() {
        const machine = yield* MeerkatMachine
        assert.isTrue(yield* machine.sessionHasExecutor(a))
        assert.isFalse(yield* machine.sessionHasExecutor(b))
        assert.isFalse(yield* machine.containsSession(c))
        const outcome = machine.outcome(a, first ?? (yield* Effect.dieMessage("nothing was queued")))
        const ended = yield* Effect.repeat(Effect.delay(outcome, "5 millis"), { until: Option.isSome, times: 400 })
        assert.deepStrictEqual(Option.getOrNull(ended), { _tag: "Completed", result: { text: "done" } })
      }).pipe(Effect.provide(resuming), Effect.provide(onImage))
    })
  })
})

describe("layerResuming after a process that ended with background work", () => {
  it.live("attaches the session and tells it of the end of that work", () => {
    const image = RuntimeStoreMemory.makeImage()
    const onImage = Layer.provide(RuntimeStoreMemory.layerNoDeps({ image }), HandoverLive.layerYield)
    const executor = make(({ completions, operations }) =>
      completions.length > 0
        ? Effect.succeed(Turn.reply(`told of ${completions.map(({ displayName }) => displayName).join()}`))
        : Effect.as(Effect.orDie(operations.run(Effect.never, { displayName: "job" })), Turn.reply("begun"))
    )
    const begin = Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      yield* machine.registerSession(b)
      const session = yield* machine.sessionScoped(a, executor)
      yield* session.ask("go")
    }).pipe(Effect.scoped, Effect.provide(MeerkatMachineLive.layer), Effect.provide(onImage))
    const texts = Effect.flatMap(MeerkatMachine, (machine) => Stream.runCollect(machine.history(a))).pipe(
      Effect.map((messages) => Array.from(messages, ({ blocks }) => textOf(blocks)))
    )
    return Effect.gen(function*() {
      yield* begin
      yield* Effect.gen(function*() {
        const told = (found: ReadonlyArray<string>) => found.includes("told of job")
        const found = yield* Effect.repeat(Effect.delay(texts, "5 millis"), { until: told, times: 400 })
        assert.deepStrictEqual(found, ["go", "begun", "told of job"])
        assert.isFalse(yield* (yield* MeerkatMachine).containsSession(b))
      }).pipe(
        Effect.provide(MeerkatMachineLive.layerResuming({ executorFor: () => executor })),
        Effect.provide(onImage)
      )
    })
  })
})
