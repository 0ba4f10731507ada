/**
 * The control plane: the lifecycle commands of live sessions by runtime id. Hosts call it; `RuntimeControlPlaneLive`
 * implements it on top of the machine.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type { RuntimeControlPlaneError, ValidationDetail } from "../src/domain/Errors.js"
import type { RunId } from "../src/domain/Ids.js"
import type { Input } from "../src/domain/Input.js"
import type { Json } from "../src/domain/Json.js"
import type { RunBoundaryReceipt } from "../src/domain/Receipt.js"
import type { RuntimeState } from "../src/domain/RuntimeState.js"
import type { AcceptOutcome, EndReport, RecoverReport, RecycleReport, RetireReport } from "./MeerkatMachine.js"

/**
 * The result of `ingest`. On the control plane a refused input is a result, not an error (D2).
 *
 * @since 0.1.0
 * @category models
 */
export type IngestOutcome =
  | AcceptOutcome
  | { readonly _tag: "Rejected"; readonly reason: string; readonly detail: ValidationDetail }

/**
 * Controls live sessions by logical runtime id: `rt:session:<sessionId>`. A bare session id is not an alias. Calls fail
 * `NotFound` for an unknown id, and `InvalidState` when the session's state does not allow the call.
 *
 * @since 0.1.0
 * @category tags
 */
export class RuntimeControlPlane extends Context.Tag("effect-meerkat/services/RuntimeControlPlane")<
  RuntimeControlPlane,
  {
    readonly ingest: (runtimeId: string, input: Input) => Effect.Effect<IngestOutcome, RuntimeControlPlaneError>
    readonly publishEvent: (
      runtimeId: string,
      event: { readonly kind: string; readonly payload: Json }
    ) => Effect.Effect<void, RuntimeControlPlaneError>
    readonly retire: (runtimeId: string) => Effect.Effect<RetireReport, RuntimeControlPlaneError>
    readonly recycle: (runtimeId: string) => Effect.Effect<RecycleReport, RuntimeControlPlaneError>
    readonly reset: (runtimeId: string) => Effect.Effect<EndReport, RuntimeControlPlaneError>
    readonly recover: (runtimeId: string) => Effect.Effect<RecoverReport, RuntimeControlPlaneError>
    readonly destroy: (runtimeId: string) => Effect.Effect<EndReport, RuntimeControlPlaneError>
    readonly runtimeState: (runtimeId: string) => Effect.Effect<RuntimeState, RuntimeControlPlaneError>
    readonly loadBoundaryReceipt: (
      runtimeId: string,
      runId: RunId,
      sequence: number
    ) => Effect.Effect<Option.Option<RunBoundaryReceipt>, RuntimeControlPlaneError>
  }
>() {}
