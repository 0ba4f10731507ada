/**
 * Invariants of what a session shows of its tools.
 *
 * @since 0.1.0
 */
import { counterOf, objections } from "../toolVisibility.js"
import type { Invariant } from "./invariant.js"
import { when } from "./invariant.js"

/** @since 0.1.0 @category invariants */
export const toolInvariants: ReadonlyArray<Invariant> = [
  {
    id: "P21",
    says: "revisions are counted from 0; neither is ahead of the counter they are minted from",
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
    says: "every tool that was decided about has a witness, every deferred one with provenance; names are sets",
    check: ({ tools }) => tools === null ? [] : objections(tools.visibility)
  }
]
