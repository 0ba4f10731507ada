/** Layers that several tests share. */
import * as Layer from "effect/Layer"
import * as HandoverLive from "../../layers/HandoverLive.js"
import * as IdGenLive from "../../layers/IdGenLive.js"
import * as MachineAuthorityLive from "../../layers/MachineAuthorityLive.js"
import * as RuntimeStoreMemory from "../../layers/RuntimeStoreMemory.js"
import { FaultyStore } from "../../src/testkit/index.js"

/** A store in memory whose handover only yields, since no fiber waits for the event loop in a simulated world. */
export const memory = Layer.provide(RuntimeStoreMemory.layerNoDeps(), HandoverLive.layerYield)

/** The service that opens the authorities of sessions, on a store that can be made to fail. */
export const authorityOn = (faults: FaultyStore.FaultyStore) =>
  MachineAuthorityLive.layer.pipe(
    Layer.provideMerge(IdGenLive.layer),
    Layer.provideMerge(Layer.provide(FaultyStore.layer(faults), memory))
  )
