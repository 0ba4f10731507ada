/**
 * A model host in memory, for tests. It keeps model and visibility of live sessions, and what it would store of them.
 * It records every call. A script can hold a call, fail it or make it die, before or after its work.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import { LlmHost } from "effect-meerkat/testkit"
 *
 * const program = Effect.gen(function*() {
 *   const mock = yield* LlmHost.make()
 *   // machine.setSessionLlmReconfigureHost(mock.host), then reconfigure
 *   mock.script({ before: ({ name }) => name === "persistLiveSession" ? Effect.dieMessage("disk full") : Effect.void })
 *   return mock.calls()
 * })
 * ```
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { SessionLlmReconfigureHostService } from "../../services/SessionLlmReconfigureHost.js"
import { SessionLlmReconfigureHost } from "../../services/SessionLlmReconfigureHost.js"
import type { RuntimeDriverError } from "../domain/Errors.js"
import type { SessionId } from "../domain/Ids.js"
import type { LlmModelRegistry, SessionLlmIdentity } from "../domain/LlmIdentity.js"
import { noCapabilities } from "../domain/LlmIdentity.js"
import type { SessionToolVisibilityState } from "../domain/ToolVisibility.js"
import { resolve } from "../kernel/llmResolution.js"

/** A session as the host keeps it. @since 0.1.0 @category models */
export interface HostedSession {
  readonly identity: SessionLlmIdentity
  readonly visibility: Option.Option<SessionToolVisibilityState>
}

/** A call of the host. @since 0.1.0 @category models */
export interface HostCall {
  readonly name: keyof SessionLlmReconfigureHostService
  /** null for `resolveTargetSessionLlmIdentity`, which concerns no session */
  readonly sessionId: SessionId | null
  /** the number of calls so far, this one included */
  readonly n: number
}

/** What the script does to calls; absent parts do nothing. @since 0.1.0 @category models */
export interface HostScript {
  /** runs before the work of a call; if it fails, the call has changed nothing */
  readonly before?: (call: HostCall) => Effect.Effect<void, RuntimeDriverError>
  /** runs after the work of a call */
  readonly after?: (call: HostCall) => Effect.Effect<void, RuntimeDriverError>
}

/** Options of `make`. @since 0.1.0 @category models */
export interface LlmHostOptions {
  /** the known models; `defaultRegistry` if absent */
  readonly registry?: LlmModelRegistry
  /** the initial state of every session; if absent, the first model of the registry and no visibility */
  readonly initial?: HostedSession
  /** the tools of every session; `["view_image"]` if absent */
  readonly baseToolNames?: ReadonlyArray<string>
}

/** A host, its recorded calls and its controls. @since 0.1.0 @category models */
export interface LlmHost {
  readonly host: SessionLlmReconfigureHostService
  readonly calls: () => ReadonlyArray<HostCall>
  /** the names of all calls, with those that concern no session */
  readonly names: () => ReadonlyArray<HostCall["name"]>
  /** the calls in progress, at most one per session */
  readonly active: () => ReadonlyArray<HostCall>
  readonly script: (script: HostScript) => void
  /** the live session */
  readonly live: (sessionId: SessionId) => HostedSession
  /** the stored session, from which a discarded one starts again */
  readonly stored: (sessionId: SessionId) => HostedSession
  /** how often a live session was dropped */
  readonly discarded: (sessionId: SessionId) => number
}

/** Two models: `seeing` accepts images from tools, `blind` does not. @since 0.1.0 @category constructors */
export const defaultRegistry: LlmModelRegistry = [
  { model: "seeing", provider: "anthropic", capabilities: { ...noCapabilities, vision: true, imageToolResults: true } },
  { model: "blind", provider: "openai", capabilities: noCapabilities }
]

/** Makes a host. @since 0.1.0 @category constructors */
export const make = (options: LlmHostOptions = {}): Effect.Effect<LlmHost> => Effect.sync(() => unsafeMake(options))

