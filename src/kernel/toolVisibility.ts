/**
 * The rules of tool visibility: what may be staged, installed and published, and what a run boundary activates. The
 * tool commands call them. Invariant: every decision names its tools by witness, so it cannot apply to another tool
 * with the same name.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Record from "effect/Record"
import type { ValidationDetail } from "../domain/Errors.js"
import type { SessionState, Tools } from "../domain/SessionState.js"
import type {
  DeferredToolLoadAuthority,
  SessionToolVisibilityState,
  ToolCatalogs,
  ToolFilter,
  ToolScopeRevision,
  ToolVisibilityWitness,
  ToolWitnesses
} from "../domain/ToolVisibility.js"
import { filterNames, initial, nameSet, noCatalogs } from "../domain/ToolVisibility.js"

/** The name of the slice document that stores a session's tool visibility. @since 0.1.0 @category constructors */
export const visibilitySlice = "session_tool_visibility_state_v1"

/** The new visibility, or why it is refused. @since 0.1.0 @category models */
export type Ruled = Either.Either<SessionToolVisibilityState, ValidationDetail>

/** Returns the session's tool visibility. @since 0.1.0 @category accessors */
export const visibilityOf = ({ tools }: Pick<SessionState, "tools">): SessionToolVisibilityState =>
  tools?.visibility ?? initial

/** Returns the tools that the process knows. @since 0.1.0 @category accessors */
export const catalogsOf = ({ tools }: Pick<SessionState, "tools">): ToolCatalogs => tools?.catalogs ?? noCatalogs

/**
 * Returns the counter of revisions: the higher of the active and the staged revision.
 *
 * @since 0.1.0
 * @category accessors
 */
export const counterOf = (state: SessionToolVisibilityState): ToolScopeRevision =>
  Math.max(state.activeRevision, state.stagedRevision)

/** True if a witness identifies a tool. @since 0.1.0 @category guards */
export const hasIdentity = (witness: ToolVisibilityWitness): boolean =>
  witness.stableOwnerKey !== undefined || witness.lastSeenProvenance !== undefined

/** True if the witness does not contradict what is known of the tool. @since 0.1.0 @category guards */
export const agrees = (witness: ToolVisibilityWitness, known: ToolVisibilityWitness): boolean =>
  (witness.stableOwnerKey === undefined || witness.stableOwnerKey === known.stableOwnerKey) &&
  (witness.lastSeenProvenance === undefined || sameProvenance(witness, known))

/** Stages a filter for the next boundary. @since 0.1.0 @category rules */
export const stageFilter = (
  state: SessionToolVisibilityState,
  catalogs: ToolCatalogs,
  given: ToolFilter,
  witnesses: ToolWitnesses
): Ruled => {
  const filter = normalFilter(given)
  const known = { ...state.filterWitnesses, ...catalogs.filter }
  return Either.map(checkFilter(filter, witnesses, known), () => ({
    ...state,
    stagedFilter: filter,
    filterWitnesses: { ...state.filterWitnesses, ...pick(witnesses, filterNames(filter)) },
    stagedRevision: counterOf(state) + 1
  }))
}

/** Stages deferred tools in addition to the staged ones. @since 0.1.0 @category rules */
export const requestDeferred = (
  state: SessionToolVisibilityState,
  catalogs: ToolCatalogs,
  authorities: ReadonlyArray<DeferredToolLoadAuthority>
): Ruled => {
  const twice = nameSet(
    authorities.flatMap(({ name, witness }) =>
      authorities.some((other) => other.name === name && !sameWitness(other.witness, witness)) ? [name] : []
    )
  )
  if (twice.length > 0) return stageError("InvalidWitnesses", twice)
  const names = nameSet([...state.stagedRequestedDeferredNames, ...authorities.map(({ name }) => name)])
  if (names.length === 0) return conflict("no deferred tool is requested or staged; name at least one")
  const combined = {
    ...state.requestedWitnesses,
    ...Object.fromEntries(authorities.map(({ name, witness }) => [name, witness]))
  }
  return Either.map(canonical(names, combined, catalogs.deferred), (authority) => ({
    ...state,
    stagedRequestedDeferredNames: names,
    requestedWitnesses: { ...combined, ...authority },
    stagedRevision: counterOf(state) + 1
  }))
}

