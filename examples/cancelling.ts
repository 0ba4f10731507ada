import { CoreExecutor, MeerkatMachine, MeerkatMachineConfig, MeerkatMachineLive, Message, Turn } from "effect-meerkat"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

const conversation = Effect.gen(function*() {
  const machine = yield* MeerkatMachine.MeerkatMachine
  const calls: Array<string> = []
  const note = (call: string) => Effect.sync(() => void calls.push(call))
  const started = yield* Effect.makeLatch(false)

  const executor = yield* CoreExecutor.make(
    (turn) => {
      const text = turn.appends.map(({ blocks }) => Message.textOf(blocks)).join(" ")
      // A result that is handed over early counts, even if the run is interrupted during its clean-up.
      const early = text === "early" ? turn.finish(Turn.reply("kept")) : Effect.void
      return Effect.zipRight(early, Effect.zipRight(started.open, Effect.never)).pipe(
        Effect.onInterrupt(() => note(`interrupted: ${text}`))
      )
    },
    {
      // Called first, so that it can abort a request in flight. The run is interrupted `cancelGrace` later.
      hardCancel: ({ reason }) => note(`hardCancel: ${reason}`),
      stop: (reason) => note(`stop: ${reason}`)
    }
  )
  const session = yield* machine.sessionScoped("cancelling", executor)
  const cancelled = (text: string) =>
    Effect.gen(function*() {
      yield* started.close
      const { completion } = yield* session.prompt(text)
      yield* started.await
      yield* session.cancel("too slow")
      return yield* completion.wait
    })
  const outcomes = [yield* cancelled("hello"), yield* cancelled("early")]
  yield* session.stop("done")
  return { outcomes, calls }
})

export const program = conversation.pipe(
  Effect.scoped,
  Effect.provide(MeerkatMachineLive.layerEphemeral),
  Effect.provide(MeerkatMachineConfig.layer({ cancelGrace: Duration.millis(10) }))
)

export const expected = {
  outcomes: [{ _tag: "Cancelled" }, { _tag: "Completed", result: { text: "kept" } }],
  calls: [
    "hardCancel: too slow",
    "interrupted: hello",
    "hardCancel: too slow",
    "interrupted: early",
    "stop: done"
  ]
}
