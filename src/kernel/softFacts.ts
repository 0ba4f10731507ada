/**
 * Splits and joins deferred writes, so that the authority can write them in parts when one commit cannot hold them. The
 * code calls deferred writes "soft facts".
 *
 * @since 0.1.0
 */
import type { Dirty, SessionState } from "../domain/SessionState.js"

/** No deferred writes. @since 0.1.0 @category models */
export const clean: Dirty = { inputs: [], operations: [], dropOperations: [], cursors: false }

/** True if the state has deferred writes. @since 0.1.0 @category guards */
export const isDirty = ({ dirty }: SessionState): boolean =>
  dirty.cursors || dirty.inputs.length > 0 || dirty.operations.length > 0 || dirty.dropOperations.length > 0

/**
 * Splits deferred writes into single ones; cursors and dropped rows, which are small, stay together.
 *
 * @since 0.1.0
 * @category accessors
 */
export const single = ({ cursors, dropOperations, inputs, operations }: Dirty): ReadonlyArray<Dirty> => [
  ...inputs.map((id): Dirty => ({ ...clean, inputs: [id] })),
  ...operations.map((id): Dirty => ({ ...clean, operations: [id] })),
  ...(cursors || dropOperations.length > 0 ? [{ ...clean, cursors, dropOperations }] : [])
]

/** Joins deferred writes. @since 0.1.0 @category combinators */
export const together = (facts: ReadonlyArray<Dirty>): Dirty => ({
  inputs: facts.flatMap(({ inputs }) => inputs),
  operations: facts.flatMap(({ operations }) => operations),
  dropOperations: facts.flatMap(({ dropOperations }) => dropOperations),
  cursors: facts.some(({ cursors }) => cursors)
})

/** Returns the state without these deferred writes. @since 0.1.0 @category combinators */
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
