/**
 * Invariants of a session's tool visibility.
 *
 * @since 0.1.0
 */
import { counterOf, objections } from "../toolVisibility.js"
import type { Invariant } from "./invariant.js"
import { when } from "./invariant.js"

/** The invariants, checked by `violations`. @since 0.1.0 @category invariants */
export const toolInvariants: ReadonlyArray<Invariant> = [
  {
    id: "P21",
    says: "revisions count from 0 and are never ahead of their counter",
    check: ({ tools }) => {
      if (tools === null) return []
      const { activeRevision, stagedRevision } = tools.visibility
      const counter = counterOf(tools.visibility)
      return when(
        ![activeRevision, stagedRevision].every((revision) =>
          Number.isSafeInteger(revision) && revision >= 0 && revision <= counter
        ),
        `the revisions ${activeRevision} and ${stagedRevision} were never minted`
      )
    }
  },
  {
    id: "P22",
    says: "every tool in a decision has a witness, every deferred one has provenance; names are sets",
    check: ({ tools }) => tools === null ? [] : objections(tools.visibility)
  }
]
