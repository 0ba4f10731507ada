/**
 * The commands that change which tools a session shows. The machine submits them. They are accepted in every phase
 * except `Destroyed`; the rules themselves are in `toolVisibility`.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import type { Command } from "../../domain/Command.js"
import type {
  DeferredToolLoadAuthority,
  SessionToolVisibilityState,
  ToolCatalogs,
  ToolFilter,
  ToolScopeRevision,
  ToolWitnesses
} from "../../domain/ToolVisibility.js"
import type { Derived } from "../llmVisibility.js"
import { derive, sameVisibility } from "../llmVisibility.js"
import type { Fold } from "../table.js"
import * as Table from "../table.js"
import type { Ruled } from "../toolVisibility.js"
import * as Visibility from "../toolVisibility.js"
import type { Ruling } from "./command.js"
import { answered, external } from "./command.js"

/** Stages a filter and replies its revision. @since 0.1.0 @category commands */
export const stageFilter = (filter: ToolFilter, witnesses: ToolWitnesses): Command<ToolScopeRevision> =>
  ruled(
    "stagePersistentFilter",
    staged,
    (state, catalogs) => Visibility.stageFilter(state, catalogs, filter, witnesses)
  )

/** Requests deferred tools, in addition to the staged ones. @since 0.1.0 @category commands */
export const requestDeferredTools = (
  authorities: ReadonlyArray<DeferredToolLoadAuthority>
): Command<ToolScopeRevision> =>
  ruled("requestDeferredTools", staged, (state, catalogs) => Visibility.requestDeferred(state, catalogs, authorities))

/** Withdraws all requests for deferred tools; names without a witness are refused. @since 0.1.0 @category commands */
export const stageRequestedDeferredNames = (names: ReadonlyArray<string>): Command<ToolScopeRevision> =>
  ruled("stageRequestedDeferredNames", staged, (state) => Visibility.stageDeferredNames(state, names))

/** Publishes a visible set that another component committed. @since 0.1.0 @category commands */
export const publishCommittedVisibleSet = (
  given: SessionToolVisibilityState
): Command<SessionToolVisibilityState> =>
  ruled("publishCommittedVisibleSet", whole, (state, catalogs) => Visibility.publish(state, catalogs, given))

/** Installs a visibility that was computed elsewhere. @since 0.1.0 @category commands */
export const replaceVisibility = (given: SessionToolVisibilityState): Command<SessionToolVisibilityState> =>
  ruled("replaceVisibility", whole, (state, catalogs) => Visibility.replace(state, catalogs, given))

/**
 * Installs the visibility that a host knows, unless the session's own state is newer.
 *
 * @since 0.1.0
 * @category commands
 */
export const adoptVisibility = (given: SessionToolVisibilityState): Command<SessionToolVisibilityState> =>
  ruled(
    "adoptVisibility",
    whole,
    (state, catalogs) =>
      Visibility.isBehind(state, given) ? Either.right(state) : Visibility.replace(state, catalogs, given)
  )

/** Activates what is staged, without a run. @since 0.1.0 @category commands */
export const applyBoundary: Command<SessionToolVisibilityState> = ruled(
  "applyBoundary",
  whole,
  (state) => Either.right(Visibility.boundary(state))
)

/** Sets the tools that this process knows; they are not stored. @since 0.1.0 @category commands */
export const replaceCatalogs = (catalogs: ToolCatalogs): Command<void> =>
  external("replaceCatalogs", (fold) => answered(Table.fire(fold, "KnowTools", { catalogs }), () => undefined))

/**
 * A change of the model as the host was told it; `told` is the visibility that the host received.
 *
 * @since 0.1.0
 * @category models
 */
export interface ModelTools {
  readonly imageToolResults: boolean
  readonly baseToolNames: ReadonlyArray<string>
  readonly told: SessionToolVisibilityState
}

/**
 * Installs the visibility of a changed model if the host was told exactly this visibility. Otherwise it changes nothing
 * and replies the visibility that the host must be told instead.
 *
 * @since 0.1.0
 * @category commands
 */
export const installModelTools = (
  { baseToolNames, imageToolResults, told }: ModelTools
): Command<Derived & { readonly installed: boolean }> =>
  external("installModelTools", (fold) => {
    const derived = derive(Visibility.visibilityOf(fold.state), imageToolResults, baseToolNames)
    const installed = sameVisibility(derived.next, told)
    const visibility = installed && !sameVisibility(derived.next, Visibility.visibilityOf(fold.state))
      ? derived.next
      : null
    return answered(Table.fire(fold, "EditTools", { visibility }), () => ({ ...derived, installed }))
  })

// --- internal ---

function staged({ stagedRevision }: SessionToolVisibilityState): ToolScopeRevision {
  return stagedRevision
}

function whole(state: SessionToolVisibilityState): SessionToolVisibilityState {
  return state
}

/** Checks the phase first, so a session that is gone says so for every call. */
function ruled<A>(
  name: string,
  reply: (next: SessionToolVisibilityState) => A,
  rule: (state: SessionToolVisibilityState, catalogs: ToolCatalogs) => Ruled
): Command<A> {
  return external(
    name,
    (fold): Ruling<A> =>
      Either.flatMap(Table.fire(fold, "EditTools", { visibility: null }), () => change(fold, reply, rule))
  )
}

function change<A>(
  fold: Fold,
  reply: (next: SessionToolVisibilityState) => A,
  rule: (state: SessionToolVisibilityState, catalogs: ToolCatalogs) => Ruled
): Ruling<A> {
  const given = rule(Visibility.visibilityOf(fold.state), Visibility.catalogsOf(fold.state))
  return Either.flatMap(
    Either.mapLeft(given, (detail) => ({ _tag: "Invalid", command: fold.command, detail } as const)),
    (visibility) => answered(Table.fire(fold, "EditTools", { visibility }), () => reply(visibility))
  )
}
