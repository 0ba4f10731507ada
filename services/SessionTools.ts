/**
 * The calls that decide which tools a session shows: methods of one session, and the same calls by session id. The
 * machine implements both; decisions are stored with the session.
 *
 * @since 0.1.0
 */
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
 * Decides which tools a session shows. Staged decisions hold from the next run; during a run, from its end. A refused
 * call fails `ValidationFailed` and changes nothing; its `StageError` names the tools. All calls work in every state
 * except `destroyed`.
 *
 * @since 0.1.0
 * @category models
 */
export interface SessionTools {
  readonly state: Effect.Effect<SessionToolVisibilityState, RuntimeDriverError>
  /** Stages a filter. Every name in it needs a witness that agrees with the known catalogue of tools. */
  readonly stageFilter: (
    filter: ToolFilter,
    witnesses: ToolWitnesses
  ) => Effect.Effect<ToolScopeRevision, RuntimeDriverError>
  /** Requests deferred tools, in addition to earlier requests. Each must be in the catalogue, as its witness states. */
  readonly requestDeferred: (
    authorities: ReadonlyArray<DeferredToolLoadAuthority>
  ) => Effect.Effect<ToolScopeRevision, RuntimeDriverError>
  /** Without names: withdraws all requests for deferred tools. Bare names carry no authority and are refused. */
  readonly stageRequestedDeferredNames: (
    names: ReadonlyArray<string>
  ) => Effect.Effect<ToolScopeRevision, RuntimeDriverError>
  /** Replaces the session's tool set by one that another component committed. Revisions never decrease. */
  readonly publish: (
    state: SessionToolVisibilityState
  ) => Effect.Effect<SessionToolVisibilityState, RuntimeDriverError>
  /** Installs a state that was computed elsewhere, including its staged part. Revisions never decrease. */
  readonly replace: (
    state: SessionToolVisibilityState
  ) => Effect.Effect<SessionToolVisibilityState, RuntimeDriverError>
  /** Sets the tools that this process knows. Catalogues are not stored: call it each time the tools are built. */
  readonly replaceCatalogs: (catalogs: ToolCatalogs) => Effect.Effect<void, RuntimeDriverError>
  /** Activates the staged decisions now, without a run. */
  readonly boundaryApplied: Effect.Effect<SessionToolVisibilityState, RuntimeDriverError>
}

/** The same calls by session id, under their names in the machine. @since 0.1.0 @category models */
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
