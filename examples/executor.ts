import { CoreExecutor, Errors, MeerkatMachine, MeerkatMachineLive, Message, Turn } from "effect-meerkat"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"

// Stands for a language model client. `CoreExecutor.make` takes this service from its context.
class Model extends Context.Tag("examples/Model")<Model, {
  readonly answer: (conversation: ReadonlyArray<string>) => Effect.Effect<string, "overloaded">
}>() {}

const textOf = ({ blocks, role }: Message.Message) => `${role}: ${Message.textOf(blocks)}`

const executor = CoreExecutor.make((turn) =>
  Effect.gen(function*() {
    const model = yield* Model
    const before = yield* Stream.runCollect(turn.history) // the messages committed before this turn
    const conversation = [...before, ...turn.appends]
    const answer = yield* model.answer(conversation.map(textOf)).pipe(
      // A typed failure fails the attempt. This cause is retried, with growing pauses, up to `maxAttempts`.
      Effect.mapError((detail) => new Errors.TerminalFailure({ outcome: "failed", causeKind: "llm_failure", detail }))
    )
    if (conversation.length < 4) return Turn.reply(answer)
    // Compaction: a summary replaces the body, in the same commit as the answer.
    const summary = Message.ofText("system", `${conversation.length} messages so far`)
    return Turn.replace([summary, Message.ofText("assistant", answer)], { text: answer })
  })
)

const conversation = Effect.gen(function*() {
  const machine = yield* MeerkatMachine.MeerkatMachine
  const session = yield* machine.sessionScoped("executor", executor)
  const first = yield* session.ask("what is your name?")
  const short = yield* Stream.runCollect(session.history)
  const second = yield* session.ask("and what do you do?")
  yield* session.ask("thank you")
  const long = yield* Stream.runCollect(session.history)
  return {
    answers: [first.text, second.text],
    short: Array.from(short, textOf),
    long: Array.from(long, textOf)
  }
}).pipe(Effect.scoped)

const model = Layer.sync(Model, () => {
  let calls = 0
  return {
    answer: (conversation) =>
      Effect.suspend(() =>
        ++calls === 1 ? Effect.fail("overloaded") : Effect.succeed(`answer to ${conversation.length}`)
      )
  }
})

export const program = conversation.pipe(Effect.provide(Layer.merge(MeerkatMachineLive.layerEphemeral, model)))

export const expected = {
  answers: ["answer to 1", "answer to 3"],
  short: ["user: what is your name?", "assistant: answer to 1"],
  long: ["system: 5 messages so far", "assistant: answer to 5"]
}
