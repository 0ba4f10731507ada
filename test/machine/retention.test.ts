/** How many terminal rows the machine keeps in a store, by kind of store and by configuration. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as HandoverLive from "../../layers/HandoverLive.js"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import * as RuntimeStoreMemory from "../../layers/RuntimeStoreMemory.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import type { MeerkatMachineOptions } from "../../services/MeerkatMachineConfig.js"
import * as MeerkatMachineConfig from "../../services/MeerkatMachineConfig.js"
import { RuntimeStore } from "../../services/RuntimeStore.js"
import { SessionId } from "../../src/domain/Ids.js"
import { prompt } from "../support/inputs.js"

const memory = RuntimeStoreMemory.layerNoDeps().pipe(Layer.provide(HandoverLive.layerYield))

/** Returns every `retainTerminal` that the commits of a session carry, on a store of this kind. */
const retained = (kind: RuntimeStore["Type"]["kind"], config: Partial<MeerkatMachineOptions> = {}) => {
  const seen = new Set<number | undefined>()
  const store = memory.pipe(Layer.flatMap((context) =>
    Layer.effect(
      RuntimeStore,
      Effect.map(RuntimeStore, (inner) =>
        RuntimeStore.of({
          ...inner,
          kind,
          commit: (commit) => {
            seen.add(commit.retainTerminal)
            return inner.commit(commit)
          }
        }))
    ).pipe(Layer.provide(Layer.succeedContext(context)))
  ))
  return Effect.gen(function*() {
    const machine = yield* MeerkatMachine
    const id = SessionId.make("s")
    yield* machine.registerSession(id)
    yield* machine.acceptInput(id, prompt(1))
    return Array.from(seen)
  }).pipe(
    Effect.provide(MeerkatMachineLive.layer),
    Effect.provide(store),
    Effect.provide(MeerkatMachineConfig.layer(config))
  )
}

describe("retention of terminal rows (D32)", () => {
  it.effect("keeps 4,096 rows in memory and every row in a file, unless configured otherwise", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* retained("memory"), [4096])
      assert.deepStrictEqual(yield* retained("sqlite"), [undefined])
      const config = { terminalRetention: Option.some(7) }
      assert.deepStrictEqual(yield* retained("memory", config), [7])
      assert.deepStrictEqual(yield* retained("sqlite", config), [7])
    }))
})
