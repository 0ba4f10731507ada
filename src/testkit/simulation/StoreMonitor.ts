/**
 * Compares every acknowledged commit with all commits before it. It observes the real store, below the injected faults.
 * The faulty store calls it; each broken rule becomes a violation in the journal.
 *
 * @since 0.1.0
 */
import type { RunId, RuntimeId } from "../../domain/Ids.js"
import type { CommitWitness, InputPut, RuntimeCommit } from "../../domain/RuntimeCommit.js"
import { count, note, violate } from "./Journal.js"
import { stampOf } from "./Recovery.js"
import type { World } from "./World.js"
import { incarnationOf } from "./World.js"

/** Records a commit that the machine submits. @since 0.1.0 @category monitoring */
export const asked = (world: World, commit: RuntimeCommit): void => {
  const incarnation = incarnationOf(commit.runtimeId, commit.incarnation)
  if (world.closed.has(incarnation)) {
    violate(world.journal, "27 unregister is final", `a commit of ${incarnation} came after its end`)
  }
  const others = world.inFlight.get(incarnation) ?? 0
  if (others > 0) violate(world.journal, "one commit in flight", `${incarnation} has ${others + 1}`)
  world.inFlight.set(incarnation, others + 1)
  const open = world.ledger.pending.get(commit.runtimeId) ?? []
  // the machine looked up the outcome of a late answer, and computed this commit from that outcome
  const before = open[open.length - 1]
  if (before !== undefined && before.incarnation === commit.incarnation && before.basis + 1 === commit.basis) {
    written(world, before)
  }
  world.ledger.pending.set(commit.runtimeId, [...open, commit])
  fidelity(world, commit)
}

/** Records the answer of the store, or its loss. @since 0.1.0 @category monitoring */
export const answered = (world: World, commit: RuntimeCommit): void => {
  const incarnation = incarnationOf(commit.runtimeId, commit.incarnation)
  world.inFlight.set(incarnation, (world.inFlight.get(incarnation) ?? 1) - 1)
}

/**
 * Records the beginning of an opening. The last revision in the store decides whether an unanswered commit happened.
 *
 * @since 0.1.0
 * @category monitoring
 */
export const found = (
  world: World,
  runtimeId: RuntimeId,
  { lastRequestId }: Pick<CommitWitness, "lastRequestId">
): void => {
  const before = world.ledger.pending.get(runtimeId)?.find(({ requestId }) => requestId === lastRequestId)
  if (before !== undefined) written(world, before)
}

/** Records a planned opening commit. @since 0.1.0 @category monitoring */
export const planned = ({ ledger }: World, commit: RuntimeCommit): void => {
  ledger.pending.set(commit.runtimeId, [...(ledger.pending.get(commit.runtimeId) ?? []), commit])
}

/** Checks a commit that the store wrote. @since 0.1.0 @category monitoring */
export const written = (world: World, commit: RuntimeCommit): void => {
  const { journal, ledger } = world
  if (ledger.seen.has(commit.requestId)) return
  ledger.seen.add(commit.requestId)
  if (ledger.denied.has(commit.requestId)) {
    violate(journal, "15 reject is pure", `${commit.requestId} was reported as not happened, and was written later`)
  }
  ledger.pending.delete(commit.runtimeId)
  note(journal, `${commit.runtimeId} ${commit.incarnation} wrote revision ${commit.basis + 1}`)
  fenced(world, commit)
  for (const put of commit.inputs) putInput(world, put)
  for (const { spec } of commit.operations) ledger.operations.set(spec.id, commit.runtimeId)
  receipt(world, commit)
  feed(world, commit)
}

// --- internal ---

/** The fence: after a newer incarnation has opened, the older one must not write. */
const fenced = ({ journal, ledger }: World, { incarnation, runtimeId }: RuntimeCommit): void => {
  const newest = ledger.incarnations.get(runtimeId) ?? 0
  if (incarnation < newest) violate(journal, "fence", `${runtimeId} ${incarnation} wrote beside ${newest}`)
  ledger.incarnations.set(runtimeId, Math.max(newest, incarnation))
}

const factsOf = (put: InputPut) => {
  switch (put._tag) {
    case "Insert":
      return put.record
    case "Update":
      return put.facts
    case "Terminal":
    case "InsertTerminal":
      return put.row
  }
}

/** Rules 2, 13: an input ends once; its counts only grow, and stay within their budgets. */
const putInput = ({ config, journal, ledger }: World, put: InputPut): void => {
  const { attempts, charged, crashed, inputId } = factsOf(put)
  const before = ledger.counts.get(inputId) ?? { attempts: 0, charged: 0, crashed: 0 }
  const ended = ledger.ended.get(inputId)
  if (ended !== undefined) violate(journal, "2 terminal once", `${inputId} ended ${ended} and was put as ${put._tag}`)
  if (attempts < before.attempts || charged < before.charged || crashed < before.crashed) {
    violate(journal, "13 counts grow", `${inputId}: ${JSON.stringify(before)} became ${attempts}/${charged}/${crashed}`)
  }
  if (charged > config.maxAttempts || crashed > Math.max(2, config.crashBudget)) {
    violate(journal, "13 attempts bounded", `${inputId} was charged ${charged} and crashed ${crashed} times`)
  }
  ledger.counts.set(inputId, { attempts, charged, crashed })
  if (put._tag === "Insert") ledger.stamps.set(inputId, stampOf(put.record))
  if (put._tag === "Insert" && put.record.durability === "ephemeral") {
    violate(journal, "16 ephemeral inputs", `${inputId} reached the store`)
  }
  if (put._tag === "Terminal" || put._tag === "InsertTerminal") ledger.ended.set(inputId, endOf(journal, put.row))
}

