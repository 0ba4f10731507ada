import { CoreExecutor, MeerkatMachine, MeerkatMachineLive, Message, Turn } from "effect-meerkat"
import * as Effect from "effect/Effect"

const conversation = Effect.gen(function*() {
  const machine = yield* MeerkatMachine.MeerkatMachine
  const started = yield* Effect.makeLatch(false)

  // Works in small steps and stops between two steps when the run is asked to yield.
  const executor = CoreExecutor.make((turn) => {
    const text = turn.appends.map(({ blocks }) => Message.textOf(blocks)).join(" ")
    if (text !== "count") return Effect.succeed(Turn.reply(`heard: ${text}`))
    const steps = Effect.zipRight(started.open, Effect.forever(Effect.sleep("1 millis")))
    return Effect.raceFirst(
      Effect.as(turn.boundaryRequested, Turn.reply("stopped counting for a new message")),
      steps
    )
  })
  const session = yield* machine.sessionScoped("steering", executor)

  const counting = yield* session.prompt("count")
  yield* started.await
  yield* session.prompt("later")
  // Goes before the queued prompt and asks the running turn to yield. A turn that finishes early succeeds.
  const steer = yield* session.steer("turn left")

  const counted = yield* counting.completion.wait
  const heard = yield* steer.completion.wait
  return [counted, heard].map((outcome) => outcome._tag === "Completed" ? outcome.result.text : outcome._tag)
})

export const program = conversation.pipe(Effect.scoped, Effect.provide(MeerkatMachineLive.layerEphemeral))

export const expected = ["stopped counting for a new message", "heard: turn left"]
