import { Completion, CoreExecutor, Errors, Ids, MeerkatMachine, MeerkatMachineLive } from "effect-meerkat"
import * as Effect from "effect/Effect"
import * as Match from "effect/Match"

const id = Ids.SessionId.make("errors")

/** What a caller can do after an error of a session-addressed call. */
const advice = Match.type<Errors.RuntimeDriverError>().pipe(
  Match.tagsExhaustive({
    NotReady: (error) => Errors.isUnknownSession(error) ? "register it" : `not while it is ${error.state}`,
    ValidationFailed: ({ detail }) => `correct the call: ${detail._tag}`,
    Destroyed: () => "use another session",
    RecoveryCorruption: ({ key, table }) => `inspect ${table} ${key}`,
    Internal: ({ retryable }) => retryable ? "call again" : "register the session again"
  })
)

const refusing = CoreExecutor.make(() =>
  Effect.fail(new Errors.ApplyFailed({ cause: "HookDenied", detail: "not allowed" }))
)

const conversation = Effect.gen(function*() {
  const machine = yield* MeerkatMachine.MeerkatMachine
  const session = machine.session(id)
  const advised: Array<string> = []
  const failing = <A>(call: Effect.Effect<A, Errors.RuntimeDriverError>) =>
    Effect.flatMap(Effect.flip(call), (error) => Effect.sync(() => void advised.push(advice(error))))

  yield* failing(session.prompt("hello"))
  yield* machine.registerSession(id)
  yield* failing(session.cancel("there is no run"))
  yield* failing(Effect.asVoid(machine.sessionScoped("", refusing)).pipe(Effect.scoped))

  // If an input ends without an answer, `ask` fails with `TurnFailed`, which holds the outcome.
  yield* machine.ensureSessionWithExecutor(id, yield* refusing)
  const failed = yield* session.ask("do it").pipe(
    Effect.catchTag("TurnFailed", ({ outcome }) => Effect.succeed({ text: Completion.describe(outcome) }))
  )
  yield* session.destroy
  yield* failing(session.prompt("once more"))
  return { advised, failed: failed.text }
})

export const program = conversation.pipe(Effect.provide(MeerkatMachineLive.layerEphemeral))

export const expected = {
  advised: ["register it", "not while it is idle", "correct the call: InvalidSessionId", "use another session"],
  failed: "abandoned: apply failed: not allowed"
}
