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

  yield* machine.registerSession(id) // live, without an executor: inputs queue
  yield* look
  const queued = yield* session.prompt("wait for somebody")
  yield* machine.ensureSessionWithExecutor(id, yield* executor) // what was queued runs now
  yield* queued.completion.wait
  yield* look

  yield* session.retire // accepts nothing more, and drains what is there
  yield* look
  const refused = yield* Effect.flip(session.prompt("too late"))
  yield* session.recycle // takes inputs again; what was queued is kept
  yield* machine.ensureSessionWithExecutor(id, yield* executor) // a loop that has drained a retired session ends
  yield* look

  yield* session.stop("for today") // ends the loop, abandons what is queued
  yield* look
  const report = yield* machine.unregisterSession(id) // out of memory; what it holds stays in the store
  yield* machine.registerSession(id) // registering a stopped session is how it goes on
  yield* look

  // The same commands by runtime id, with errors of their own: for those who administer sessions of others.
  const control = yield* RuntimeControlPlane.RuntimeControlPlane
  yield* control.destroy(Ids.runtimeIdOf(id))
  yield* look
  const gone = yield* Effect.flip(machine.registerSession(id))
  return { seen, refused: refused.message, joined: report.joined, gone: gone._tag }
})

export const program = life.pipe(
  Effect.provide(Layer.provideMerge(RuntimeControlPlaneLive.layer, MeerkatMachineLive.layerEphemeral))
)

export const expected = {
  seen: ["idle", "attached", "retired", "attached", "stopped", "idle", "destroyed"],
  refused: "session \"lifecycle\" is retired: accept is refused",
  joined: true,
  gone: "Destroyed"
}
