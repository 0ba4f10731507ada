/**
 * What an invariant is.
 *
 * @since 0.1.0
 */
import type { SessionState } from "../../domain/SessionState.js"

/** A condition of one state. `id` is that of the published catalogue. @since 0.1.0 @category models */
export interface Invariant {
  readonly id: string
  /** the condition, in words */
  readonly says: string
  /** what contradicts it; nothing in a sound state */
  readonly check: (state: SessionState) => ReadonlyArray<string>
}

/** The detail, if it is broken. @since 0.1.0 @category constructors */
export const when = (broken: boolean, detail: string): ReadonlyArray<string> => broken ? [detail] : []
