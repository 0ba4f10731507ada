/**
 * The rows of the transition table: their type and the constructors for each slice. A row is data about one change,
 * with the pure functions that make it.
 *
 * @since 0.1.0
 */
import type { Emit } from "../domain/Command.js"
import type { InputId } from "../domain/Ids.js"
import type { Lifecycle, Registration } from "../domain/RuntimeState.js"
import type { SessionState } from "../domain/SessionState.js"
import * as Ledger from "./Ledger.js"

/** The part of a session that a row changes. `from` and `to` name its phases. @since 0.1.0 @category models */
export type Slice = "lifecycle" | "registration" | "run" | "input"

/** Phases of one input. Terminal phases have left the ledger, so only `to` names them. @since 0.1.0 @category models */
export type InputPhase = "absent" | "queued" | "staged" | "consumed" | "superseded" | "coalesced" | "abandoned"

/**
 * The facts of a row that are known without running it; tables and diagrams are generated from them.
 *
 * @since 0.1.0
 * @category models
 */
export interface RowFacts {
  readonly id: string
  readonly slice: Slice
  readonly from: ReadonlyArray<string>
  /** the phases that it can lead to; empty if the phase does not change */
  readonly to: ReadonlyArray<string>
  readonly guards: Readonly<Record<string, unknown>>
}

/** A named condition of a row. @since 0.1.0 @category models */
export type Guard<in P> = (state: SessionState, payload: P) => boolean

/** One row. The first row of a trigger whose `from` and guards hold fires. @since 0.1.0 @category models */
export interface Row<in P> extends RowFacts {
  readonly guards: Readonly<Record<string, Guard<P>>>
  readonly phase: (state: SessionState, payload: P) => string
  readonly update: (state: SessionState, payload: P) => SessionState
  readonly emit: (next: SessionState, payload: P, previous: SessionState) => ReadonlyArray<Emit>
}

/** The rows of each trigger, in the order of evaluation. @since 0.1.0 @category models */
export type Table<T> = { readonly [K in keyof T]: ReadonlyArray<Row<T[K]>> }

/** The specification that a row is made from. @since 0.1.0 @category models */
export interface RowSpec<in P, Phase extends string, To extends string = Phase> {
  readonly from: ReadonlyArray<Phase>
  readonly to?: ReadonlyArray<To>
  readonly guards?: Readonly<Record<string, Guard<P>>>
  readonly update?: (state: SessionState, payload: P) => SessionState
  readonly emit?: (next: SessionState, payload: P, previous: SessionState) => ReadonlyArray<Emit>
}

/** Makes a row whose phase is the lifecycle. @since 0.1.0 @category constructors */
export const lifecycleRow = <P>(id: string, spec: RowSpec<P, Lifecycle["_tag"]>): Row<P> =>
  make(`lifecycle.${id}`, "lifecycle", (state) => state.lifecycle._tag, spec)

/** Makes a row that begins, ends or marks a run; its phase is the lifecycle too. @since 0.1.0 @category constructors */
export const runRow = <P>(id: string, spec: RowSpec<P, Lifecycle["_tag"]>): Row<P> =>
  make(`run.${id}`, "run", (state) => state.lifecycle._tag, spec)

/** Makes a row whose phase is the registration. @since 0.1.0 @category constructors */
export const registrationRow = <P>(id: string, spec: RowSpec<P, Registration["_tag"]>): Row<P> =>
  make(`registration.${id}`, "registration", (state) => state.registration._tag, spec)

/** Makes a row about one input. @since 0.1.0 @category constructors */
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
