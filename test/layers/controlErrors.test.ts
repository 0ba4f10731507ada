/** How the control plane translates errors of the machine. */
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

/** Returns the error of the control plane for an error of the machine. */
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
  it.effect("an Internal error becomes StoreError with a cause and stays as it is without one", () =>
    Effect.gen(function*() {
      const own = new Internal({ detail: "must be reloaded", retryable: false })
      assert.strictEqual(yield* told(own), own)
      const stores = yield* told(new Internal({ detail: "no", cause: new Error("disk"), retryable: true }))
      assert.deepInclude(stores, { _tag: "StoreError", detail: "no", retryable: true })
    }))

  it.effect("a state error becomes InvalidState", () =>
    Effect.gen(function*() {
      assert.deepInclude(yield* told(new NotReady({ state: "running", detail: "a run is under way" })), {
        _tag: "InvalidState",
        state: "running"
      })
      assert.deepInclude(yield* told(new Destroyed({ sessionId: id })), { _tag: "InvalidState", state: "destroyed" })
    }))

  it.effect("a ValidationFailed error becomes Internal", () =>
    Effect.gen(function*() {
      const detail = { _tag: "InvalidInput", detail: "x" } as const
      const error = yield* told(new ValidationFailed({ reason: "x", detail }))
      assert.deepInclude(error, { _tag: "Internal", retryable: false })
    }))
})
