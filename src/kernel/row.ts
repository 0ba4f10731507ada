/**
 * What a row of the transition table is: data about one change, and the pure functions that make it.
 *
 * @since 0.1.0
 */
import type { Emit } from "../domain/Command.js"
import type { InputId } from "../domain/Ids.js"
import type { Lifecycle, Registration } from "../domain/RuntimeState.js"
import type { SessionState } from "../domain/SessionState.js"
import * as Ledger from "./Ledger.js"

/** The part of a session that a row changes; its phase is what `from` and `to` speak of. @since 0.1.0 @category models */
export type Slice = "lifecycle" | "registration" | "run" | "input"

/** Phases of one input. Terminal ones have left the ledger, so only `to` names them. @since 0.1.0 @category models */
export type InputPhase = "absent" | "queued" | "staged" | "consumed" | "superseded" | "coalesced" | "abandoned"

/** What can be said of a row without running it: enough for the generated tables and diagrams. @since 0.1.0 @category models */
export interface RowFacts {
  readonly id: string
  readonly slice: Slice
  readonly from: ReadonlyArray<string>
  /** where it can lead; empty when the phase stays as it is */
  readonly to: ReadonlyArray<string>
  readonly guards: Readonly<Record<string, unknown>>
}

/** A named condition. @since 0.1.0 @category models */
export type Guard<in P> = (state: SessionState, payload: P) => boolean

/** One row. Of the rows for a trigger the first fires whose `from` and guards all hold. @since 0.1.0 @category models */
export interface Row<in P> extends RowFacts {
  readonly guards: Readonly<Record<string, Guard<P>>>
  readonly phase: (state: SessionState, payload: P) => string
  readonly update: (state: SessionState, payload: P) => SessionState
  readonly emit: (next: SessionState, payload: P, previous: SessionState) => ReadonlyArray<Emit>
}

/** The rows of each trigger, in the order in which they are tried. @since 0.1.0 @category models */
export type Table<T> = { readonly [K in keyof T]: ReadonlyArray<Row<T[K]>> }

/** What a row is written as. @since 0.1.0 @category models */
export interface RowSpec<in P, Phase extends string, To extends string = Phase> {
  readonly from: ReadonlyArray<Phase>
  readonly to?: ReadonlyArray<To>
  readonly guards?: Readonly<Record<string, Guard<P>>>
  readonly update?: (state: SessionState, payload: P) => SessionState
  readonly emit?: (next: SessionState, payload: P, previous: SessionState) => ReadonlyArray<Emit>
}

/** A row whose phase is the lifecycle. @since 0.1.0 @category constructors */
export const lifecycleRow = <P>(id: string, spec: RowSpec<P, Lifecycle["_tag"]>): Row<P> =>
  make(`lifecycle.${id}`, "lifecycle", (state) => state.lifecycle._tag, spec)

/** A row that begins, ends or marks a run; its phase is the lifecycle too. @since 0.1.0 @category constructors */
export const runRow = <P>(id: string, spec: RowSpec<P, Lifecycle["_tag"]>): Row<P> =>
  make(`run.${id}`, "run", (state) => state.lifecycle._tag, spec)

/** A row whose phase is the registration. @since 0.1.0 @category constructors */
export const registrationRow = <P>(id: string, spec: RowSpec<P, Registration["_tag"]>): Row<P> =>
  make(`registration.${id}`, "registration", (state) => state.registration._tag, spec)

/** A row about one input. @since 0.1.0 @category constructors */
export const inputRow = <P extends { readonly inputId: InputId }>(
  id: string,
  spec: RowSpec<P, "absent" | "queued" | "staged", InputPhase>
): Row<P> =>
  make(`input.${id}`, "input", (state, { inputId }) => Ledger.get(state.ledger, inputId)?.status.type ?? "absent", spec)

// --- internal ---

const same = (state: SessionState): SessionState => state

const silent = (): ReadonlyArray<Emit> => []

const make = <P>(
  id: string,
  slice: Slice,
  phase: (state: SessionState, payload: P) => string,
  spec: RowSpec<P, string>
): Row<P> => ({
  id,
  slice,
  from: spec.from,
  to: spec.to ?? [],
  guards: spec.guards ?? {},
  phase,
  update: spec.update ?? same,
  emit: spec.emit ?? silent
})
