import { CoreExecutor, MeerkatMachine, MeerkatMachineLive, Message, Turn } from "effect-meerkat"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

const conversation = Effect.gen(function*() {
  const machine = yield* MeerkatMachine.MeerkatMachine
  const started = yield* Effect.makeLatch(false)
  const gate = yield* Effect.makeLatch(false)
  // Repeats the prompt. The gate holds the first turn, so that the next prompts have to queue.
  const executor = CoreExecutor.make((turn) =>
    Effect.gen(function*() {
      yield* started.open
      yield* gate.await
      return Turn.reply(turn.appends.map(({ blocks }) => Message.textOf(blocks)).join(" "))
    })
  )
  const session = yield* machine.sessionScoped("inputs", executor)

  // The prompt is durable when this returns. Waiting for its completion is optional.
  const first = yield* session.prompt("first", { idempotencyKey: "job-1" })
  yield* started.await
  const second = yield* session.prompt("second")
  const third = yield* session.prompt("third")
  const fourth = yield* session.prompt("fourth")

  // A repeated key finds the first input, however often it is sent.
  const again = yield* session.prompt("first", { idempotencyKey: "job-1" })

  // A queued input can be retracted, or moved to the front, until its run begins.
  yield* session.retract(third.completion.inputId)
  yield* session.promote(fourth.completion.inputId)

  // A deadline bounds the wait, not the work: the input stays queued and runs in its turn.
  const late = yield* Effect.either(session.ask("fifth", { deadline: "20 millis", idempotencyKey: "job-5" }))

  yield* gate.open
  const texts = yield* Effect.forEach(
    [first, second, third, fourth],
    ({ completion }) =>
      Effect.map(completion.wait, (outcome) => outcome._tag === "Completed" ? outcome.result.text : outcome._tag)
  )
  const fifth = yield* session.ask("fifth", { idempotencyKey: "job-5" })
  const stored = yield* session.outcome(first.completion.inputId)
  return {
    texts,
    again: again.outcome._tag,
    late: late._tag === "Left" ? late.left.message : "in time",
    fifth: fifth.text,
    stored: Option.map(stored, ({ _tag }) => _tag).pipe(Option.getOrNull)
  }
})

export const program = conversation.pipe(Effect.scoped, Effect.provide(MeerkatMachineLive.layerEphemeral))

export const expected = {
  texts: ["first", "second", "Cancelled", "fourth"],
  again: "Deduplicated",
  late: "no answer within the deadline; the input is admitted",
  fifth: "fifth",
  stored: "Completed"
}
