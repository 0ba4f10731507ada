/**
 * The control plane on top of the machine: it maps runtime ids to session ids and errors to the control plane's types.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { MeerkatMachine } from "../services/MeerkatMachine.js"
import type { IngestOutcome } from "../services/RuntimeControlPlane.js"
import { RuntimeControlPlane } from "../services/RuntimeControlPlane.js"
import type { RuntimeControlPlaneError, RuntimeDriverError } from "../src/domain/Errors.js"
import { Internal, InvalidState, isUnknownSession, NotFound, StoreError } from "../src/domain/Errors.js"
import type { SessionId } from "../src/domain/Ids.js"
import { sessionIdOf } from "../src/domain/Ids.js"

/** Maps an error of a call by session id to the error of a call by runtime id (D1). */
const controlError = (runtimeId: string) => (error: RuntimeDriverError): RuntimeControlPlaneError => {
  switch (error._tag) {
    case "NotReady":
      return isUnknownSession(error)
        ? new NotFound({ runtimeId })
        : new InvalidState({ state: error.state, detail: error.detail })
    case "Destroyed":
      return new InvalidState({ state: "destroyed", detail: error.message })
    case "Internal":
      return error.cause === undefined
        ? error
        : new StoreError({ detail: error.detail, cause: error.cause, retryable: error.retryable })
    case "ValidationFailed":
    case "RecoveryCorruption":
      return new Internal({ detail: error.message, cause: error, retryable: false })
  }
}

const make = Effect.map(MeerkatMachine, (machine) => {
  const addressed = <A>(
    runtimeId: string,
    call: (sessionId: SessionId) => Effect.Effect<A, RuntimeDriverError>
  ): Effect.Effect<A, RuntimeControlPlaneError> =>
    Option.match(sessionIdOf(runtimeId), {
      onNone: () => Effect.fail(new NotFound({ runtimeId })),
      onSome: (sessionId) => Effect.mapError(call(sessionId), controlError(runtimeId))
    })
  return RuntimeControlPlane.of({
    ingest: (runtimeId, input) =>
      addressed(runtimeId, (sessionId) =>
        machine.acceptInput(sessionId, input).pipe(
          Effect.catchTag(
            "ValidationFailed",
            ({ detail, reason }) => Effect.succeed<IngestOutcome>({ _tag: "Rejected", reason, detail })
          )
        )),
    publishEvent: (runtimeId, event) => addressed(runtimeId, (sessionId) => machine.publishEvent(sessionId, event)),
    retire: (runtimeId) => addressed(runtimeId, machine.retireRuntime),
    recycle: (runtimeId) => addressed(runtimeId, machine.recycleRuntime),
    reset: (runtimeId) => addressed(runtimeId, machine.resetRuntime),
    recover: (runtimeId) => addressed(runtimeId, machine.recoverRuntime),
    destroy: (runtimeId) => addressed(runtimeId, machine.destroyRuntime),
    runtimeState: (runtimeId) => addressed(runtimeId, machine.runtimeState),
    loadBoundaryReceipt: (runtimeId, runId, sequence) =>
      addressed(runtimeId, (sessionId) => machine.loadBoundaryReceipt(sessionId, runId, sequence))
  })
})

/** Provides the control plane of a machine. @since 0.1.0 @category layers */
export const layer: Layer.Layer<RuntimeControlPlane, never, MeerkatMachine> = Layer.effect(RuntimeControlPlane, make)
