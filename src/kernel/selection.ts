/**
 * Selects the inputs of the next turn (D10, D12, D13, D15). The loop and the staging command call it.
 *
 * An input *drives* if its presence makes the loop run a batch; it *rides along* if it only joins one. The *lead* of a
 * batch is its first driving member; *riders* are members that do not drive. Invariants: a selection is pure, and a batch
 * has at most one prompt from the queue lane, as its last member.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import * as Iterable from "effect/Iterable"
import type { InputRecord } from "../domain/InputRecord.js"
import type { InputSemantics, Lane } from "../domain/Policy.js"
import type { Clearance } from "../domain/RuntimeState.js"
import type { SessionState } from "../domain/SessionState.js"
import * as Ledger from "./Ledger.js"
import * as Metadata from "./metadata.js"
import type { CrashLimits } from "./suspicion.js"
import { isSuspect, mayRun } from "./suspicion.js"

/** Whether the session is retired: it accepts no inputs, and runs the remaining ones. @since 0.1.0 @category guards */
export const isRetired = ({ lifecycle }: SessionState): boolean =>
  lifecycle._tag === "Retired" || (lifecycle._tag === "Running" && lifecycle.returnTo === "Retired")

/** Whether the input makes the loop run a batch. In a retired session every input does. @since 0.1.0 @category guards */
export const drives = (record: Pick<InputRecord, "hold" | "kind">, retired: boolean): boolean =>
  retired || Ledger.drives(record)

/** Whether the input may be selected now; false while it waits for its retry. @since 0.1.0 @category guards */
export const isVisible = (record: InputRecord, now: number): boolean =>
  record.notBefore === undefined || record.notBefore <= now

/**
 * Returns the members that a failure of the batch is charged to: the driving ones (D10). If no member drives, the last one
 * is charged: a held prompt that runs without a driving input could otherwise fail without end.
 *
 * @since 0.1.0
 * @category accessors
 */
export const charged = (batch: ReadonlyArray<InputRecord>, retired: boolean): ReadonlyArray<InputRecord> => {
  const driving = batch.filter((record) => drives(record, retired))
  return driving.length > 0 ? driving : batch.slice(-1)
}

/**
 * Returns the member whose boundary and execution kind the batch has: the first driving one. If no member drives, it is
 * the last: a held prompt that runs without a driving input, or a member of a drained batch, whose members are alike.
 *
 * @since 0.1.0
 * @category accessors
 */
export const lead = (batch: ReadonlyArray<InputRecord>): InputRecord | undefined =>
  batch.find((record) => drives(record, false)) ?? batch[batch.length - 1]

/**
 * Returns the next batch; empty if no visible input drives.
 *
 * If a steer input drives, the batch is the prefix of the steer lane with the boundary, execution kind and terminal intent
 * of its lead. Otherwise the batch comes from the queue lane, after the visible inputs of the steer lane. There a prompt
 * is always the last member. Riders join any lead. Selection stops before a driving member that differs from the lead,
 * that must be retried alone, or whose metadata conflicts.
 *
 * Inputs that need more than `clearance` are passed over and keep their place, like inputs that wait for a retry. A suspect
 * is the only member of its batch: a rider could cause the crash and would not be charged. So a suspect never rides along.
 *
 * Selection reads the lanes only up to the end of the batch.
 *
 * @since 0.1.0
 * @category accessors
 */
export const selectBatch = (
  state: SessionState,
  now: number,
  limits: CrashLimits,
  clearance: Clearance
): ReadonlyArray<InputRecord> => {
  const retired = isRetired(state)
  if (!retired && state.ledger.driving === 0) return []
  const rules: Rules = { now, retired, limits, clearance }
  const steer = opening(visible(state, "steer", rules), retired)
  if (steer.lead !== undefined) {
    return batchOf(steer.riders, steer.lead, whileJoins(steer.lead, steer.rest, rules, sameTurn), limits)
  }
  const queue = opening(visible(state, "queue", rules), retired)
  if (queue.lead === undefined) {
    return []
  }
  const riders = [...steer.riders, ...queue.riders]
  const prompt = riders.findIndex(isPrompt)
  const held = riders[prompt]
  return held === undefined
    ? batchOf(riders, queue.lead, whileJoins(queue.lead, queue.rest, rules, sameQueueTurn), limits)
    // a batch has one prompt, at its end: so a held prompt ends the batch, and the inputs after it run later
    : batchOf(riders.slice(0, prompt), held, [], limits)
}

