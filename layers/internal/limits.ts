/** @since 0.1.0 */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import type { MeerkatMachineOptions } from "../../services/MeerkatMachineConfig.js"
import type { KernelLimits } from "../../src/domain/SessionState.js"

/** The part of the configuration that rules of the kernel depend on. */
export const kernelLimits = (options: MeerkatMachineOptions): KernelLimits => ({
  maxAttempts: options.maxAttempts,
  crashBudget: options.crashBudget,
  keyRetentionMs: Option.getOrNull(Option.map(options.keyRetention, Duration.toMillis)),
  keyRetentionCount: Option.getOrNull(options.keyRetentionCount),
  maxCompletedOperations: options.maxCompletedOperations,
  maxConcurrentOperations: Option.getOrNull(options.maxConcurrentOperations),
  feedRetention: options.feedRetention
})
