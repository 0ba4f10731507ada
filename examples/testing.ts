import { MeerkatMachine, MeerkatMachineLive, RuntimeStoreMemory, StoreErrors } from "effect-meerkat"
import { FaultyStore, LatchedExecutor } from "effect-meerkat/testkit"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

export const program = Effect.gen(function*() {
  const faults = yield* FaultyStore.make
  const latched = yield* LatchedExecutor.make({ held: true }) // every turn waits until `open`
  const store = Layer.provide(FaultyStore.layer(faults), RuntimeStoreMemory.layer)

  return yield* Effect.gen(function*() {
    const machine = yield* MeerkatMachine.MeerkatMachine
    const session = yield* machine.sessionScoped("tested", latched.executor)

    // the store refuses this commit: the prompt is not accepted
    faults.failCommit(new StoreErrors.StoreFull({ operation: "commit", detail: "no space" }))
    const refused = yield* Effect.flip(session.prompt("hello"))

    // the acknowledgement is lost: the machine looks the commit up and finds it
    faults.loseAck()
    const { completion } = yield* session.prompt("hello again")
    const turn = yield* latched.started(1) // waits for the start of the turn, without a sleep
    const during = yield* session.state
    yield* latched.open
    const outcome = yield* completion.wait
    return {
      refused: refused._tag,
      inputs: turn.inputs.length,
      during,
      outcome: outcome._tag,
      turns: latched.counts().apply
    }
  }).pipe(Effect.scoped, Effect.provide(Layer.provide(MeerkatMachineLive.layer, store)))
})

export const expected = { refused: "Internal", inputs: 1, during: "running", outcome: "Completed", turns: 1 }
