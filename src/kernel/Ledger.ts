/**
 * The ledger of open inputs: its constructors, its reads and the only functions that write it. Commands and rows of the
 * kernel call it. Invariant: every index agrees with `inputs` after each call.
 *
 * @since 0.1.0
 */
import * as HashMap from "effect/HashMap"
import * as Option from "effect/Option"
import * as Order from "effect/Order"
import * as SortedMap from "effect/SortedMap"
import type { InputId } from "../domain/Ids.js"
import type { InputRecord } from "../domain/InputRecord.js"
import type { Lane } from "../domain/Policy.js"
import type { Ledger } from "../domain/SessionState.js"

/** All sessions share the empty indexes, so a session without inputs pays nothing for them. */
const noIds: SortedMap.SortedMap<number, InputId> = SortedMap.empty(Order.number)

const noInputs: HashMap.HashMap<InputId, InputRecord> = HashMap.empty()

const noKeys: HashMap.HashMap<string, InputId> = HashMap.empty()

/**
 * Makes a ledger without inputs. `imageSeq` is the first admission sequence that it assigns; lower sequences came from
 * the opening image.
 *
 * @since 0.1.0
 * @category constructors
 */
export const empty = (imageSeq = 0): Ledger => ({
  inputs: noInputs,
  queue: noIds,
  steer: noIds,
  staged: noIds,
  keys: noKeys,
  driving: 0,
  nextAdmissionSeq: imageSeq,
  imageSeq
})

/**
 * Makes the ledger of an opening image. A record at or above `nextSeq` raises it, so no sequence is assigned twice.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromRecords = (records: Iterable<InputRecord>, nextSeq: number): Ledger => {
  let ledger = empty(nextSeq)
  for (const record of records) {
    ledger = put(ledger, record)
  }
  return { ...ledger, imageSeq: ledger.nextAdmissionSeq }
}

/**
 * Inserts a record, or replaces the record with the same id, and updates every index. A staged record is in no lane.
 *
 * @since 0.1.0
 * @category combinators
 */
export const put = (ledger: Ledger, record: InputRecord): Ledger => {
  const bare = without(ledger, get(ledger, record.inputId), record)
  return {
    ...indexed(bare, record),
    inputs: HashMap.set(bare.inputs, record.inputId, record),
    keys: record.idempotencyKey === undefined
      ? bare.keys
      : HashMap.set(bare.keys, record.idempotencyKey, record.inputId),
    driving: bare.driving + weight(record),
    nextAdmissionSeq: Math.max(bare.nextAdmissionSeq, record.admissionSeq + 1)
  }
}

/** Removes a record and its index entries; an unknown id changes nothing. @since 0.1.0 @category combinators */
export const remove = (ledger: Ledger, id: InputId): Ledger => {
  const record = get(ledger, id)
  return record === undefined
    ? ledger
    : { ...without(ledger, record, undefined), inputs: HashMap.remove(ledger.inputs, id) }
}

/**
 * True if the input itself makes a loop begin a run, by its kind and hold mark (D12, D13).
 *
 * @since 0.1.0
 * @category guards
 */
export const drives = ({ hold, kind }: Pick<InputRecord, "hold" | "kind">): boolean =>
  !hold && kind !== "peer_response_progress"

/** Returns the open input with this id, if any. @since 0.1.0 @category accessors */
export const get = (ledger: Ledger, id: InputId): InputRecord | undefined =>
  Option.getOrUndefined(HashMap.get(ledger.inputs, id))

/** Returns the open input that owns this idempotency key, if any. @since 0.1.0 @category accessors */
export const ofKey = (ledger: Ledger, key: string): InputRecord | undefined => {
  const id = Option.getOrUndefined(HashMap.get(ledger.keys, key))
  return id === undefined ? undefined : get(ledger, id)
}

/**
 * The queued inputs of a lane in admission order; each is looked up when it is read.
 *
 * @since 0.1.0
 * @category accessors
 */
export const lazyLane = (ledger: Ledger, name: Lane): Iterable<InputRecord> => records(ledger, ledger[name])

/** The queued inputs of a lane in admission order. @since 0.1.0 @category accessors */
export const lane = (ledger: Ledger, name: Lane): ReadonlyArray<InputRecord> => Array.from(lazyLane(ledger, name))

/** The inputs that belong to the current run, in admission order. @since 0.1.0 @category accessors */
export const staged = (ledger: Ledger): ReadonlyArray<InputRecord> => Array.from(records(ledger, ledger.staged))

/** Every open input in admission order. @since 0.1.0 @category accessors */
export const all = (ledger: Ledger): ReadonlyArray<InputRecord> =>
  Array.from(HashMap.values(ledger.inputs)).sort((a, b) => a.admissionSeq - b.admissionSeq)

/** Number of open inputs. @since 0.1.0 @category accessors */
export const size = (ledger: Ledger): number => HashMap.size(ledger.inputs)

/** Number of queued inputs of a lane. @since 0.1.0 @category accessors */
export const laneSize = (ledger: Ledger, name: Lane): number => SortedMap.size(ledger[name])

/** The sequence that the next admitted input gets. @since 0.1.0 @category accessors */
export const nextSeq = (ledger: Ledger): number => ledger.nextAdmissionSeq

// --- internal ---

type Index = "queue" | "steer" | "staged"

const indexOf = (record: InputRecord): Index => record.status.type === "staged" ? "staged" : record.lane

/** How much a record adds to the count of driving inputs. Staged inputs add 0, because they run already. */
const weight = (record: InputRecord): number => record.status.type !== "staged" && drives(record) ? 1 : 0

const samePlace = (a: InputRecord, b: InputRecord): boolean =>
  indexOf(a) === indexOf(b) && a.admissionSeq === b.admissionSeq

const withIndex = (ledger: Ledger, name: Index, ids: SortedMap.SortedMap<number, InputId>): Ledger => {
  switch (name) {
    case "queue":
      return { ...ledger, queue: ids }
    case "steer":
      return { ...ledger, steer: ids }
    case "staged":
      return { ...ledger, staged: ids }
  }
}

const indexed = (ledger: Ledger, record: InputRecord): Ledger => {
  const name = indexOf(record)
  return SortedMap.has(ledger[name], record.admissionSeq)
    ? ledger
    : withIndex(ledger, name, SortedMap.set(ledger[name], record.admissionSeq, record.inputId))
}

/** Removes the index entries of `old`, except where `next` keeps the same place. */
const without = (ledger: Ledger, old: InputRecord | undefined, next: InputRecord | undefined): Ledger => {
  if (old === undefined) {
    return ledger
  }
  const key = old.idempotencyKey
  const keys = key === undefined || key === next?.idempotencyKey ? ledger.keys : HashMap.remove(ledger.keys, key)
  const driving = ledger.driving - weight(old)
  const name = indexOf(old)
  return next !== undefined && samePlace(old, next)
    ? { ...ledger, keys, driving }
    : withIndex({ ...ledger, keys, driving }, name, SortedMap.remove(ledger[name], old.admissionSeq))
}

function* records(ledger: Ledger, ids: SortedMap.SortedMap<number, InputId>): Generator<InputRecord> {
  for (const id of SortedMap.values(ids)) {
    const record = get(ledger, id)
    if (record !== undefined) {
      yield record
    }
  }
}
