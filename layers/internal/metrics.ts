/** @since 0.1.0 */
import * as Metric from "effect/Metric"

/** Inputs that were admitted; duplicates are counted apart, by the tag `outcome`. */
export const accepts = Metric.counter("meerkat_accepts", { description: "inputs offered, by outcome" })

/** Runs that ended, by the tag `end`. */
export const runs = Metric.counter("meerkat_runs", { description: "runs of executors, by how they ended" })

/** Commits of runs that were tried again after the store refused them. */
export const commitRetries = Metric.counter("meerkat_commit_retries", {
  description: "boundary commits that were tried again"
})

/** Sessions registered right now. */
export const sessions = Metric.gauge("meerkat_sessions", { description: "sessions registered right now" })

/** Fibers that were left behind because they did not end in time. */
export const abandonedFibers = Metric.counter("meerkat_abandoned_fibers", {
  description: "fibers left behind at a teardown"
})
