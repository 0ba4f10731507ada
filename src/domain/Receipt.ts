/**
 * The receipt of a run boundary. The kernel makes it, the boundary commit stores it.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { InputId, RunId, Sha256 } from "./Ids.js"
import { RunBoundary } from "./Turn.js"

/**
 * Proves that a boundary of a run is durable. Sequences are dense from 0 per run (D20).
 *
 * @since 0.1.0
 * @category schemas
 */
export const RunBoundaryReceipt = Schema.Struct({
  runId: RunId,
  sequence: Schema.NonNegativeInt,
  boundary: RunBoundary,
  /** in batch order; ephemeral inputs are not listed */
  contributingInputIds: Schema.Array(InputId),
  conversationDigest: Schema.NullOr(Sha256),
  messageCount: Schema.NonNegativeInt
})
/** Proves that a boundary of a run is durable. @since 0.1.0 @category models */
export type RunBoundaryReceipt = typeof RunBoundaryReceipt.Type
