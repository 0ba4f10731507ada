/** Teardown of an entry after its machine has closed. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as IdGenLive from "../../layers/IdGenLive.js"
import * as Registry from "../../layers/internal/registry.js"
import * as Spawn from "../../layers/internal/spawn.js"
import * as Teardown from "../../layers/internal/teardown.js"
import * as MachineAuthorityLive from "../../layers/MachineAuthorityLive.js"
import { MachineAuthority } from "../../services/MachineAuthority.js"
import { defaults } from "../../services/MeerkatMachineConfig.js"
import { SessionId } from "../../src/domain/Ids.js"
import { memory } from "../support/layers.js"

const id = SessionId.make("s")
const layer = MachineAuthorityLive.layer.pipe(
  Layer.provideMerge(IdGenLive.layer),
  Layer.provideMerge(memory)
)

describe("taking an entry down", () => {
  it.effect("fails with Internal when the machine is closed", () =>
    Effect.gen(function*() {
      const authorities = yield* MachineAuthority
      const spawner = yield* Spawn.make
      const home = yield* Scope.make()
      const registry = Registry.make({
        authorities,
        spawner,
        home,
        drop: () => Effect.void,
        finish: () => Effect.void
      })
      const { entry } = yield* registry.acquire(id)
      yield* Scope.close(home, Exit.void)
      const deps = { config: defaults, spawner, home, foreign: home, abandoned: { count: 0 }, registry: () => registry }
      const error = yield* Effect.flip(Deferred.await(Teardown.unregister(deps, entry, "unregister")))
      assert.deepInclude(error, { _tag: "Internal", detail: "the machine is closed" })
    }).pipe(Effect.provide(layer)))
})
