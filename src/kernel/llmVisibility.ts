/**
 * What a change of the model makes of a session's tools: a model that cannot take images from tools does not see the
 * tool that shows one.
 *
 * @since 0.1.0
 */
import type { SessionToolVisibilityDelta } from "../domain/LlmIdentity.js"
import type { SessionToolVisibilityState, ToolFilter } from "../domain/ToolVisibility.js"
import { all, deny, filterNames } from "../domain/ToolVisibility.js"
import { counterOf } from "./toolVisibility.js"

/** The tool that answers with an image. @since 0.1.0 @category constructors */
export const imageTool = "view_image"

/** The next state, and what is different in it. @since 0.1.0 @category models */
export interface Derived {
  readonly next: SessionToolVisibilityState
  readonly delta: SessionToolVisibilityDelta
}

/** The visibility under another model. The revision grows only if the visible set does change. @since 0.1.0 @category rules */
export const derive = (
  state: SessionToolVisibilityState,
  imageToolResults: boolean,
  baseToolNames: ReadonlyArray<string>
): Derived => {
  const based: SessionToolVisibilityState = {
    ...state,
    capabilityBaseFilter: imageToolResults ? all : deny(imageTool)
  }
  const changed = baseToolNames.includes(imageTool) && shows(state, imageTool) !== shows(based, imageTool)
  return {
    next: changed ? { ...based, activeRevision: counterOf(state) + 1 } : based,
    delta: {
      previousCapabilityBaseFilter: state.capabilityBaseFilter,
      currentCapabilityBaseFilter: based.capabilityBaseFilter,
      committedVisibleSetChanged: changed,
      revisionBumped: changed
    }
  }
}

/** Whether two states say the same. @since 0.1.0 @category guards */
export const sameVisibility = (a: SessionToolVisibilityState, b: SessionToolVisibilityState): boolean =>
  a === b || JSON.stringify(sorted(a)) === JSON.stringify(sorted(b))

// --- internal ---

const passes = (filter: ToolFilter, name: string): boolean =>
  filter._tag === "All" || filterNames(filter).includes(name) === (filter._tag === "Allow")

const shows = (state: SessionToolVisibilityState, name: string): boolean =>
  passes(state.capabilityBaseFilter, name) && passes(state.inheritedBaseFilter, name) &&
  passes(state.activeFilter, name)

/** Both come from the same spread of the same state, but for the order of their witnesses. */
const sorted = (state: SessionToolVisibilityState) => ({
  ...fields(state),
  requestedWitnesses: Object.entries(state.requestedWitnesses).sort(byName),
  filterWitnesses: Object.entries(state.filterWitnesses).sort(byName)
})

const byName = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number => a < b ? -1 : a > b ? 1 : 0

const fields = (state: SessionToolVisibilityState) => [
  state.capabilityBaseFilter,
  state.inheritedBaseFilter,
  state.activeFilter,
  state.stagedFilter,
  state.activeRequestedDeferredNames,
  state.stagedRequestedDeferredNames,
  state.activeRevision,
  state.stagedRevision
]
