/**
 * Selects the tools that a session shows now. Executors call it when they offer tools to a model. All functions are
 * pure.
 *
 * @since 0.1.0
 */
import * as Option from "effect/Option"
import * as Record from "effect/Record"
import type {
  SessionToolVisibilityState,
  ToolCatalogs,
  ToolFilter,
  ToolVisibilityWitness,
  ToolWitnesses
} from "../domain/ToolVisibility.js"
import { filterNames, nameSet } from "../domain/ToolVisibility.js"
import { agrees, hasIdentity } from "./toolVisibility.js"

/** What visibility needs to know of a tool. @since 0.1.0 @category models */
export interface ScopedTool {
  readonly name: string
  readonly witness: ToolVisibilityWitness
  /** hidden until a caller requests it */
  readonly deferred?: boolean
  /** part of the session's own control: always visible */
  readonly controlPlane?: boolean
}

/** How one turn narrows the set. @since 0.1.0 @category models */
export interface ToolOverlay {
  readonly allow?: ReadonlyArray<string>
  readonly deny?: ReadonlyArray<string>
}

/**
 * Returns the visible tools in the given order. The active filter applies a name to a tool only if its witness agrees.
 * In the inherited filter the witness may be absent. The capability filter and the overlay apply by name.
 *
 * @since 0.1.0
 * @category rules
 */
export const visibleTools = <T extends ScopedTool>(
  tools: ReadonlyArray<T>,
  state: SessionToolVisibilityState,
  overlay: ToolOverlay = {}
): ReadonlyArray<T> => {
  const { filterWitnesses } = state
  return tools.filter((tool) =>
    tool.controlPlane === true || (
      (tool.deferred !== true || isRequested(tool, state)) &&
      passes(state.capabilityBaseFilter, tool, () => true) &&
      passes(state.inheritedBaseFilter, tool, () => matches(tool, filterWitnesses, true)) &&
      passes(state.activeFilter, tool, () => matches(tool, filterWitnesses, false)) &&
      (overlay.allow === undefined || overlay.allow.includes(tool.name)) &&
      overlay.deny?.includes(tool.name) !== true
    )
  )
}

/**
 * Returns the names, sorted, that neither a tool nor a decision of the session knows. Control-plane tools cannot be
 * decided about, so their names count as unknown.
 *
 * @since 0.1.0
 * @category accessors
 */
export const unknownTools = (
  names: ReadonlyArray<string>,
  tools: ReadonlyArray<ScopedTool>,
  state: SessionToolVisibilityState
): ReadonlyArray<string> => {
  const known = new Set([
    ...tools.filter(({ controlPlane }) => controlPlane !== true).map(({ name }) => name),
    ...[state.inheritedBaseFilter, state.activeFilter, state.stagedFilter].flatMap(filterNames)
  ])
  return nameSet(names.filter((name) => !known.has(name)))
}

/** Makes the catalogues of these tools, against which witnesses are checked. @since 0.1.0 @category constructors */
export const toolCatalogs = (tools: ReadonlyArray<ScopedTool>): ToolCatalogs => ({
  deferred: byName(
    tools.filter(({ deferred, witness }) => deferred === true && witness.lastSeenProvenance !== undefined)
  ),
  filter: byName(tools.filter(({ witness }) => hasIdentity(witness)))
})

/** Returns the witnesses that a filter with these names needs. @since 0.1.0 @category constructors */
export const witnessesFor = (tools: ReadonlyArray<ScopedTool>, names: ReadonlyArray<string>): ToolWitnesses =>
  byName(tools.filter(({ name }) => names.includes(name)))

// --- internal ---

const byName = (tools: ReadonlyArray<ScopedTool>): ToolWitnesses =>
  Object.fromEntries(tools.map(({ name, witness }) => [name, witness]))

const passes = (filter: ToolFilter, tool: ScopedTool, applies: () => boolean): boolean =>
  filter._tag === "All" || (filter.names.includes(tool.name) && applies()) === (filter._tag === "Allow")

const matches = (tool: ScopedTool, witnesses: ToolWitnesses, optional: boolean): boolean =>
  Option.match(Record.get(witnesses, tool.name), {
    onNone: () => optional,
    onSome: (witness) => hasIdentity(witness) ? agrees(witness, tool.witness) : optional
  })

const isRequested = (tool: ScopedTool, state: SessionToolVisibilityState): boolean =>
  state.activeRequestedDeferredNames.includes(tool.name) &&
  Option.exists(
    Record.get(state.requestedWitnesses, tool.name),
    (witness) => witness.lastSeenProvenance !== undefined && agrees(witness, tool.witness)
  )
