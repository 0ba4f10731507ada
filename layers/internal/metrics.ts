/**
 * The metrics of all machines of the process. The machine and the loops update them; applications read them through
 * Effect's metric registry. Names and descriptions are public.
 *
 * @since 0.1.0
 */
import * as Metric from "effect/Metric"

const acceptsByOutcome = Metric.counter("meerkat_accepts", { description: "inputs offered, by outcome" })

/** Admitted inputs and duplicates, by the tag `outcome`. Tagged once, because tagging computes a hash. */
export const accepts = {
  Accepted: Metric.tagged(acceptsByOutcome, "outcome", "Accepted"),
  Deduplicated: Metric.tagged(acceptsByOutcome, "outcome", "Deduplicated")
}

const runsByEnd = Metric.counter("meerkat_runs", { description: "runs of executors, by how they ended" })

/** Ended runs, by the tag `end`. */
export const runs = {
  Output: Metric.tagged(runsByEnd, "end", "Output"),
  Failed: Metric.tagged(runsByEnd, "end", "Failed"),
  Interrupted: Metric.tagged(runsByEnd, "end", "Interrupted")
}

/** Retries of boundary commits that the store refused. */
export const commitRetries = Metric.counter("meerkat_commit_retries", {
  description: "boundary commits that were tried again"
})

/** Sessions registered right now. Every machine of the process adds its own and subtracts them again. */
export const sessions = Metric.gauge("meerkat_sessions", { description: "sessions registered right now" })

/** Fibers that were left behind because they did not end in time. */
export const abandonedFibers = Metric.counter("meerkat_abandoned_fibers", {
  description: "fibers left behind at a teardown"
})

/** Ends of runs that the store refuses for now, in every machine of the process. */
export const keptResults = Metric.gauge("meerkat_kept_results", {
  description: "ends of runs that wait in memory until the store takes them"
})

/** Sessions that cannot commit any more and must be registered again. */
export const reloads = Metric.counter("meerkat_reloads", {
  description: "sessions that must be registered again"
})
