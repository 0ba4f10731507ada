/**
 * Which inputs the next turn takes (D10, D12, D13, D15).
 *
 * An input *drives* when its presence makes the loop run a batch, and *rides along* when it only joins one. The words of
 * this module: the *lead* of a batch is its first driving member, *riders* are members that do not drive.
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

/** Whether the session drains: nothing new is accepted, and whatever is left runs. @since 0.1.0 @category guards */
export const isRetired = ({ lifecycle }: SessionState): boolean =>
  lifecycle._tag === "Retired" || (lifecycle._tag === "Running" && lifecycle.returnTo === "Retired")

/** Whether the input makes the loop run a batch. In a retired session everything does. @since 0.1.0 @category guards */
export const drives = (record: Pick<InputRecord, "hold" | "kind">, retired: boolean): boolean =>
  retired || Ledger.drives(record)

/** Whether the input may be selected at this time; one that waits for its retry may not. @since 0.1.0 @category guards */
export const isVisible = (record: InputRecord, now: number): boolean =>
  record.notBefore === undefined || record.notBefore <= now

/**
 * The members that a failure of the batch is charged to (D10): the driving ones. A held prompt that runs by itself has
 * none beside it, so it is charged itself; else it could fail for ever.
 *
 * @since 0.1.0
 * @category accessors
 */
export const charged = (batch: ReadonlyArray<InputRecord>, retired: boolean): ReadonlyArray<InputRecord> => {
  const driving = batch.filter((record) => drives(record, retired))
  return driving.length > 0 ? driving : batch.slice(-1)
}

/**
 * The member whose boundary and execution kind the batch has: the first driving one. Where none drives it is the last:
 * a held prompt that runs by itself, or any member of a drained batch, which are alike.
 *
 * @since 0.1.0
 * @category accessors
 */
export const lead = (batch: ReadonlyArray<InputRecord>): InputRecord | undefined =>
  batch.find((record) => drives(record, false)) ?? batch[batch.length - 1]

/**
 * The next batch, or nothing when no visible input drives.
 *
 * If a steer input drives, the batch is the prefix of the steer lane that agrees with its lead in boundary, execution
 * kind and terminal intent. Else it is taken from the queue lane, with what waits in the steer lane in front of it; there
 * a prompt is always the last member. Riders join whatever the lead is; before a driving member that differs, that is to
 * be retried alone, or whose metadata would conflict, selection stops.
 *
 * Inputs that need more than `clearance` are passed over and keep their place, as one that waits for its retry. A suspect
 * is the only member of its batch: a rider could be the culprit, and would not be charged. So no suspect rides, either.
 *
 * The lanes are read only as far as the batch reaches.
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
    // a prompt shares its batch with no prompt and is its last member: a held one runs before what stands behind it
    : batchOf(riders.slice(0, prompt), held, [], limits)
}

/**
 * Epoch milliseconds of the earliest retry among queued inputs that would drive but are not visible yet; null when no
 * time has to pass for anything.
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

/** Idle or attached, and no driving input queued, be it visible or not (D13). @since 0.1.0 @category guards */
export const isQuiescent = (state: SessionState): boolean =>
  (state.lifecycle._tag === "Idle" || state.lifecycle._tag === "Attached") && state.ledger.driving === 0

// --- internal ---

const lanes: ReadonlyArray<Lane> = ["steer", "queue"]

const isPrompt = (record: InputRecord): boolean => record.kind === "prompt"

/** What one selection goes by. */
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

/** What stands in front of the first driving input of a lane, that input, and what follows it, not read yet. */
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

/** Whether a member that follows the lead may be in its batch. */
type Joins = (lead: InputRecord, next: InputRecord, driving: boolean) => boolean

const sameIntent = (a: InputSemantics, b: InputSemantics): boolean =>
  a.executionKind === b.executionKind && a.terminalIntent === b.terminalIntent

/** Steer lane: several prompts may share a turn. */
const sameTurn: Joins = ({ semantics }, next, driving) =>
  !driving || (sameIntent(semantics, next.semantics) && semantics.boundary === next.semantics.boundary)

/** Queue lane: everything in it runs at the start of a turn, so boundaries are not compared. */
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
 * The lead decides the metadata: a rider in front of it that would conflict waits for a batch it fits, since it must not
 * hold up what drives. Behind the lead, the first conflict ends the batch.
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
