/**
 * Typed ids from the service `IdGen`. The machine makes one value and shares it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { IdGen } from "../../services/IdGen.js"
import { EpochId, InputId, OperationId, RequestId, RunId, WaitRequestId } from "../../src/domain/Ids.js"

/** Generates ids, one effect per type. */
export interface FreshIds {
  readonly input: Effect.Effect<InputId>
  readonly run: Effect.Effect<RunId>
  readonly request: Effect.Effect<RequestId>
  readonly epoch: Effect.Effect<EpochId>
  readonly operation: Effect.Effect<OperationId>
  readonly wait: Effect.Effect<WaitRequestId>
}

/** Makes typed id effects from the id service. */
export const make = (ids: IdGen["Type"]): FreshIds => ({
  input: Effect.map(ids.next, (id) => InputId.make(id)),
  run: Effect.map(ids.next, (id) => RunId.make(id)),
  request: Effect.map(ids.next, (id) => RequestId.make(id)),
  epoch: Effect.map(ids.next, (id) => EpochId.make(id)),
  operation: Effect.map(ids.next, (id) => OperationId.make(id)),
  wait: Effect.map(ids.next, (id) => WaitRequestId.make(id))
})
