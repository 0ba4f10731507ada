/** @since 0.1.0 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Handover } from "../services/Handover.js"

/** One turn of Node's event loop. @since 0.1.0 @category layers */
export const layer: Layer.Layer<Handover> = Layer.succeed(
  Handover,
  Effect.async<void>((resume) => {
    const handle = setImmediate(() => resume(Effect.void))
    return Effect.sync(() => clearImmediate(handle))
  })
)

/** A plain yield, for simulation: the seeded scheduler decides what comes in between. @since 0.1.0 @category layers */
export const layerYield: Layer.Layer<Handover> = Layer.succeed(Handover, Effect.yieldNow())
