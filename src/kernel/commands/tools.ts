/**
 * What changes the tools that a session shows. Taken in every phase but the last.
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

/** Stages a filter; answers the revision it has. @since 0.1.0 @category commands */
export const stageFilter = (filter: ToolFilter, witnesses: ToolWitnesses): Command<ToolScopeRevision> =>
  ruled(
    "stagePersistentFilter",
    staged,
    (state, catalogs) => Visibility.stageFilter(state, catalogs, filter, witnesses)
  )

/** Asks for deferred tools, beside those that are staged. @since 0.1.0 @category commands */
export const requestDeferredTools = (
  authorities: ReadonlyArray<DeferredToolLoadAuthority>
): Command<ToolScopeRevision> =>
  ruled("requestDeferredTools", staged, (state, catalogs) => Visibility.requestDeferred(state, catalogs, authorities))

/** Takes all requests for deferred tools back; names without a witness are refused. @since 0.1.0 @category commands */
export const stageRequestedDeferredNames = (names: ReadonlyArray<string>): Command<ToolScopeRevision> =>
  ruled("stageRequestedDeferredNames", staged, (state) => Visibility.stageDeferredNames(state, names))

/** @since 0.1.0 @category commands */
export const publishCommittedVisibleSet = (
  given: SessionToolVisibilityState
): Command<SessionToolVisibilityState> =>
  ruled("publishCommittedVisibleSet", whole, (state, catalogs) => Visibility.publish(state, catalogs, given))

/** @since 0.1.0 @category commands */
export const replaceVisibility = (given: SessionToolVisibilityState): Command<SessionToolVisibilityState> =>
  ruled("replaceVisibility", whole, (state, catalogs) => Visibility.replace(state, catalogs, given))

/** Installs what a host knows, unless the session has decided since: its own state is the newer one then. @since 0.1.0 @category commands */
export const adoptVisibility = (given: SessionToolVisibilityState): Command<SessionToolVisibilityState> =>
  ruled(
    "adoptVisibility",
    whole,
    (state, catalogs) =>
      Visibility.isBehind(state, given) ? Either.right(state) : Visibility.replace(state, catalogs, given)
  )

/** What is staged becomes active, without a run. @since 0.1.0 @category commands */
export const applyBoundary: Command<SessionToolVisibilityState> = ruled(
  "applyBoundary",
  whole,
  (state) => Either.right(Visibility.boundary(state))
)

/** What the process knows of the session's tools now; nothing of it is stored. @since 0.1.0 @category commands */
export const replaceCatalogs = (catalogs: ToolCatalogs): Command<void> =>
  external("replaceCatalogs", (fold) => answered(Table.fire(fold, "KnowTools", { catalogs }), () => undefined))

/** A change of the model, as far as it was told to the host: `told` is the state that the host was given. @since 0.1.0 @category models */
export interface ModelTools {
  readonly imageToolResults: boolean
  readonly baseToolNames: ReadonlyArray<string>
  readonly told: SessionToolVisibilityState
}

/**
 * Installs the visibility that a change of the model brings, if it still is the one that the host was told; else nothing
 * is changed, and the answer says what the host has to be told instead.
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

/** The phase is checked first: a session that is gone says so, whatever it is asked. */
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
