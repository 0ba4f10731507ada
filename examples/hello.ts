import { CoreExecutor, MeerkatMachine, MeerkatMachineLive, Turn } from "effect-meerkat"
import * as RuntimeStoreSqlite from "effect-meerkat/sqlite"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

// Runs the inputs of a session: any Effect. `make` takes the services that it needs from the context.
const executor = CoreExecutor.make((turn) =>
  Effect.gen(function*() {
    const said = yield* Stream.runCount(turn.history) // the committed conversation, streamed from the store
    return Turn.reply(`message ${said + 1}: ${turn.appends.length} new`)
  })
)

const conversation = Effect.gen(function*() {
  const machine = yield* MeerkatMachine.MeerkatMachine
  const session = yield* machine.sessionScoped("demo", executor) // unregistered when the scope closes
  const first = yield* session.ask("hello", { idempotencyKey: "req-1" })
  const again = yield* session.ask("hello", { idempotencyKey: "req-1" }) // the stored outcome, no second run
  const { completion } = yield* session.prompt("later") // durable when this returns
  const later = yield* completion.wait
  return [first.text, again.text, later._tag]
}).pipe(Effect.scoped)

export const persistent = (filename: string) =>
  conversation.pipe(Effect.provide(MeerkatMachineLive.layer), Effect.provide(RuntimeStoreSqlite.layer({ filename })))

export const program = conversation.pipe(Effect.provide(MeerkatMachineLive.layerEphemeral))
export const expected = ["message 1: 1 new", "message 1: 1 new", "Completed"]
