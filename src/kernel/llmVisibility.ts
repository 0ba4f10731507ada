/**
 * How a change of the model changes a session's tools: a model that cannot take images from tools does not see the tool
 * that answers with an image. The reconfigure command calls it.
 *
 * @since 0.1.0
 */
import type { SessionToolVisibilityDelta } from "../domain/LlmIdentity.js"
import type { SessionToolVisibilityState, ToolFilter } from "../domain/ToolVisibility.js"
import { all, deny, filterNames } from "../domain/ToolVisibility.js"
import { counterOf } from "./toolVisibility.js"

/** The tool that answers with an image. @since 0.1.0 @category constructors */
export const imageTool = "view_image"

/** The next visibility, and how it differs from the current one. @since 0.1.0 @category models */
export interface Derived {
  readonly next: SessionToolVisibilityState
  readonly delta: SessionToolVisibilityDelta
}

/**
 * Returns the visibility under another model. The revision grows only if the visible set changes.
 *
 * @since 0.1.0
 * @category rules
 */
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

/** True if two visibilities are equal. @since 0.1.0 @category guards */
export const sameVisibility = (a: SessionToolVisibilityState, b: SessionToolVisibilityState): boolean =>
  a === b || JSON.stringify(sorted(a)) === JSON.stringify(sorted(b))

// --- internal ---

const passes = (filter: ToolFilter, name: string): boolean =>
  filter._tag === "All" || filterNames(filter).includes(name) === (filter._tag === "Allow")

const shows = (state: SessionToolVisibilityState, name: string): boolean =>
  passes(state.capabilityBaseFilter, name) && passes(state.inheritedBaseFilter, name) &&
  passes(state.activeFilter, name)

/** Puts the witnesses into one order: nothing else differs between copies of the same state. */
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
