/** @since 0.1.0 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"

/**
 * One turn of the event loop. The store's worker takes one before each batch: commits that are being made meanwhile
 * join the batch, and timers and sockets get their turn. A plain yield under simulation.
 *
 * @since 0.1.0
 * @category tags
 */
export class Handover extends Context.Tag("effect-meerkat/services/Handover")<Handover, Effect.Effect<void>>() {}
