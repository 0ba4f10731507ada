/** Requests to yield that arrive at the moment in which a run begins. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import { make } from "../../services/CoreExecutor.js"
import type { SessionHandle } from "../../services/MeerkatMachine.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import * as Turn from "../../services/Turn.js"
import { SessionId } from "../../src/domain/Ids.js"
import { memory } from "../support/layers.js"

const id = SessionId.make("s")

/** Runs a turn until its executor is asked to yield. The answer says whether the request named this run. */
const untilAsked = (ask: (session: SessionHandle) => Effect.Effect<unknown, unknown>) =>
  Effect.gen(function*() {
    const machine = yield* MeerkatMachine
    const asked = yield* Deferred.make<string>()
    const executor = yield* make(
      (turn) => Effect.map(Deferred.await(asked), (runId) => Turn.reply(String(runId === turn.runId))),
      { cancelAfterBoundary: ({ runId }) => Deferred.succeed(asked, runId) }
    )
    yield* machine.ensureSessionWithExecutor(id, executor)
    const session = machine.session(id)
    const { completion } = yield* session.prompt("hello")
    yield* ask(session)
    return yield* completion.wait
  }).pipe(Effect.provide(MeerkatMachineLive.layer), Effect.provide(memory))

describe("a run that is asked to yield at the moment it begins", () => {
  for (
    const [what, ask] of [
      ["by yieldRun", (session: SessionHandle) => session.yieldRun("now")],
      ["by a steer input", (session: SessionHandle) => session.steer("quick")]
    ] as const
  ) {
    it.effect(`${what} receives the request through the handle of its executor`, () =>
      Effect.gen(function*() {
        const outcome = yield* untilAsked(ask)
        assert.deepInclude(outcome, { _tag: "Completed" })
        assert.strictEqual(outcome._tag === "Completed" ? outcome.result.text : "", "true")
      }))
  }
})
