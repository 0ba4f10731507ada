/**
 * Which tools a session shows to its executor: filters, witnesses and the two parts of the visibility state.
 *
 * The kernel decides with these values, the store keeps the state, and the tool calls of the machine change it.
 * Invariant: lists of names are sorted, and each name occurs once.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { optional } from "./Json.js"
import { halfName, isWellFormed, Name } from "./Text.js"

/**
 * Which tools pass: all, only the named ones, or all except the named ones. Names are sorted, and each occurs once.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ToolFilter = Schema.Union(
  Schema.TaggedStruct("All", {}),
  Schema.TaggedStruct("Allow", { names: Schema.Array(Name) }),
  Schema.TaggedStruct("Deny", { names: Schema.Array(Name) })
)
/** @since 0.1.0 @category models */
export type ToolFilter = typeof ToolFilter.Type

/** A number that grows with every change of a session's visible set; 0 before the first. @since 0.1.0 @category schemas */
export const ToolScopeRevision = Schema.NonNegativeInt
/** @since 0.1.0 @category models */
export type ToolScopeRevision = typeof ToolScopeRevision.Type

/** Where a tool comes from: the kind of its source, and the id of the source. @since 0.1.0 @category schemas */
export const ToolProvenance = Schema.Struct({
  kind: Schema.Literal(
    "builtin",
    "shell",
    "comms",
    "memory",
    "schedule",
    "mob",
    "mob_tasks",
    "callback",
    "mcp",
    "rust_bundle"
  ),
  sourceId: Name
})
/** @since 0.1.0 @category models */
export type ToolProvenance = typeof ToolProvenance.Type

/**
 * The tool that a name referred to when a caller decided about it. The decision must not apply to another tool that later
 * gets the same name.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ToolVisibilityWitness = Schema.Struct({
  stableOwnerKey: optional(Name),
  lastSeenProvenance: optional(ToolProvenance)
})
/** @since 0.1.0 @category models */
export type ToolVisibilityWitness = typeof ToolVisibilityWitness.Type

/** Witnesses by tool name. @since 0.1.0 @category schemas */
export const ToolWitnesses = Schema.Record({ key: Schema.String, value: ToolVisibilityWitness }).pipe(
  // a record silently drops keys that its key schema refuses, so the keys are checked here
  Schema.filter((witnesses) => Object.keys(witnesses).every(isWellFormed), { message: () => halfName })
)
/** @since 0.1.0 @category models */
export type ToolWitnesses = typeof ToolWitnesses.Type

/** The right to load one deferred tool: its name, and a witness with provenance. @since 0.1.0 @category schemas */
export const DeferredToolLoadAuthority = Schema.Struct({ name: Name, witness: ToolVisibilityWitness })
/** @since 0.1.0 @category models */
export type DeferredToolLoadAuthority = typeof DeferredToolLoadAuthority.Type

/** A filter with a witness for each of its names. @since 0.1.0 @category schemas */
export const WitnessedToolFilter = Schema.Struct({ filter: ToolFilter, witnesses: ToolWitnesses })
/** @since 0.1.0 @category models */
export type WitnessedToolFilter = typeof WitnessedToolFilter.Type

/**
 * Which tools a session shows. The active part applies now; the staged part replaces it at the next boundary of a run.
 *
 * @since 0.1.0
 * @category schemas
 */
export const SessionToolVisibilityState = Schema.Struct({
  /** the tools that the model's capabilities allow */
  capabilityBaseFilter: ToolFilter,
  /** the tools that the session was created with */
  inheritedBaseFilter: ToolFilter,
  activeFilter: ToolFilter,
  stagedFilter: ToolFilter,
  /** the deferred tools that were requested; sorted, each once */
  activeRequestedDeferredNames: Schema.Array(Name),
  stagedRequestedDeferredNames: Schema.Array(Name),
  activeRevision: ToolScopeRevision,
  stagedRevision: ToolScopeRevision,
  /** witnesses of deferred tools */
  requestedWitnesses: ToolWitnesses,
  /** witnesses of names in filters */
  filterWitnesses: ToolWitnesses
})
/** @since 0.1.0 @category models */
export type SessionToolVisibilityState = typeof SessionToolVisibilityState.Type

/**
 * The tools that a process knows now, by name; never stored. The kernel checks witnesses against them. `deferred` holds
 * the deferred tools with provenance, `filter` all tools with an identity.
 *
 * @since 0.1.0
 * @category models
 */
export interface ToolCatalogs {
  readonly deferred: ToolWitnesses
  readonly filter: ToolWitnesses
}

/** Every tool passes. @since 0.1.0 @category constructors */
export const all: ToolFilter = { _tag: "All" }

/** Only these tools pass. @since 0.1.0 @category constructors */
export const allow = (...names: ReadonlyArray<string>): ToolFilter => ({ _tag: "Allow", names: nameSet(names) })

/** All tools except these pass. @since 0.1.0 @category constructors */
export const deny = (...names: ReadonlyArray<string>): ToolFilter => ({ _tag: "Deny", names: nameSet(names) })

/** Sorts names and removes duplicates. @since 0.1.0 @category constructors */
export const nameSet = (names: Iterable<string>): ReadonlyArray<string> => Array.from(new Set(names)).sort()

/** The names that a filter lists. @since 0.1.0 @category accessors */
export const filterNames = (filter: ToolFilter): ReadonlyArray<string> => filter._tag === "All" ? [] : filter.names

/** The witness of a tool from this source, with its stable key `<kind>:<sourceId>`. @since 0.1.0 @category constructors */
export const witnessOf = (provenance: ToolProvenance): ToolVisibilityWitness => ({
  stableOwnerKey: `${provenance.kind}:${provenance.sourceId}`,
  lastSeenProvenance: provenance
})

/** The state of a session before its first decision about tools. @since 0.1.0 @category constructors */
export const initial: SessionToolVisibilityState = {
  capabilityBaseFilter: all,
  inheritedBaseFilter: all,
  activeFilter: all,
  stagedFilter: all,
  activeRequestedDeferredNames: [],
  stagedRequestedDeferredNames: [],
  activeRevision: 0,
  stagedRevision: 0,
  requestedWitnesses: {},
  filterWitnesses: {}
}

/** Catalogs without any tool. @since 0.1.0 @category constructors */
export const noCatalogs: ToolCatalogs = { deferred: {}, filter: {} }
