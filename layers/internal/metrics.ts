/** @since 0.1.0 */
import * as Metric from "effect/Metric"

const acceptsByOutcome = Metric.counter("meerkat_accepts", { description: "inputs offered, by outcome" })

/** Inputs that were admitted; duplicates are counted apart, by the tag `outcome`. Made once: tagging hashes. */
export const accepts = {
  Accepted: Metric.tagged(acceptsByOutcome, "outcome", "Accepted"),
  Deduplicated: Metric.tagged(acceptsByOutcome, "outcome", "Deduplicated")
}

const runsByEnd = Metric.counter("meerkat_runs", { description: "runs of executors, by how they ended" })

/** Runs that ended, by the tag `end`. */
export const runs = {
  Output: Metric.tagged(runsByEnd, "end", "Output"),
  Failed: Metric.tagged(runsByEnd, "end", "Failed"),
  Interrupted: Metric.tagged(runsByEnd, "end", "Interrupted")
}

/** Commits of runs that were tried again after the store refused them. */
export const commitRetries = Metric.counter("meerkat_commit_retries", {
  description: "boundary commits that were tried again"
})

/** Sessions registered right now, in every machine of the process: each adds its own and takes them off. */
export const sessions = Metric.gauge("meerkat_sessions", { description: "sessions registered right now" })

/** Fibers that were left behind because they did not end in time. */
export const abandonedFibers = Metric.counter("meerkat_abandoned_fibers", {
  description: "fibers left behind at a teardown"
})

/** Results and other ends of runs that the store refuses for the moment, in every machine of the process. */
export const keptResults = Metric.gauge("meerkat_kept_results", {
  description: "ends of runs that wait in memory until the store takes them"
})

/** Sessions that lost their place in the store and must be registered again. */
export const reloads = Metric.counter("meerkat_reloads", {
  description: "sessions that must be registered again"
})