const endOf = (journal: World["journal"], { terminal }: Extract<InputPut, { readonly _tag: "Terminal" }>["row"]) => {
  const name = terminal.type === "abandoned" ? `abandoned.${terminal.reason.type}` : terminal.type
  count(journal, "end", name)
  return name
}

/** Rule 12: the contributors of a receipt are the inputs that were staged for its run. */
const fidelity = ({ journal, ledger: { staged } }: World, { receipt: put }: RuntimeCommit): void => {
  if (put === undefined) return
  const { contributingInputIds, runId } = put.receipt
  const facts = staged.get(runId)
  const expected = (facts?.inputs ?? []).filter((id) => journal.inputs.get(id)?.durability !== "ephemeral")
  if (facts !== undefined && expected.join() !== contributingInputIds.join()) {
    violate(
      journal,
      "12 commit fidelity",
      `${runId} staged ${expected.join()} and names ${contributingInputIds.join()}`
    )
  }
}

/** Rule 10: receipts are dense, and no input is consumed twice. */
const receipt = ({ journal, ledger }: World, commit: RuntimeCommit): void => {
  if (commit.receipt === undefined) return
  const { contributingInputIds, runId, sequence } = commit.receipt.receipt
  const next = ledger.receipts.get(runId) ?? 0
  if (sequence !== next) violate(journal, "10 receipts are dense", `${runId} wrote ${sequence} after ${next - 1}`)
  ledger.receipts.set(runId, sequence + 1)
  const ends = new Set(commit.inputs.flatMap((put) => put._tag === "Terminal" ? [put.row.inputId] : []))
  for (const id of contributingInputIds) {
    const other = ledger.consumed.get(id)
    if (other !== undefined) violate(journal, "10 exactly-once commit", `${id} was committed by ${other} and ${runId}`)
    ledger.consumed.set(id, runId)
    if (sequence === 0 && !ends.has(id)) {
      violate(journal, "11 atomic commit", `${runId} names ${id} and does not end it`)
    }
  }
}

/** Rule 25: feed entries are dense, cursors only grow, and exactly one committed run received each applied entry (D29). */
const feed = ({ journal, ledger }: World, commit: RuntimeCommit): void => {
  const { staged } = ledger
  for (const { operationId, seq } of commit.feed) {
    if (ledger.fed.has(operationId)) violate(journal, "25 feed once", `operation ${operationId} is in the feed twice`)
    ledger.fed.set(operationId, seq)
  }
  if (commit.epoch === undefined) return
  const { cursors: { agentApplied, injected }, epochId, lastSeq } = commit.epoch
  const before = ledger.cursors.get(epochId) ?? { agentApplied: 0, injected: 0, lastSeq: 0 }
  if (
    agentApplied < before.agentApplied || injected < before.injected || lastSeq !== before.lastSeq + commit.feed.length
  ) {
    violate(
      journal,
      "25 cursors",
      `${epochId}: ${
        JSON.stringify(before)
      } became ${agentApplied}/${injected}/${lastSeq} with ${commit.feed.length} entries`
    )
  }
  ledger.cursors.set(epochId, { agentApplied, injected, lastSeq })
  const runId = commit.receipt?.receipt.runId ?? silentRun(journal, ledger, agentApplied)
  const given = runId === undefined || agentApplied === before.agentApplied ? [] : staged.get(runId)?.completions ?? []
  for (const { seq } of given) {
    const place = `${epochId} ${seq}`
    const other = ledger.delivered.get(place)
    if (other !== undefined) {
      violate(journal, "25 delivered once", `${place} was given to ${other} and ${String(runId)}`)
    }
    if (runId !== undefined) ledger.delivered.set(place, runId)
  }
  for (let seq = before.agentApplied + 1; seq <= agentApplied; seq++) {
    if (!ledger.delivered.has(`${epochId} ${seq}`)) {
      violate(journal, "25 delivered", `${epochId} ${seq} counts as applied and was given to no committed run`)
    }
  }
}

/** A run with only ephemeral inputs leaves no receipt; it receives feed entries like any other run. */
const silentRun = (
  journal: World["journal"],
  { staged }: World["ledger"],
  agentApplied: number
): RunId | undefined => {
  for (const [runId, { completions, inputs }] of staged) {
    const ephemeral = inputs.every((id) => journal.inputs.get(id)?.durability === "ephemeral")
    if (ephemeral && completions[completions.length - 1]?.seq === agentApplied) return runId
  }
  return undefined
}
