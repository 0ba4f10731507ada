/**
 * The soft facts that a state owes the store, one by one: what is too much for one commit is written in parts.
 *
 * @since 0.1.0
 */
import type { Dirty, SessionState } from "../domain/SessionState.js"

/** Of a state that owes nothing. @since 0.1.0 @category models */
export const clean: Dirty = { inputs: [], operations: [], dropOperations: [], cursors: false }

/** @since 0.1.0 @category guards */
export const isDirty = ({ dirty }: SessionState): boolean =>
  dirty.cursors || dirty.inputs.length > 0 || dirty.operations.length > 0 || dirty.dropOperations.length > 0

/** The facts one by one; those that weigh nothing are one. @since 0.1.0 @category accessors */
export const single = ({ cursors, dropOperations, inputs, operations }: Dirty): ReadonlyArray<Dirty> => [
  ...inputs.map((id): Dirty => ({ ...clean, inputs: [id] })),
  ...operations.map((id): Dirty => ({ ...clean, operations: [id] })),
  ...(cursors || dropOperations.length > 0 ? [{ ...clean, cursors, dropOperations }] : [])
]

/** @since 0.1.0 @category combinators */
export const together = (facts: ReadonlyArray<Dirty>): Dirty => ({
  inputs: facts.flatMap(({ inputs }) => inputs),
  operations: facts.flatMap(({ operations }) => operations),
  dropOperations: facts.flatMap(({ dropOperations }) => dropOperations),
  cursors: facts.some(({ cursors }) => cursors)
})

/** The state that does not owe these any more. @since 0.1.0 @category combinators */
export const without = (state: SessionState, facts: Dirty): SessionState => {
  const { cursors, dropOperations, inputs, operations } = state.dirty
  return {
    ...state,
    dirty: {
      inputs: inputs.filter((id) => !facts.inputs.includes(id)),
      operations: operations.filter((id) => !facts.operations.includes(id)),
      dropOperations: dropOperations.filter((id) => !facts.dropOperations.includes(id)),
      cursors: cursors && !facts.cursors
    }
  }
}
