/**
 * The layers of one process in a simulated world.
 *
 * @since 0.1.0
 */
import * as Layer from "effect/Layer"
import * as IdGenLive from "../../../layers/IdGenLive.js"
import * as MachineAuthorityLive from "../../../layers/MachineAuthorityLive.js"
import * as MeerkatMachineLive from "../../../layers/MeerkatMachineLive.js"
import * as RuntimeControlPlaneLive from "../../../layers/RuntimeControlPlaneLive.js"
import * as RuntimeLoopLive from "../../../layers/RuntimeLoopLive.js"
import * as MeerkatMachineConfig from "../../../services/MeerkatMachineConfig.js"
import type { RuntimeStore } from "../../../services/RuntimeStore.js"
import * as Faults from "./Faults.js"
import * as Watch from "./Watch.js"
import type { World } from "./World.js"

/**
 * Provides the machine on a store; both are watched, and the store has the faults of the world.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (world: World, store: Layer.Layer<RuntimeStore>) =>
  RuntimeControlPlaneLive.layer.pipe(
    Layer.provideMerge(MeerkatMachineLive.layerNoDeps),
    Layer.provide(Layer.merge(Layer.provide(Watch.layer(world), MachineAuthorityLive.layer), RuntimeLoopLive.layer)),
    Layer.provideMerge(Layer.merge(Layer.provide(Faults.layer(world), store), IdGenLive.layer)),
    Layer.provideMerge(Layer.succeed(MeerkatMachineConfig.MeerkatMachineConfig, world.config))
  )
