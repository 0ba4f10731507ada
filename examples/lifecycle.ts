import {
  CoreExecutor,
  Ids,
  MeerkatMachine,
  MeerkatMachineLive,
  RuntimeControlPlane,
  RuntimeControlPlaneLive,
  Turn
} from "effect-meerkat"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

const id = Ids.SessionId.make("lifecycle")
const executor = CoreExecutor.make(() => Effect.succeed(Turn.reply("done")))

const life = Effect.gen(function*() {
  const machine = yield* MeerkatMachine.MeerkatMachine
  const session = machine.session(id) // looks the session up at each call
  const seen: Array<string> = []
  const look = Effect.flatMap(session.state, (state) => Effect.sync(() => void seen.push(state)))

  yield* machine.registerSession(id) // live without an executor: inputs queue
  yield* look
  const queued = yield* session.prompt("wait for an executor")
  yield* machine.ensureSessionWithExecutor(id, yield* executor) // the queued prompt runs now
  yield* queued.completion.wait
  yield* look

  yield* session.retire // accepts nothing more and drains the queue
  yield* look
  const refused = yield* Effect.flip(session.prompt("too late"))
  yield* session.recycle // accepts inputs again and keeps the queue
  yield* machine.ensureSessionWithExecutor(id, yield* executor) // the old loop ended with the queue
  yield* look

  yield* session.stop("for today") // ends the loop and abandons the queue
  yield* look
  const report = yield* machine.unregisterSession(id) // leaves memory; its state stays in the store
  yield* machine.registerSession(id) // registering a stopped session makes it idle again
  yield* look

  // The control plane has the same commands by runtime id, with an error type of its own.
  const control = yield* RuntimeControlPlane.RuntimeControlPlane
  yield* control.destroy(Ids.runtimeIdOf(id))
  yield* look
  const gone = yield* Effect.flip(machine.registerSession(id))
  return { seen, refused: refused._tag, joined: report.joined, gone: gone._tag }
})

export const program = life.pipe(
  Effect.provide(Layer.provideMerge(RuntimeControlPlaneLive.layer, MeerkatMachineLive.layerEphemeral))
)

export const expected = {
  seen: ["idle", "attached", "retired", "attached", "stopped", "idle", "destroyed"],
  refused: "NotReady",
  joined: true,
  gone: "Destroyed"
}
