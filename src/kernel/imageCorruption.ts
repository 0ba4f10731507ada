/**
 * Finds contradictions in an opening image: between its rows, and between a row and what the current rules would have
 * written. The opening calls it; any finding fails the opening of that session.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import type { InputId } from "../domain/Ids.js"
import { kindOf } from "../domain/Input.js"
import type { InputRecord } from "../domain/InputRecord.js"
import type { InputSemantics } from "../domain/Policy.js"
import type { CorruptRow, RuntimeImage } from "../domain/RuntimeCommit.js"
import { SessionToolVisibilityState } from "../domain/ToolVisibility.js"
import { semanticsFor } from "./policy.js"
import { silentIntentsSlice } from "./rows/lifecycle.js"
import { objections, visibilitySlice } from "./toolVisibility.js"

/** A contradiction and the row that shows it. @since 0.1.0 @category models */
export interface ImageCorruption {
  readonly table: string
  readonly key: string
  readonly reason: string
}

/** Returns the first contradiction of an image, or null. @since 0.1.0 @category opening */
export const imageCorruption = (image: RuntimeImage): ImageCorruption | null =>
  unreadable(image.corrupt) ?? leftOpen(image) ?? inputsCorruption(image) ?? slicesCorruption(image)

// --- internal ---

const input = (key: InputId, reason: string): ImageCorruption => ({ table: "input", key, reason })

const unreadable = ([row]: ReadonlyArray<CorruptRow>): ImageCorruption | null =>
  row === undefined ? null : { table: row.table, key: row.key, reason: row.detail }

/** The commit that stops or destroys a session ends every input. */
const leftOpen = ({ inputs, lifecycle, runtimeId }: RuntimeImage): ImageCorruption | null =>
  (lifecycle === "stopped" || lifecycle === "destroyed") && inputs.length > 0
    ? { table: "runtime", key: runtimeId, reason: `it is ${lifecycle}, but has ${inputs.length} open inputs` }
    : null

const inputsCorruption = ({ inputs, nextAdmissionSeq }: RuntimeImage): ImageCorruption | null => {
  const seqs = new Map<number, InputId>()
  const keys = new Map<string, InputId>()
  for (const record of inputs) {
    const { admissionSeq, idempotencyKey, inputId } = record
    const reason = objection(record) ??
      taken(seqs, admissionSeq, "admission sequence") ??
      (admissionSeq < nextAdmissionSeq ? null : `its admission sequence ${admissionSeq} was never handed out`) ??
      (idempotencyKey === undefined ? null : taken(keys, idempotencyKey, "idempotency key"))
    if (reason !== null) return input(inputId, reason)
    seqs.set(admissionSeq, inputId)
    if (idempotencyKey !== undefined) keys.set(idempotencyKey, inputId)
  }
  return null
}

const taken = <K>(owners: ReadonlyMap<K, InputId>, key: K, what: string): string | null => {
  const owner = owners.get(key)
  return owner === undefined ? null : `its ${what} is also that of ${owner}`
}

const objection = (record: InputRecord): string | null => {
  const { header } = record.input
  if (header.id !== record.inputId) return `its content is that of input ${header.id}`
  if (kindOf(record.input) !== record.kind) {
    return `it is a ${record.kind}, but its content is a ${kindOf(record.input)}`
  }
  if (header.durability !== record.durability) return "its durability is not that of its content"
  if (header.idempotencyKey !== record.idempotencyKey) return "its idempotency key is not that of its content"
  // an input with the routing `drop` is consumed in the commit that accepts it, so it is never open
  if (record.policy.routing === "drop") return "its policy puts it into no lane, but it is open"
  return sameSemantics(record.semantics, semanticsFor(record.policy, record.kind))
    ? null
    : "its semantics are not those of its policy and kind"
}

const sameSemantics = (a: InputSemantics, b: InputSemantics): boolean =>
  a.boundary === b.boundary && a.executionKind === b.executionKind && a.terminalIntent === b.terminalIntent

const slicesCorruption = ({ slices }: RuntimeImage): ImageCorruption | null =>
  intentsCorruption(slices) ?? visibilityCorruption(slices)

const intentsCorruption = (slices: RuntimeImage["slices"]): ImageCorruption | null => {
  const silent = slices.find(({ name }) => name === silentIntentsSlice)?.value ?? []
  return Array.isArray(silent) && silent.every((intent) => typeof intent === "string")
    ? null
    : { table: "slice", key: silentIntentsSlice, reason: "it is not a list of intents" }
}

const isVisibility = Schema.is(SessionToolVisibilityState)

/** An unreadable document is an error: treating it as absent would show hidden tools again. */
const visibilityCorruption = (slices: RuntimeImage["slices"]): ImageCorruption | null => {
  const stored = slices.find(({ name }) => name === visibilitySlice)
  if (stored === undefined) return null
  const [reason] = isVisibility(stored.value) ? objections(stored.value) : ["it is not a tool visibility"]
  return reason === undefined ? null : { table: "slice", key: visibilitySlice, reason }
}
