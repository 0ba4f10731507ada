/** A retired session that is recycled after its loop decided to end, and before the loop has ended. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestServices from "effect/TestServices"
import * as HandoverLive from "../../layers/HandoverLive.js"
import * as IdGenLive from "../../layers/IdGenLive.js"
import * as MachineAuthorityLive from "../../layers/MachineAuthorityLive.js"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import * as RuntimeLoopLive from "../../layers/RuntimeLoopLive.js"
import * as RuntimeStoreMemory from "../../layers/RuntimeStoreMemory.js"
import { make } from "../../services/CoreExecutor.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import { RuntimeLoop } from "../../services/RuntimeLoop.js"
import * as Turn from "../../services/Turn.js"
import { SessionId } from "../../src/domain/Ids.js"

const id = SessionId.make("r")

/**
 * A loop that pauses after its decision to end, before the machine learns of that decision. `decided` opens at the
 * decision, and the loop waits for `go`.
 */
const held = (decided: Effect.Latch, go: Effect.Latch) =>
  Layer.effect(
    RuntimeLoop,
    Effect.map(RuntimeLoop, ({ run }) =>
      RuntimeLoop.of({
        run: (options) =>
          Effect.tap(
            run(options),
            ({ _tag }) => _tag === "Drained" ? Effect.zipRight(decided.open, go.await) : Effect.void
          )
      }))
  ).pipe(Layer.provide(RuntimeLoopLive.layer))

const machineWith = (loops: ReturnType<typeof held>) =>
  MeerkatMachineLive.layerNoDeps.pipe(
    Layer.provide(loops),
    Layer.provide(MachineAuthorityLive.layer),
    Layer.provide(IdGenLive.layer),
    Layer.provide(RuntimeStoreMemory.layer),
    Layer.provide(HandoverLive.layer)
  )

describe("a loop with nothing left to drain", () => {
  it.effect("is detached at once when the session is recycled before the loop has ended", () =>
    Effect.gen(function*() {
      const decided = yield* Effect.makeLatch(false)
      const go = yield* Effect.makeLatch(false)
      const stops: Array<string> = []
      const executor = (name: string) =>
        make(() => Effect.succeed(Turn.reply(name)), { stop: () => Effect.sync(() => void stops.push(name)) })
      yield* Effect.ensuring(
        Effect.gen(function*() {
          const machine = yield* MeerkatMachine
          yield* machine.ensureSessionWithExecutor(id, yield* executor("first"))
          yield* machine.retireRuntime(id)
          yield* decided.await
          yield* machine.recycleRuntime(id)
          assert.strictEqual(yield* machine.runtimeState(id), "idle")
          assert.strictEqual(yield* machine.ensureSessionWithExecutor(id, yield* executor("second")), "attached")
          yield* go.open
          const { text } = yield* Effect.timeout(machine.session(id).ask("hello"), "1 second").pipe(
            TestServices.provideLive
          )
          assert.strictEqual(text, "second")
          assert.isTrue(yield* machine.sessionHasExecutor(id))
          yield* Effect.repeatN(Effect.yieldNow(), 20)
          assert.deepStrictEqual(stops, ["first"])
        }),
        go.open
      ).pipe(Effect.provide(machineWith(held(decided, go))))
      assert.deepStrictEqual(stops, ["first", "second"])
    }))
})
