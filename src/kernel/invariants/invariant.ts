/**
 * The shape of an invariant, and the helper that its checks are written with.
 *
 * @since 0.1.0
 */
import type { SessionState } from "../../domain/SessionState.js"

/** A condition on a state. `id` is its number in the published catalogue. @since 0.1.0 @category models */
export interface Invariant {
  readonly id: string
  /** the condition, in words */
  readonly says: string
  /** lists the contradictions; empty in a sound state */
  readonly check: (state: SessionState) => ReadonlyArray<string>
}

/** Returns the detail if the condition is broken, else nothing. @since 0.1.0 @category constructors */
export const when = (broken: boolean, detail: string): ReadonlyArray<string> => broken ? [detail] : []
