/**
 * The kernel's view of the configuration.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import type { MeerkatMachineOptions } from "../../services/MeerkatMachineConfig.js"
import type { KernelLimits } from "../../src/domain/SessionState.js"

/** Selects the options that the rules of the kernel read. */
export const kernelLimits = (options: MeerkatMachineOptions): KernelLimits => ({
  maxAttempts: options.maxAttempts,
  crashBudget: options.crashBudget,
  keyRetentionMs: Option.getOrNull(Option.map(options.keyRetention, Duration.toMillis)),
  keyRetentionCount: Option.getOrNull(options.keyRetentionCount),
  maxCompletedOperations: options.maxCompletedOperations,
  maxConcurrentOperations: Option.getOrNull(options.maxConcurrentOperations),
  feedRetention: options.feedRetention
})
