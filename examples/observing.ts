import { CoreExecutor, MeerkatMachine, MeerkatMachineLive, Turn } from "effect-meerkat"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"

const executor = CoreExecutor.make(() => Effect.succeed(Turn.reply("done")))

const watched = Effect.gen(function*() {
  const machine = yield* MeerkatMachine.MeerkatMachine
  const session = yield* machine.sessionScoped("observing", executor)

  // The stream begins with a snapshot, then has every later event. No event is lost between the two.
  const subscribed = yield* Effect.makeLatch(false)
  const watching = yield* session.events.pipe(
    Stream.tap(() => subscribed.open),
    Stream.map((item) => item._tag === "Event" ? item.envelope.event._tag : item._tag),
    Stream.takeUntil((name) => name === "Custom"),
    Stream.runCollect,
    Effect.fork
  )
  yield* subscribed.await
  yield* session.ask("hello")
  yield* machine.publishEvent(session.sessionId, { kind: "noted", payload: { by: "me" } })
  const events = yield* Fiber.join(watching)

  // The session at one moment. `violations` is empty unless the library has a bug.
  const snapshot = Option.getOrThrow(yield* session.snapshot)
  const stored = yield* Stream.runCollect(machine.storedSessions({ prefix: "obs" }))
  return {
    events: Array.from(events),
    snapshot: { state: snapshot.state, messages: snapshot.messageCount, violations: snapshot.violations },
    stored: Array.from(stored, ({ lifecycle, messageCount, sessionId }) => [sessionId, lifecycle, messageCount])
  }
})

export const program = watched.pipe(Effect.scoped, Effect.provide(MeerkatMachineLive.layerEphemeral))

export const expected = {
  events: [
    "Snapshot",
    "InputAccepted",
    "RunStarted",
    "InputStaged",
    "StateChanged",
    "InputEnded",
    "RunCompleted",
    "StateChanged",
    "Custom"
  ],
  snapshot: { state: "attached", messages: 2, violations: [] },
  stored: [["observing", "idle", 2]]
}
