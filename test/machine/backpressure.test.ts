/** Backpressure: a run is asked to yield once, however many steers arrive. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import { SessionId } from "../../src/domain/Ids.js"
import { LatchedExecutor } from "../../src/testkit/index.js"
import { depth } from "../support/worlds.js"

const count = depth(1_000, 10_000)

describe("backpressure", () => {
  it.live(
    `asks the run to yield once and accepts all inputs when ${count} steers arrive during one run`,
    () =>
      Effect.gen(function*() {
        const machine = yield* MeerkatMachine
        const session = machine.session(SessionId.make("s"))
        const latched = yield* LatchedExecutor.make({ held: true })
        yield* machine.ensureSessionWithExecutor(session.sessionId, latched.executor)
        const first = yield* session.prompt("begin")
        const turn = yield* latched.started(1)
        const steers = yield* Effect.forEach(
          Array.from({ length: count }, (_, n) => `steer ${n}`),
          (text) => session.steer(text),
          { concurrency: "unbounded" }
        )
        assert.isTrue(steers.every(({ outcome }) => outcome._tag === "Accepted"))
        yield* turn.boundaryRequested
        assert.strictEqual(latched.counts().cancelBoundary, 1)
        yield* latched.open
        assert.strictEqual((yield* first.completion.wait)._tag, "Completed")
        for (const { completion } of steers) assert.strictEqual((yield* completion.wait)._tag, "Completed")
        assert.deepStrictEqual(latched.turns().map(({ inputs }) => inputs.length), [1, count])
      }).pipe(Effect.provide(MeerkatMachineLive.layerEphemeral)),
    60_000
  )
})
