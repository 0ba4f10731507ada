/**
 * The keys that tell states of an exploration apart. Ids count by their order, times and sequences by the decisions
 * that depend on them.
 */
import * as HashMap from "effect/HashMap"
import { isDeepStrictEqual } from "node:util"
import type { InputRecord } from "../../../src/domain/InputRecord.js"
import type { OperationRecord } from "../../../src/domain/Operation.js"
import type { EpochFacts } from "../../../src/domain/RuntimeCommit.js"
import type { Registration } from "../../../src/domain/RuntimeState.js"
import { persisted } from "../../../src/domain/RuntimeState.js"
import type { Operations, SessionState } from "../../../src/domain/SessionState.js"
import type { SessionToolVisibilityState } from "../../../src/domain/ToolVisibility.js"
import * as Ledger from "../../../src/kernel/Ledger.js"
import { isTerminalStatus } from "../../../src/kernel/operationRows.js"
import { silentIntentsSlice } from "../../../src/kernel/rows/lifecycle.js"
import { catalogsOf, visibilitySlice } from "../../../src/kernel/toolVisibility.js"
import type { Node } from "./node.js"
import type { Stored } from "./store.js"

export const keyOf = (node: Node): string => node.live === null ? ofStored(node.stored) : ofLive(node, node.live)

/** Everything in a state that a move could change by mistake. */
export const dumpOf = ({ live, stored }: Node): string =>
  JSON.stringify([live, stored.head, Array.from(stored.inputs), Array.from(stored.operations)])

export const visibilityKey = (state: SessionToolVisibilityState): string =>
  JSON.stringify({
    ...state,
    activeRevision: Math.sign(state.activeRevision - state.stagedRevision),
    stagedRevision: 0,
    requestedWitnesses: Object.entries(state.requestedWitnesses).sort(([a], [b]) => a < b ? -1 : 1),
    filterWitnesses: Object.entries(state.filterWitnesses).sort(([a], [b]) => a < b ? -1 : 1)
  })

// --- internal ---

const ofStored = ({ feed, head, inputs, operations, slices }: Stored): string =>
  [
    "-",
    head.revision > 0,
    head.open,
    head.lifecycle,
    Array.from(inputs.values()).map((record) => factsOf(record, 0, 0)).join(";"),
    Array.from(operations.values()).map(operationOf).join(";"),
    epochOf(head.epoch, feed.length),
    feed.map(({ kind }) => kind[0]).join(""),
    Array.from(slices.values())
      .filter(({ name }) => name !== visibilitySlice)
      .map(({ name, value }) => `${name}=${JSON.stringify(value)}`).join(";")
  ].join("|")

const ofLive = (node: Node, live: SessionState): string => {
  const dirty = new Set(live.dirty.inputs)
  return [
    lifecycleOf(live),
    registrationOf(live.registration),
    Ledger.all(live.ledger).map((record) =>
      dirty.has(record.inputId)
        ? `${factsOf(record, live.ledger.imageSeq, node.now)}*${storedFacts(node, record)}`
        : factsOf(record, live.ledger.imageSeq, node.now)
    ).join(";"),
    strayOf(node, live),
    live.silentIntents.join(","),
    live.binding !== null,
    operationsOf(live, node.stored),
    live.tools === null
      ? ""
      : `${visibilityKey(live.tools.visibility)}${live.tools.unsaved}${JSON.stringify(catalogsOf(live))}`
  ].join("|")
}

/**
 * The places where the store differs from the live state without a deferred write. No such place exists. Without this
 * part, a faulty state would share the key of a sound one and would not be checked.
 */
const strayOf = ({ stored }: Node, live: SessionState): string => {
  const { dirty, ledger, lifecycle, operations, silentIntents, tools } = live
  const durable = Ledger.all(ledger).filter(({ durability }) => durability !== "ephemeral")
  const silent = stored.slices.get(silentIntentsSlice)?.value ?? []
  const shown = stored.slices.get(visibilitySlice)?.value
  const strays = [
    ...(stored.head.lifecycle === persisted(lifecycle) ? [] : [stored.head.lifecycle]),
    ...(stored.inputs.size === durable.length ? [] : [stored.inputs.size]),
    ...durable.flatMap((record, at) => {
      const known = stored.inputs.get(record.inputId)
      const same = known !== undefined && factsOf(known, 0, 0) === factsOf(record, 0, 0)
      return same || dirty.inputs.includes(record.inputId) ? [] : [`input ${at}`]
    }),
    ...Array.from(HashMap.values(operations.records)).flatMap((record) => {
      const known = stored.operations.get(record.spec.id)
      const same = known !== undefined && operationOf(known) === operationOf(record)
      return same || dirty.operations.includes(record.spec.id) ? [] : [`operation ${operationOf(record)}`]
    }),
    ...(stored.feed.length === operations.feed.length ? [] : [`feed ${stored.feed.length}`]),
    ...(dirty.cursors || isDeepStrictEqual(stored.head.epoch, operations.epoch) ? [] : ["epoch"]),
    ...(isDeepStrictEqual(silent, silentIntents) ? [] : [`silent ${JSON.stringify(silent)}`]),
    ...(shown === undefined || tools === null || tools.unsaved || isDeepStrictEqual(shown, tools.visibility)
      ? []
      : ["tools"])
  ]
  return strays.join()
}