/**
 * Withdraws the staged requests. Bare names are refused, because they carry no authority.
 *
 * @since 0.1.0
 * @category rules
 */
export const stageDeferredNames = (state: SessionToolVisibilityState, names: ReadonlyArray<string>): Ruled =>
  names.length > 0 ? stageError("MissingWitnesses", nameSet(names)) : Either.right({
    ...state,
    stagedRequestedDeferredNames: [],
    stagedRevision: counterOf(state) + 1
  })

/** Replaces the session's set by one that another component committed. @since 0.1.0 @category rules */
export const publish = (
  state: SessionToolVisibilityState,
  catalogs: ToolCatalogs,
  given: SessionToolVisibilityState
): Ruled => {
  const next = normal(given)
  const failed = [
    ...(next.activeRevision >= next.stagedRevision ? [] : ["the active revision is behind the staged one"]),
    ...(next.activeRevision !== next.stagedRevision || sameSets(next)
      ? []
      : ["the revisions are equal, but the active set is not the staged set"]),
    ...(next.activeRequestedDeferredNames.every((name) => next.stagedRequestedDeferredNames.includes(name))
      ? []
      : ["a deferred tool is active, but not staged"]),
    ...regressions(state, next)
  ]
  return failed.length > 0 ? conflict(failed.join("; ")) : witnessed(catalogs, next)
}

/**
 * Installs a state that was computed elsewhere. Revisions never decrease, and deferred tools change only together with
 * their revision.
 *
 * @since 0.1.0
 * @category rules
 */
export const replace = (
  state: SessionToolVisibilityState,
  catalogs: ToolCatalogs,
  given: SessionToolVisibilityState
): Ruled =>
  Either.flatMap(witnessed(catalogs, normal(given)), (next) => {
    const failed = regressions(state, next)
    if (failed.length > 0) return conflict(failed.join("; "))
    return counterOf(next) > counterOf(state) || sameDeferred(state, next)
      ? Either.right(next)
      : conflict("the deferred tools differ, but the revision is in use already; raise it")
  })

/**
 * True if a state is older than the session's own, so that installing it would undo decisions.
 *
 * @since 0.1.0
 * @category guards
 */
export const isBehind = (state: SessionToolVisibilityState, given: SessionToolVisibilityState): boolean =>
  regressions(state, given).length > 0

/**
 * Activates the staged decisions. A revision never decreases. If the set changes while the active revision is at or
 * above the staged one, the set gets the next revision, so that a revision names one set.
 *
 * @since 0.1.0
 * @category rules
 */
export const boundary = (state: SessionToolVisibilityState): SessionToolVisibilityState => {
  const changes = !sameSets(state)
  if (!changes && state.activeRevision === state.stagedRevision) return state
  const revision = counterOf(state) + (changes && state.activeRevision >= state.stagedRevision ? 1 : 0)
  return {
    ...state,
    activeFilter: state.stagedFilter,
    activeRequestedDeferredNames: state.stagedRequestedDeferredNames,
    activeRevision: revision,
    stagedRevision: revision
  }
}

/** Returns the session with another visibility. @since 0.1.0 @category combinators */
export const withVisibility = (
  state: SessionState,
  visibility: SessionToolVisibilityState,
  unsaved = false
): SessionState =>
  state.tools?.visibility === visibility && state.tools.unsaved === unsaved
    ? state
    : { ...state, tools: { visibility, catalogs: catalogsOf(state), unsaved } }

/**
 * Returns the session after a run boundary; `stored` tells that the boundary commit stores it.
 *
 * @since 0.1.0
 * @category combinators
 */
export const atBoundary = (state: SessionState, stored: boolean): SessionState => {
  if (state.tools === null) return state
  const visibility = boundary(state.tools.visibility)
  const changed = visibility !== state.tools.visibility
  return withVisibility(state, visibility, !stored && (changed || state.tools.unsaved))
}

