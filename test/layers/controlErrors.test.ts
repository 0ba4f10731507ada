import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import * as RuntimeControlPlaneLive from "../../layers/RuntimeControlPlaneLive.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import { RuntimeControlPlane } from "../../services/RuntimeControlPlane.js"
import type { RuntimeDriverError } from "../../src/domain/Errors.js"
import { Destroyed, Internal, NotReady, ValidationFailed } from "../../src/domain/Errors.js"
import { runtimeIdOf, SessionId } from "../../src/domain/Ids.js"

const id = SessionId.make("s")

/** What the control plane makes of an error of the machine. */
const told = (error: RuntimeDriverError) =>
  Effect.flatMap(RuntimeControlPlane, (control) => Effect.flip(control.retire(runtimeIdOf(id)))).pipe(
    Effect.provide(RuntimeControlPlaneLive.layer),
    Effect.provide(Layer.effect(
      MeerkatMachine,
      Effect.map(
        MeerkatMachine,
        (machine) => MeerkatMachine.of({ ...machine, retireRuntime: () => Effect.fail(error) })
      )
    )),
    Effect.provide(MeerkatMachineLive.layerEphemeral)
  )

describe("errors addressed by runtime (D1)", () => {
  it.effect("a cause is the store's, without one it is the machine's own", () =>
    Effect.gen(function*() {
      const own = new Internal({ detail: "must be reloaded", retryable: false })
      assert.strictEqual(yield* told(own), own)
      const stores = yield* told(new Internal({ detail: "no", cause: new Error("disk"), retryable: true }))
      assert.deepInclude(stores, { _tag: "StoreError", detail: "no", retryable: true })
    }))

  it.effect("a state is invalid, whatever the session is told", () =>
    Effect.gen(function*() {
      assert.deepInclude(yield* told(new NotReady({ state: "running", detail: "a run is going on" })), {
        _tag: "InvalidState",
        state: "running"
      })
      assert.deepInclude(yield* told(new Destroyed({ sessionId: id })), { _tag: "InvalidState", state: "destroyed" })
    }))

  it.effect("what the caller did wrong is no state", () =>
    Effect.gen(function*() {
      const detail = { _tag: "InvalidInput", detail: "x" } as const
      const error = yield* told(new ValidationFailed({ reason: "x", detail }))
      assert.deepInclude(error, { _tag: "Internal", retryable: false })
    }))
})
