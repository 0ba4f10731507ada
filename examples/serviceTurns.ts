import { IdGen, IdGenLive, Ids, Input, MeerkatMachine, MeerkatMachineLive, Message, Turn } from "effect-meerkat"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"

const id = Ids.SessionId.make("service")

/** A prompt with an id chosen by the caller: a repeated call with the same input continues it. */
const promptOf = (text: string) =>
  Effect.gen(function*() {
    const inputId = Ids.InputId.make(yield* (yield* IdGen.IdGen).next)
    const prompt: Input.Input = { _tag: "Prompt", header: Input.header(inputId, yield* Clock.currentTimeMillis), text }
    return prompt
  })

const work = Effect.gen(function*() {
  const machine = yield* MeerkatMachine.MeerkatMachine
  yield* machine.registerSession(id)

  // The caller accepts an input and runs it at once, in the session's single run slot. The effect returns a value
  // and an output; the output is committed together with the end of the input.
  const length = yield* machine.acceptInputAndRun(
    id,
    yield* promptOf("how long is this?"),
    (turn) => Effect.succeed([turn.appends.length, Turn.reply("17 letters")])
  )

  // A turn without an input: the caller takes the run slot and reports how the turn ended.
  const { turn } = yield* machine.prepareBindings(id)
  const compacted = yield* turn.run(
    Effect.gen(function*() {
      const state = yield* machine.runtimeState(id) // no other turn runs in the session meanwhile
      return { state, messages: yield* Stream.runCount(machine.history(id)) }
    }),
    {
      output: ({ messages }) => Turn.replace([Message.ofText("system", `${messages} messages`)], { text: "compacted" })
    }
  )

  // The same in separate steps, for turns that begin and end in different places.
  const runId = yield* turn.begin()
  yield* turn.fail("changed my mind", runId)

  const history = yield* Stream.runCollect(machine.history(id))
  return {
    length,
    compacted,
    state: yield* machine.runtimeState(id),
    history: Array.from(history, ({ blocks }) => Message.textOf(blocks))
  }
})

export const program = work.pipe(Effect.provide(Layer.merge(MeerkatMachineLive.layerEphemeral, IdGenLive.layer)))

export const expected = {
  length: 1,
  compacted: { state: "running", messages: 2 },
  state: "idle",
  history: ["2 messages"]
}