/**
 * Returns the epoch milliseconds of the earliest retry among the queued driving inputs that wait for one. Null if no such
 * input waits.
 *
 * @since 0.1.0
 * @category accessors
 */
export const nextReadyAt = (state: SessionState, now: number): number | null => {
  const retired = isRetired(state)
  if (!retired && state.ledger.driving === 0) return null
  let earliest: number | null = null
  for (const lane of lanes) {
    for (const record of Ledger.lazyLane(state.ledger, lane)) {
      const at = record.notBefore
      if (at !== undefined && at > now && drives(record, retired) && (earliest === null || at < earliest)) {
        earliest = at
      }
    }
  }
  return earliest
}

/** Whether the session is idle or attached and has no driving input in its queue, visible or not (D13). @since 0.1.0 @category guards */
export const isQuiescent = (state: SessionState): boolean =>
  (state.lifecycle._tag === "Idle" || state.lifecycle._tag === "Attached") && state.ledger.driving === 0

// --- internal ---

const lanes: ReadonlyArray<Lane> = ["steer", "queue"]

const isPrompt = (record: InputRecord): boolean => record.kind === "prompt"

/** The parameters of one selection. */
interface Rules {
  readonly now: number
  readonly retired: boolean
  readonly limits: CrashLimits
  readonly clearance: Clearance
}

const visible = (state: SessionState, lane: Lane, { clearance, limits, now }: Rules): Iterator<InputRecord> =>
  Iterable.filter(
    Ledger.lazyLane(state.ledger, lane),
    (record) => isVisible(record, now) && mayRun(record, limits, clearance)
  )[Symbol.iterator]()

/** The riders before the first driving input of a lane, that input, and the unread rest of the lane. */
interface Opening {
  readonly riders: ReadonlyArray<InputRecord>
  readonly lead: InputRecord | undefined
  readonly rest: Iterator<InputRecord>
}

const opening = (lane: Iterator<InputRecord>, retired: boolean): Opening => {
  const riders: Array<InputRecord> = []
  for (let item = lane.next(); item.done !== true; item = lane.next()) {
    if (drives(item.value, retired)) {
      return { riders, lead: item.value, rest: lane }
    }
    riders.push(item.value)
  }
  return { riders, lead: undefined, rest: lane }
}

/** Whether an input after the lead may join its batch. */
type Joins = (lead: InputRecord, next: InputRecord, driving: boolean) => boolean

const sameIntent = (a: InputSemantics, b: InputSemantics): boolean =>
  a.executionKind === b.executionKind && a.terminalIntent === b.terminalIntent

/** Steer lane: several prompts may share a turn. */
const sameTurn: Joins = ({ semantics }, next, driving) =>
  !driving || (sameIntent(semantics, next.semantics) && semantics.boundary === next.semantics.boundary)

/** Queue lane: every input in it runs at the start of a turn, so boundaries are not compared. */
const sameQueueTurn: Joins = (lead, next, driving) =>
  !isPrompt(lead) && !isPrompt(next) && (!driving || sameIntent(lead.semantics, next.semantics))

function* whileJoins(
  lead: InputRecord,
  rest: Iterator<InputRecord>,
  { limits, retired }: Rules,
  joins: Joins
): Generator<InputRecord> {
  if (lead.solo) {
    return
  }
  for (let item = rest.next(); item.done !== true; item = rest.next()) {
    const driving = drives(item.value, retired)
    if ((driving && item.value.solo) || isSuspect(item.value, limits) || !joins(lead, item.value, driving)) {
      return
    }
    yield item.value
  }
}

/**
 * Builds a batch around `first`, which decides the metadata. A rider before it with conflicting metadata waits for another
 * batch, because it must not delay driving inputs. After `first`, the first conflict ends the batch.
 */
const batchOf = (
  riders: Iterable<InputRecord>,
  first: InputRecord,
  followers: Iterable<InputRecord>,
  limits: CrashLimits
): ReadonlyArray<InputRecord> => {
  if (isSuspect(first, limits)) return [first]
  const batch: Array<InputRecord> = []
  let metadata = Metadata.memberMetadata(first)
  for (const rider of riders) {
    if (isSuspect(rider, limits)) continue
    const merged = Metadata.merge(metadata, Metadata.memberMetadata(rider))
    if (Either.isRight(merged)) {
      metadata = merged.right
      batch.push(rider)
    }
  }
  batch.push(first)
  for (const follower of followers) {
    const merged = Metadata.merge(metadata, Metadata.memberMetadata(follower))
    if (Either.isLeft(merged)) {
      break
    }
    metadata = merged.right
    batch.push(follower)
  }
  return batch
}