const storedFacts = ({ stored }: Node, { inputId }: InputRecord): string => {
  const known = stored.inputs.get(inputId)
  return known === undefined ? "" : factsOf(known, 0, 0)
}

const factsOf = (record: InputRecord, imageSeq: number, now: number): string =>
  [
    record.kind,
    record.lane,
    record.durability[0],
    record.status.type,
    record.status.type === "staged" && record.status.alone === true ? "a" : "",
    record.hold ? "h" : "",
    Math.min(record.attempts, 1),
    record.charged,
    record.crashed,
    record.solo ? "s" : "",
    record.admissionSeq >= imageSeq ? "f" : "",
    record.notBefore !== undefined && record.notBefore > now ? "w" : "",
    record.idempotencyKey ?? "",
    record.input.header.supersessionKey ?? ""
  ].join(",")

const lifecycleOf = ({ ledger, lifecycle }: SessionState): string => {
  if (lifecycle._tag !== "Running") return lifecycle._tag
  const order = Ledger.all(ledger).map(({ inputId }) => inputId)
  const { cancel, inputIds, owner, returnTo, sequence, yieldRequest } = lifecycle
  const members = inputIds.map((id) => order.indexOf(id)).join(",")
  return [owner, returnTo, sequence, cancel !== null, yieldRequest !== null, members].join(" ")
}

const registrationOf = (registration: Registration): string => {
  switch (registration._tag) {
    case "Queuing":
    case "Attaching":
      return registration._tag
    case "Active":
      return registration.drainOnly ? "Drain-only" : "Active"
    case "Draining":
      return registration.token === null ? "Draining" : "Draining with a loop"
  }
}

const operationOf = ({ peerReady, progressCount, spec, status }: OperationRecord): string =>
  [spec.kind[0], spec.owner[0], status, peerReady ? "p" : "", progressCount > 0 ? "+" : ""].join("")

/** All cursors before the first kept entry are equal. */
const epochOf = (epoch: EpochFacts | null, kept: number): string => {
  if (epoch === null) return ""
  const { cursors: { agentApplied, injected, observed }, lastSeq, retired } = epoch
  const lags = [agentApplied, injected, observed].map((cursor) => Math.min(lastSeq - cursor, kept + 1))
  return `${retired ? "retired" : ""}${lags.join(",")}${lastSeq > kept ? "…" : ""}`
}

const operationsOf = ({ dirty, operations }: SessionState, stored: Stored): string => {
  if (operations.epoch.lastSeq === 0 && HashMap.size(operations.records) === 0) {
    return `${operations.epoch.retired}${dirty.cursors}${dirty.dropOperations.length}`
  }
  const records = Array.from(HashMap.values(operations.records)).sort((a, b) => a.spec.id < b.spec.id ? -1 : 1)
  const ids = records.map(({ spec }) => spec.id)
  const owed = dirty.operations.map((id) => {
    const known = stored.operations.get(id)
    return `${ids.indexOf(id)}${known === undefined ? "" : operationOf(known)}`
  })
  return [
    records.map(operationOf).join(";"),
    operations.completed.map((id) => ids.indexOf(id)).join(""),
    owed.sort().join(""),
    dirty.dropOperations.length,
    dirty.cursors,
    epochOf(operations.epoch, operations.feed.length),
    operations.feed.map(({ kind, operationId }) => `${kind[0]}${live(operations, operationId)}`).join(""),
    operations.barrier === null ? "" : operations.barrier.members.map((id) => ids.indexOf(id)).join(",")
  ].join(" ")
}

const live = ({ records }: Operations, id: OperationRecord["spec"]["id"]): string => {
  const record = HashMap.get(records, id)
  return record._tag === "Some" && isTerminalStatus(record.value.status) ? "!" : ""
}