/** Lists the contradictions within a visibility, regardless of the known tools. @since 0.1.0 @category guards */
export const objections = (state: SessionToolVisibilityState): ReadonlyArray<string> => {
  const sets = [
    ...filtersOf(state).map(filterNames),
    state.activeRequestedDeferredNames,
    state.stagedRequestedDeferredNames
  ]
  const missing = missingIn(
    [state.inheritedBaseFilter, state.activeFilter, state.stagedFilter].flatMap(filterNames),
    state.filterWitnesses,
    hasIdentity
  )
  const unproven = missingIn(requestedNames(state), state.requestedWitnesses, hasProvenance)
  return [
    ...(sets.every(isSet) ? [] : ["names are not a sorted set"]),
    ...(missing.length === 0 ? [] : [`names in filters have no witness: ${missing.join(", ")}`]),
    ...(unproven.length === 0 ? [] : [`deferred tools have no provenance: ${unproven.join(", ")}`])
  ]
}

/** Makes the tools of a recovered session from its stored visibility. @since 0.1.0 @category constructors */
export const recovered = (visibility: SessionToolVisibilityState): Tools => ({
  visibility,
  catalogs: noCatalogs,
  unsaved: false
})

// --- internal ---

type StageErrorKind = Extract<ValidationDetail, { readonly _tag: "StageError" }>["kind"]

const stageError = (kind: StageErrorKind, names: ReadonlyArray<string>): Either.Either<never, ValidationDetail> =>
  Either.left({ _tag: "StageError", kind, names })

const conflict = (detail: string): Either.Either<never, ValidationDetail> => Either.left({ _tag: "Conflict", detail })

const sameProvenance = (a: ToolVisibilityWitness, b: ToolVisibilityWitness): boolean =>
  a.lastSeenProvenance?.kind === b.lastSeenProvenance?.kind &&
  a.lastSeenProvenance?.sourceId === b.lastSeenProvenance?.sourceId

const sameWitness = (a: ToolVisibilityWitness, b: ToolVisibilityWitness): boolean =>
  a.stableOwnerKey === b.stableOwnerKey && sameProvenance(a, b)

const hasProvenance = (witness: ToolVisibilityWitness): boolean => witness.lastSeenProvenance !== undefined

const isSet = (names: ReadonlyArray<string>): boolean =>
  names.every((name, at) => at === 0 || name > (names[at - 1] ?? ""))

const sameNames = (a: ReadonlyArray<string>, b: ReadonlyArray<string>): boolean =>
  a.length === b.length && a.every((name, at) => name === b[at])

const sameFilter = (a: ToolFilter, b: ToolFilter): boolean =>
  a._tag === b._tag && sameNames(filterNames(a), filterNames(b))

/** The same witnesses cover both sides, so comparing names is enough. */
const sameSets = (state: SessionToolVisibilityState): boolean =>
  sameFilter(state.activeFilter, state.stagedFilter) &&
  sameNames(state.activeRequestedDeferredNames, state.stagedRequestedDeferredNames)

const sameDeferred = (a: SessionToolVisibilityState, b: SessionToolVisibilityState): boolean =>
  sameNames(a.activeRequestedDeferredNames, b.activeRequestedDeferredNames) &&
  sameNames(a.stagedRequestedDeferredNames, b.stagedRequestedDeferredNames) &&
  requestedNames(a).every((name) =>
    sameWitness(
      Option.getOrElse(Record.get(a.requestedWitnesses, name), () => ({})),
      Option.getOrElse(Record.get(b.requestedWitnesses, name), () => ({}))
    )
  )

const regressions = (
  state: SessionToolVisibilityState,
  next: SessionToolVisibilityState
): ReadonlyArray<string> => [
  ...(next.activeRevision < state.activeRevision ? [`the active revision is ${state.activeRevision} already`] : []),
  ...(next.stagedRevision < state.stagedRevision ? [`the staged revision is ${state.stagedRevision} already`] : [])
]

const requestedNames = (state: SessionToolVisibilityState): ReadonlyArray<string> =>
  nameSet([...state.activeRequestedDeferredNames, ...state.stagedRequestedDeferredNames])

