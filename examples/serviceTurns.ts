import { IdGen, IdGenLive, Ids, Input, MeerkatMachine, MeerkatMachineLive, Message, Turn } from "effect-meerkat"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"

const id = Ids.SessionId.make("service")

/** A prompt with an id of its own: repeating a call with the same input goes on with it. */
const promptOf = (text: string) =>
  Effect.gen(function*() {
    const inputId = Ids.InputId.make(yield* (yield* IdGen.IdGen).next)
    const prompt: Input.Input = { _tag: "Prompt", header: Input.header(inputId, yield* Clock.currentTimeMillis), text }
    return prompt
  })

const work = Effect.gen(function*() {
  const machine = yield* MeerkatMachine.MeerkatMachine
  yield* machine.registerSession(id)

  // An input that is accepted and run here and now, by the caller, in the session's single run slot. What the
  // effect returns beside its value is committed together with the input's end.
  const length = yield* machine.acceptInputAndRun(
    id,
    yield* promptOf("how long is this?"),
    (turn) => Effect.succeed([turn.appends.length, Turn.reply("17 letters")])
  )

  // A turn that is about no input: whoever keeps the session takes the slot, and says how it went.
  const { turn } = yield* machine.prepareBindings(id)
  const compacted = yield* turn.run(
    Effect.gen(function*() {
      const state = yield* machine.runtimeState(id) // nothing else runs in the session meanwhile
      return { state, messages: yield* Stream.runCount(machine.history(id)) }
    }),
    {
      output: ({ messages }) => Turn.replace([Message.ofText("system", `${messages} messages`)], { text: "compacted" })
    }
  )

  // The same step by step, for turns that begin and end in different places.
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
