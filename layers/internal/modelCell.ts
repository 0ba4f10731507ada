/** @since 0.1.0 */
import * as Effect from "effect/Effect"
import type { SessionLlmCapabilitySurface, SessionLlmIdentity } from "../../src/domain/LlmIdentity.js"
import type { AnyFiber, EndDeps } from "./joining.js"
import { ended } from "./joining.js"

/** What is known of a session's model; null is not known. */
export interface ModelFacts {
  readonly identity: SessionLlmIdentity | null
  readonly surface: SessionLlmCapabilitySurface | null
}

/** The model of one session, and the changes of it that are under way or wait for their turn. */
export interface ModelCell {
  facts: ModelFacts
  readonly changes: Set<AnyFiber>
}

export const unresolved: ModelFacts = { identity: null, surface: null }

export const make = (): ModelCell => ({ facts: unresolved, changes: new Set() })

/** Ends what is under way: undone or completed, at most `teardownTimeout` later; false when one was left behind. */
export const end = (deps: EndDeps, cell: ModelCell | null): Effect.Effect<boolean> =>
  Effect.suspend(() => ended(deps, cell === null ? [] : Array.from(cell.changes)))