/** Provides the host to a machine. @since 0.1.0 @category layers */
export const layer = ({ host }: LlmHost): Layer.Layer<SessionLlmReconfigureHost> =>
  Layer.succeed(SessionLlmReconfigureHost, host)

// --- internal ---

const first = ([entry]: LlmModelRegistry): HostedSession => ({
  identity: { model: entry?.model ?? "none", provider: entry?.provider ?? "other" },
  visibility: Option.none()
})

const unsafeMake = (options: LlmHostOptions): LlmHost => {
  const { baseToolNames = ["view_image"], registry = defaultRegistry } = options
  const initial = options.initial ?? first(registry)
  const live = new Map<SessionId, HostedSession>()
  const stored = new Map<SessionId, HostedSession>()
  const drops = new Map<SessionId, number>()
  const calls: Array<HostCall> = []
  const active = new Set<HostCall>()
  let current: HostScript = {}
  const storedOf = (sessionId: SessionId) => stored.get(sessionId) ?? initial
  const liveOf = (sessionId: SessionId) => live.get(sessionId) ?? storedOf(sessionId)
  const call = <A>(
    name: HostCall["name"],
    sessionId: SessionId | null,
    work: () => Effect.Effect<A, RuntimeDriverError>
  ): Effect.Effect<A, RuntimeDriverError> =>
    Effect.suspend(() => {
      const made: HostCall = { name, sessionId, n: calls.length + 1 }
      calls.push(made)
      active.add(made)
      const { after, before } = current
      return (before?.(made) ?? Effect.void).pipe(
        Effect.zipRight(Effect.suspend(work)),
        Effect.tap(() => after?.(made) ?? Effect.void),
        Effect.ensuring(Effect.sync(() => active.delete(made)))
      )
    })
  const change = (name: HostCall["name"], sessionId: SessionId, work: () => void) =>
    call(name, sessionId, () => Effect.sync(work))
  return {
    calls: () => calls.slice(),
    names: () => calls.map(({ name }) => name),
    active: () => Array.from(active),
    script: (script) => {
      current = script
    },
    live: liveOf,
    stored: storedOf,
    discarded: (sessionId) => drops.get(sessionId) ?? 0,
    host: {
      hydrateSessionLlmState: (sessionId) =>
        call(
          "hydrateSessionLlmState",
          sessionId,
          () => Effect.sync(() => hydrated(registry, baseToolNames, liveOf(sessionId)))
        ),
      resolveTargetSessionLlmIdentity: (request, identity) =>
        call("resolveTargetSessionLlmIdentity", null, () => resolve(registry, request, identity)),
      applyLiveSessionLlmIdentity: (sessionId, identity) =>
        change("applyLiveSessionLlmIdentity", sessionId, () => live.set(sessionId, { ...liveOf(sessionId), identity })),
      applyLiveSessionToolVisibilityState: (sessionId, visibility) =>
        change(
          "applyLiveSessionToolVisibilityState",
          sessionId,
          () => live.set(sessionId, { ...liveOf(sessionId), visibility })
        ),
      persistLiveSession: (sessionId) =>
        change("persistLiveSession", sessionId, () => stored.set(sessionId, liveOf(sessionId))),
      discardLiveSession: (sessionId) =>
        change("discardLiveSession", sessionId, () => {
          live.delete(sessionId)
          drops.set(sessionId, (drops.get(sessionId) ?? 0) + 1)
        })
    }
  }
}

const hydrated = (
  registry: LlmModelRegistry,
  baseToolNames: ReadonlyArray<string>,
  { identity, visibility }: HostedSession
) => {
  const capabilities = registry.find(({ model, provider }) =>
    model === identity.model && provider === identity.provider
  )
    ?.capabilities
  return {
    currentIdentity: identity,
    ...(Option.isSome(visibility) ? { currentVisibilityState: visibility.value } : {}),
    ...(capabilities === undefined ? {} : { currentCapabilitySurface: capabilities }),
    capabilitySurfaceStatus: capabilities === undefined ? "unresolved" : "resolved",
    baseToolNames
  } as const
}
