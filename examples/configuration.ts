import { CoreExecutor, Errors, MeerkatMachine, MeerkatMachineConfig, MeerkatMachineLive } from "effect-meerkat"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

// Fails every attempt, so that the limit of attempts takes effect.
const executor = CoreExecutor.make((turn) =>
  Effect.fail(new Errors.ApplyFailed({ cause: "RuntimeTurn", detail: `attempt ${turn.attempt} failed` }))
)

const attempts = Effect.gen(function*() {
  const machine = yield* MeerkatMachine.MeerkatMachine
  const session = yield* machine.sessionScoped("configuration", executor)
  const failed = yield* Effect.flip(session.ask("hello"))
  return failed.message
}).pipe(Effect.scoped)

// Sets some limits in code and keeps the defaults for the rest.
const byHand = MeerkatMachineConfig.layer({ maxAttempts: 1 })

// Reads the limits from the configuration (here `MEERKAT_MAX_ATTEMPTS=2`) and overrides some of them in code.
const environment = ConfigProvider.fromMap(new Map([["MEERKAT.MAX_ATTEMPTS", "2"]]))
const fromEnvironment = MeerkatMachineConfig.layerConfig({ retryBase: Duration.millis(1) }).pipe(
  Layer.provide(Layer.setConfigProvider(environment))
)

const machine = MeerkatMachineLive.layerEphemeral

export const program = Effect.all([
  Effect.provide(attempts, Layer.provide(machine, byHand)),
  Effect.provide(attempts, Layer.provide(machine, fromEnvironment))
])

export const expected = ["abandoned: apply failed: attempt 1 failed", "abandoned: apply failed: attempt 2 failed"]
