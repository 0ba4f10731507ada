/**
 * The drain of one session: its slot, the owner of the inbox, the task that drains it, and every fiber started for it.
 *
 * One `SynchronizedRef` holds all four, so they agree at every moment. Its permit covers the step in which an ingress update
 * decides and spawns a task; the task itself never runs under the permit. Everything else (the task's own end, a teardown,
 * the observer of a fiber) reads without the permit and writes in one synchronous step.
 *
 * Callers: the comms surface, the drain task, stop, destroy, teardown and the snapshot.
 *
 * Invariant: a task whose id is not the current one feeds nothing and reports nothing.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { CommsRuntime } from "../../services/CommsRuntime.js"
import { initial } from "../../src/domain/DrainSlot.js"
import type { DrainEvent } from "../../src/kernel/drain.js"
import { step } from "../../src/kernel/drain.js"
import { Cell, SynchronizedCell } from "./cell.js"
import type { Entry } from "./entry.js"
import * as Entries from "./entry.js"
import type { DrainCell, DrainFacts } from "./entryParts.js"
import type { AnyFiber, EndDeps } from "./joining.js"
import * as Joining from "./joining.js"
import type { Transition } from "./transitions.js"

export type { DrainCell, DrainFacts } from "./entryParts.js"

const unused: DrainFacts = { ...initial, task: null, tasks: 0, fibers: new Set() }

/** The drain of a session, made at its first use. */
export const of = (entry: Entry): DrainCell => {
  const known = entry.rare.unsafeGet().drain
  if (known !== null) return known
  const drain: DrainCell = new SynchronizedCell(unused)
  Entries.update(entry, () => ({ drain }))
  return drain
}

/** What is known of the drain; reading it makes nothing. */
export const factsOf = (entry: Entry): DrainFacts => entry.rare.unsafeGet().drain?.unsafeGet() ?? unused

/** Names of runtimes. Runtimes are told apart by identity; the names are for people. */
export type NameOf = (runtime: CommsRuntime) => string

export const makeNames = (): NameOf => {
  const names = new WeakMap<CommsRuntime, string>()
  const last = new Cell(0)
  return (runtime) => {
    const known = names.get(runtime)
    if (known !== undefined) return known
    const name = `comms:${last.unsafeModify((n) => [n + 1, n + 1])}`
    names.set(runtime, name)
    return name
  }
}

// --- transitions ---

/** Moves the slot. A transition that does not exist changes nothing and answers false. */
export const fire = (event: DrainEvent): Transition<DrainFacts, boolean> => (facts) =>
  Either.match(step(facts.slot, event), {
    onLeft: () => [false, facts],
    onRight: (slot) => [true, { ...facts, slot }]
  })

/** Moves the slot and forgets the task. Answers false, and keeps the task, when the slot does not move. */
export const vacate = (event: DrainEvent): Transition<DrainFacts, boolean> => (facts) => {
  const [moved, next] = fire(event)(facts)
  return moved ? [true, { ...next, task: null }] : [false, facts]
}

/** Vacates the slot and answers every fiber that was started for the drain. */
export const release = (event: DrainEvent): Transition<DrainFacts, ReadonlyArray<AnyFiber>> => (facts) => {
  const [, next] = vacate(event)(facts)
  return [Array.from(next.fibers), next]
}

const add = (fiber: AnyFiber): Transition<DrainFacts, void> => (facts) => [
  undefined,
  { ...facts, fibers: new Set(facts.fibers).add(fiber) }
]

/** Answers whether the fiber was there. */
const drop = (fiber: AnyFiber): Transition<DrainFacts, boolean> => (facts) => {
  if (!facts.fibers.has(fiber)) return [false, facts]
  const fibers = new Set(facts.fibers)
  fibers.delete(fiber)
  return [true, { ...facts, fibers }]
}

// --- fibers ---

/** Forgets a fiber when it ends. */
export const dropAtEnd = (drain: DrainCell, fiber: AnyFiber): void =>
  fiber.addObserver(() => drain.unsafeModify(drop(fiber)))

/** Keeps a fiber until it ends: the end of the drain interrupts and joins it, and so does the next task. */
export const keep = <F extends AnyFiber>(drain: DrainCell, fiber: F): F => {
  drain.unsafeModify(add(fiber))
  dropAtEnd(drain, fiber)
  return fiber
}

/** Waits for fibers of some drains. A fiber that is left behind is counted once, and later ends do not wait for it. */
export const joined = (
  deps: EndDeps,
  drains: ReadonlyArray<DrainCell>,
  some: ReadonlyArray<AnyFiber>
): Effect.Effect<boolean> =>
  Joining.joined(deps, some, (fiber) => drains.some((drain) => drain.unsafeModify(drop(fiber))))

/**
 * Vacates the slot, so that the ended task reports nothing, and interrupts what was started for it. Returns the fibers to
 * wait for. Takes no permit.
 */
export const interrupt = (drain: DrainCell, event: DrainEvent): ReadonlyArray<AnyFiber> => {
  const fibers = drain.unsafeModify(release(event))
  Joining.interruptAll(fibers)
  return fibers
}

/** Ends the task and joins it; false when a fiber was left behind. `wait: false` only begins the end. */
export const end = (
  deps: EndDeps,
  entry: Entry,
  event: DrainEvent,
  options: { readonly wait: boolean } = { wait: true }
): Effect.Effect<boolean> =>
  Effect.suspend(() => {
    const { drain } = entry.rare.unsafeGet()
    if (drain === null) return Effect.succeed(true)
    const fibers = interrupt(drain, event)
    return options.wait ? joined(deps, [drain], fibers) : Effect.succeed(true)
  }).pipe(Effect.uninterruptible)
