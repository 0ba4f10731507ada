/** @since 0.1.0 */
import type * as Effect from "effect/Effect"
import type { RuntimeDriverError } from "../src/domain/Errors.js"
import type { SessionId } from "../src/domain/Ids.js"
import type {
  DeferredToolLoadAuthority,
  SessionToolVisibilityState,
  ToolCatalogs,
  ToolFilter,
  ToolScopeRevision,
  ToolWitnesses
} from "../src/domain/ToolVisibility.js"

/**
 * Which tools a session shows. What is staged holds from the next run on, and from the end of a run in progress. A
 * refusal is `ValidationFailed` and changes nothing; its `StageError` names the tools. Taken in every state but
 * `destroyed`.
 *
 * @since 0.1.0
 * @category models
 */
export interface SessionTools {
  readonly state: Effect.Effect<SessionToolVisibilityState, RuntimeDriverError>
  /** Stages a filter; every name in it needs a witness that agrees with what is known of the tool. */
  readonly stageFilter: (
    filter: ToolFilter,
    witnesses: ToolWitnesses
  ) => Effect.Effect<ToolScopeRevision, RuntimeDriverError>
  /** Asks for deferred tools, beside those asked for before; each has to be in the catalogue as its witness says. */
  readonly requestDeferred: (
    authorities: ReadonlyArray<DeferredToolLoadAuthority>
  ) => Effect.Effect<ToolScopeRevision, RuntimeDriverError>
  /** With no names: takes all requests for deferred tools back. A bare name is no authority and is refused. */
  readonly stageRequestedDeferredNames: (
    names: ReadonlyArray<string>
  ) => Effect.Effect<ToolScopeRevision, RuntimeDriverError>
  /** A set that somebody else committed takes the place of the session's. Revisions never go back. */
  readonly publish: (
    state: SessionToolVisibilityState
  ) => Effect.Effect<SessionToolVisibilityState, RuntimeDriverError>
  /** Installs a state computed elsewhere, staged part included. Revisions never go back. */
  readonly replace: (
    state: SessionToolVisibilityState
  ) => Effect.Effect<SessionToolVisibilityState, RuntimeDriverError>
  /** What this process knows of the tools. Not stored: to be called whenever the tools are built anew. */
  readonly replaceCatalogs: (catalogs: ToolCatalogs) => Effect.Effect<void, RuntimeDriverError>
  /** What is staged becomes active now, without a run. */
  readonly boundaryApplied: Effect.Effect<SessionToolVisibilityState, RuntimeDriverError>
}

/** The same by session id, under the names of the machine. @since 0.1.0 @category models */
export interface ToolsControl {
  /** Stages a filter for the next run; see `SessionTools`. */
  readonly stagePersistentFilter: (
    sessionId: SessionId,
    filter: ToolFilter,
    witnesses: ToolWitnesses
  ) => Effect.Effect<ToolScopeRevision, RuntimeDriverError>
  /** Asks for deferred tools; see `SessionTools`. */
  readonly requestDeferredTools: (
    sessionId: SessionId,
    authorities: ReadonlyArray<DeferredToolLoadAuthority>
  ) => Effect.Effect<ToolScopeRevision, RuntimeDriverError>
  /** Publishes a committed set; see `SessionTools`. */
  readonly publishCommittedVisibleSet: (
    sessionId: SessionId,
    state: SessionToolVisibilityState
  ) => Effect.Effect<SessionToolVisibilityState, RuntimeDriverError>
}
