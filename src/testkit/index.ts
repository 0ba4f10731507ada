/**
 * Tools to test programs on this library: a deterministic world, a held executor, a store with faults, a model host,
 * and a simulation of crashes and restarts.
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
