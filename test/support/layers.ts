/** Layers that several tests are built on. */
import * as Layer from "effect/Layer"
import * as HandoverLive from "../../layers/HandoverLive.js"
import * as IdGenLive from "../../layers/IdGenLive.js"
import * as MachineAuthorityLive from "../../layers/MachineAuthorityLive.js"
import * as RuntimeStoreMemory from "../../layers/RuntimeStoreMemory.js"
import { FaultyStore } from "../../src/testkit/index.js"

/** In a world of one seed nobody waits for the event loop. */
export const memory = Layer.provide(RuntimeStoreMemory.layerNoDeps(), HandoverLive.layerYield)

/** Who opens sessions, on a store with trouble on demand. */
export const authorityOn = (faults: FaultyStore.FaultyStore) =>
  MachineAuthorityLive.layer.pipe(
    Layer.provideMerge(IdGenLive.layer),
    Layer.provideMerge(Layer.provide(FaultyStore.layer(faults), memory))
  )
