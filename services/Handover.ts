/**
 * The pause that the store's commit worker takes before each batch. The worker calls it; `HandoverLive` and the
 * simulation provide it.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"

/**
 * One turn of the event loop. The store's worker takes it before each batch: commits that callers make meanwhile join
 * the batch, and timers and sockets run. The simulation provides a plain yield.
 *
 * @since 0.1.0
 * @category tags
 */
export class Handover extends Context.Tag("effect-meerkat/services/Handover")<Handover, Effect.Effect<void>>() {}