const filtersOf = (state: SessionToolVisibilityState): ReadonlyArray<ToolFilter> => [
  state.capabilityBaseFilter,
  state.inheritedBaseFilter,
  state.activeFilter,
  state.stagedFilter
]

const normalFilter = (filter: ToolFilter): ToolFilter =>
  filter._tag === "All" ? filter : { ...filter, names: nameSet(filter.names) }

const normal = (state: SessionToolVisibilityState): SessionToolVisibilityState => ({
  ...state,
  capabilityBaseFilter: normalFilter(state.capabilityBaseFilter),
  inheritedBaseFilter: normalFilter(state.inheritedBaseFilter),
  activeFilter: normalFilter(state.activeFilter),
  stagedFilter: normalFilter(state.stagedFilter),
  activeRequestedDeferredNames: nameSet(state.activeRequestedDeferredNames),
  stagedRequestedDeferredNames: nameSet(state.stagedRequestedDeferredNames)
})

/** Reads own entries only, because a tool may have the name of an `Object.prototype` member. */
const pick = (witnesses: ToolWitnesses, names: ReadonlyArray<string>): ToolWitnesses =>
  Object.fromEntries(
    names.flatMap((name) =>
      Option.match(Record.get(witnesses, name), { onNone: () => [], onSome: (witness) => [[name, witness] as const] })
    )
  )

const missingIn = (
  names: ReadonlyArray<string>,
  witnesses: ToolWitnesses,
  enough: (witness: ToolVisibilityWitness) => boolean
): ReadonlyArray<string> => nameSet(names).filter((name) => !Option.exists(Record.get(witnesses, name), enough))

type Checked = Either.Either<void, ValidationDetail>

const checkPresent = (filter: ToolFilter, witnesses: ToolWitnesses): Checked => {
  const missing = missingIn(filterNames(filter), witnesses, hasIdentity)
  return missing.length === 0 ? Either.void : stageError("MissingFilterWitnesses", missing)
}

/** Accepts an unknown name with its witness, because its tool may be added later. */
const checkFilter = (filter: ToolFilter, witnesses: ToolWitnesses, known: ToolWitnesses): Checked =>
  Either.flatMap(checkPresent(filter, witnesses), () => {
    const foreign = filterNames(filter).filter((name) =>
      Option.exists(
        Option.all([Record.get(witnesses, name), Record.get(known, name)]),
        ([witness, tool]) => !agrees(witness, tool)
      )
    )
    return foreign.length === 0 ? Either.void : stageError("InvalidFilterWitnesses", nameSet(foreign))
  })

/** Returns the catalogue's witnesses of these names; the given witnesses must equal them. */
const canonical = (
  names: ReadonlyArray<string>,
  witnesses: ToolWitnesses,
  catalog: ToolWitnesses
): Either.Either<ToolWitnesses, ValidationDetail> => {
  const missing = missingIn(names, witnesses, hasProvenance)
  if (missing.length > 0) return stageError("MissingWitnesses", missing)
  const foreign = names.filter((name) =>
    !Option.exists(
      Option.all([Record.get(witnesses, name), Record.get(catalog, name)]),
      ([witness, tool]) => sameWitness(witness, tool)
    )
  )
  return foreign.length > 0 ? stageError("InvalidWitnesses", nameSet(foreign)) : Either.right(pick(catalog, names))
}

/** Checks a complete state against the tools that the process knows. */
const witnessed = (catalogs: ToolCatalogs, next: SessionToolVisibilityState): Ruled =>
  Either.gen(function*() {
    yield* checkPresent(next.inheritedBaseFilter, next.filterWitnesses)
    yield* checkFilter(next.activeFilter, next.filterWitnesses, catalogs.filter)
    yield* checkFilter(next.stagedFilter, next.filterWitnesses, catalogs.filter)
    const authority = yield* canonical(requestedNames(next), next.requestedWitnesses, catalogs.deferred)
    return { ...next, requestedWitnesses: { ...next.requestedWitnesses, ...authority } }
  })
