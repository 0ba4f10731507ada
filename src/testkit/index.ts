/**
 * For tests of programs on this library: a deterministic world, an executor that can be held, a store that can fail and
 * remembers what it was asked, and a simulation of whole lives with crashes and restarts.
 *
 * @since 0.1.0
 */

/** @since 0.1.0 */
export * as FaultyStore from "./FaultyStore.js"
/** @since 0.1.0 */
export * as LatchedExecutor from "./LatchedExecutor.js"
/** @since 0.1.0 */
export * as LlmHost from "./LlmHost.js"
/** @since 0.1.0 */
export * as Sim from "./Sim.js"
/** @since 0.1.0 */
export * as Simulation from "./Simulation.js"
