/**
 * The implementations of `Handover`: one for Node, one for simulations. The machine's layers provide one of them.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Handover } from "../services/Handover.js"

/** Waits one turn of Node's event loop. @since 0.1.0 @category layers */
export const layer: Layer.Layer<Handover> = Layer.succeed(
  Handover,
  Effect.async<void>((resume) => {
    const handle = setImmediate(() => resume(Effect.void))
    return Effect.sync(() => clearImmediate(handle))
  })
)

/** Yields once. For simulations, where the seeded scheduler decides what runs next. @since 0.1.0 @category layers */
export const layerYield: Layer.Layer<Handover> = Layer.succeed(Handover, Effect.yieldNow())
