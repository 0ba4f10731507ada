import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as FileSystem from "@effect/platform/FileSystem"
import { CoreExecutor, Ids, MeerkatMachine, MeerkatMachineLive, Message, Turn } from "effect-meerkat"
import * as RuntimeStoreSqlite from "effect-meerkat/sqlite"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

const id = Ids.SessionId.make("recovery")

const executor = CoreExecutor.make((turn) =>
  Effect.succeed(Turn.reply(turn.appends.map(({ blocks }) => Message.textOf(blocks)).join(" ").toUpperCase()))
)

/** The first process accepts an order and ends before an executor runs it. */
const accept = Effect.gen(function*() {
  const machine = yield* MeerkatMachine.MeerkatMachine
  yield* machine.registerSession(id)
  const { completion } = yield* machine.session(id).prompt("the order", { idempotencyKey: "order-1" })
  return completion.inputId
}).pipe(Effect.provide(MeerkatMachineLive.layer))

/** The second process: `layerResuming` attaches every session with pending work. */
const resume = Effect.gen(function*() {
  const machine = yield* MeerkatMachine.MeerkatMachine
  // The store knows this key: the call waits for the first order and adds no second one.
  return yield* machine.session(id).ask("the order", { idempotencyKey: "order-1" })
}).pipe(Effect.provide(MeerkatMachineLive.layerResuming({ executorFor: () => executor })))

/** The third process reads the stored outcome. */
const read = (inputId: Ids.InputId) =>
  Effect.gen(function*() {
    const machine = yield* MeerkatMachine.MeerkatMachine
    yield* machine.registerSession(id)
    return yield* machine.session(id).outcome(inputId)
  }).pipe(Effect.provide(MeerkatMachineLive.layer))

/** Each process opens the file again. One process at a time writes to it. */
const processes = (filename: string) =>
  Effect.gen(function*() {
    const store = RuntimeStoreSqlite.layer({ filename })
    const inputId = yield* Effect.provide(accept, store)
    const answer = yield* Effect.provide(resume, store)
    const outcome = yield* Effect.provide(read(inputId), store)
    return { answer: answer.text, outcome: Option.getOrNull(outcome) }
  })

export const program = Effect.gen(function*() {
  const files = yield* FileSystem.FileSystem
  const folder = yield* files.makeTempDirectoryScoped()
  return yield* processes(`${folder}/sessions.db`)
}).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer))

export const expected = {
  answer: "THE ORDER",
  outcome: { _tag: "Completed", result: { text: "THE ORDER" } }
}
