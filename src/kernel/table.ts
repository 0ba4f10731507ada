/**
 * The transition table of a session and the only functions that apply it. Commands fire triggers on a fold; the first
 * row whose phase and guards hold fires.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import type { Decision, Emit, Rejection } from "../domain/Command.js"
import { visible } from "../domain/RuntimeState.js"
import type { SessionState } from "../domain/SessionState.js"
import type { Row, RowFacts, Table } from "./row.js"
import type { InputTriggers } from "./rows/input.js"
import { inputRows } from "./rows/input.js"
import type { LifecycleTriggers } from "./rows/lifecycle.js"
import { lifecycleRows } from "./rows/lifecycle.js"
import type { RegistrationTriggers } from "./rows/registration.js"
import { registrationRows } from "./rows/registration.js"
import type { RunTriggers } from "./rows/run.js"
import { runRows } from "./rows/run.js"

/** All triggers and their payloads. @since 0.1.0 @category models */
export interface Triggers extends LifecycleTriggers, RegistrationTriggers, RunTriggers, InputTriggers {}

/** The rows of all slices. @since 0.1.0 @category rows */
export const table: Table<Triggers> = { ...lifecycleRows, ...registrationRows, ...runRows, ...inputRows }

/** A row with its trigger. @since 0.1.0 @category models */
export interface ListedRow extends RowFacts {
  readonly on: string
}

/** Every row in order, as data: tables, diagrams and coverage are made from it. @since 0.1.0 @category rows */
export const rows: ReadonlyArray<ListedRow> = Object.entries<ReadonlyArray<RowFacts>>({ ...table }).flatMap(
  ([on, candidates]) => candidates.map(({ from, guards, id, slice, to }) => ({ id, slice, from, to, guards, on }))
)

/** A command in progress: the state and the emits so far. @since 0.1.0 @category models */
export interface Fold {
  readonly command: string
  readonly before: SessionState
  readonly state: SessionState
  readonly emits: ReadonlyArray<Emit>
  /** ids of the rows that fired */
  readonly rows: ReadonlyArray<string>
}

/** The fold after a step, or the rejection. @since 0.1.0 @category models */
export type Step = Either.Either<Fold, Rejection>

/** Begins the fold of a command. @since 0.1.0 @category constructors */
export const begin = (command: string, state: SessionState): Fold => ({
  command,
  before: state,
  state,
  emits: [],
  rows: []
})

/**
 * Applies the first row of a trigger whose phase and guards hold. If no row matches, the state does not change and the
 * rejection lists every failed guard of the rows of this phase.
 *
 * @since 0.1.0
 * @category combinators
 */
export const fire = <K extends keyof Triggers>(fold: Fold, on: K, payload: Triggers[K]): Step =>
  fireEach(fold, on, [payload])

/** Fires the same trigger for each payload, in order; one refusal refuses all. @since 0.1.0 @category combinators */
export const fireEach = <K extends keyof Triggers>(
  fold: Fold,
  on: K,
  payloads: ReadonlyArray<Triggers[K]>
): Step => applyAll(fold, table[on], payloads)

/** Fires a trigger on the result of a step; a rejection passes through. @since 0.1.0 @category combinators */
export const thenFire = <K extends keyof Triggers>(step: Step, on: K, payload: Triggers[K]): Step =>
  Either.flatMap(step, (fold) => fire(fold, on, payload))

/** Makes the decision of a fold; a change of the visible state adds an event. @since 0.1.0 @category accessors */
export const answer = <A>(fold: Fold, reply: A): Decision<A> => {
  const from = visible(fold.before.lifecycle)
  const to = visible(fold.state.lifecycle)
  const emits: ReadonlyArray<Emit> = from === to
    ? fold.emits
    : [...fold.emits, { _tag: "Event", event: { _tag: "StateChanged", from, to } }]
  return { state: fold.state, emits, reply, rows: fold.rows }
}

/** Adds the state and emits of a decision that another part of the kernel made. @since 0.1.0 @category combinators */
export const absorb = (
  fold: Fold,
  { emits, state }: { readonly state: SessionState; readonly emits: ReadonlyArray<Emit> }
): Fold => ({ ...fold, state, emits: emits.length === 0 ? fold.emits : [...fold.emits, ...emits] })

/** Adds emits that no table row produces. @since 0.1.0 @category combinators */
export const also = (fold: Fold, ...emits: ReadonlyArray<Emit>): Fold => absorb(fold, { state: fold.state, emits })

/** Makes a rejection for a condition outside the guards of the rows. @since 0.1.0 @category constructors */
export const refuse = (fold: Fold, ...failed: ReadonlyArray<string>): Rejection => ({
  _tag: "GuardRejected",
  command: fold.command,
  state: visible(fold.state.lifecycle),
  failed
})

// --- internal ---

const applyAll = <P>(fold: Fold, candidates: ReadonlyArray<Row<P>>, payloads: ReadonlyArray<P>): Step => {
  let state = fold.state
  const emits = [...fold.emits]
  const fired = [...fold.rows]
  for (const payload of payloads) {
    const row = candidates.find((candidate) => fits(candidate, state, payload))
    if (row === undefined) {
      return Either.left(rejection({ ...fold, state }, candidates, payload))
    }
    const next = row.update(state, payload)
    for (const emit of row.emit(next, payload, state)) emits.push(emit)
    fired.push(row.id)
    state = next
  }
  return Either.right({ ...fold, state, emits, rows: fired })
}

const fits = <P>(row: Row<P>, state: SessionState, payload: P): boolean =>
  row.from.includes(row.phase(state, payload)) && failedGuards(row, state, payload).length === 0

const failedGuards = <P>(row: Row<P>, state: SessionState, payload: P): ReadonlyArray<string> =>
  Object.entries(row.guards).flatMap(([name, guard]) => guard(state, payload) ? [] : [name])

const rejection = <P>(fold: Fold, candidates: ReadonlyArray<Row<P>>, payload: P): Rejection => {
  const first = candidates[0]
  const phase = first?.phase(fold.state, payload) ?? ""
  const ofPhase = candidates.filter((row) => row.from.includes(phase))
  if (ofPhase.length > 0) {
    return refuse(fold, ...new Set(ofPhase.flatMap((row) => failedGuards(row, fold.state, payload))))
  }
  if (first?.slice === "input" || first?.slice === "registration") {
    return refuse(fold, `${first.slice}_is_${phase.toLowerCase()}`)
  }
  return phase === "Destroyed"
    ? { _tag: "TerminalPhase", command: fold.command }
    : { _tag: "NoTransition", command: fold.command, state: bare(fold.state) }
}

/** Calls a run of a retired session running, because the run is the reason of the refusal. */
const bare = ({ lifecycle }: SessionState) => lifecycle._tag === "Running" ? "running" : visible(lifecycle)
