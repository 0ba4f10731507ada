/**
 * A model host in memory: it keeps the model and the visibility of live sessions, and what it would store of them. Every
 * call is counted and can be held, failed or made to die, before or after it has done its work.
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

/** A session as the host has it. @since 0.1.0 @category models */
export interface HostedSession {
  readonly identity: SessionLlmIdentity
  readonly visibility: Option.Option<SessionToolVisibilityState>
}

/** A call of the host. @since 0.1.0 @category models */
export interface HostCall {
  readonly name: keyof SessionLlmReconfigureHostService
  /** null for `resolveTargetSessionLlmIdentity`, which is about none */
  readonly sessionId: SessionId | null
  /** calls so far, this one included */
  readonly n: number
}

/** What happens to calls; absent parts do nothing. @since 0.1.0 @category models */
export interface HostScript {
  /** before the call does its work; when it fails the call has done nothing */
  readonly before?: (call: HostCall) => Effect.Effect<void, RuntimeDriverError>
  /** after it did its work */
  readonly after?: (call: HostCall) => Effect.Effect<void, RuntimeDriverError>
}

/** @since 0.1.0 @category models */
export interface LlmHostOptions {
  /** the models there are; `defaultRegistry` if absent */
  readonly registry?: LlmModelRegistry
  /** what every session begins with; the first model of the registry, no visibility, if absent */
  readonly initial?: HostedSession
  /** tools that every session has; `["view_image"]` if absent */
  readonly baseToolNames?: ReadonlyArray<string>
}

/** @since 0.1.0 @category models */
export interface LlmHost {
  readonly host: SessionLlmReconfigureHostService
  readonly calls: () => ReadonlyArray<HostCall>
  /** names of the calls for one session, those that are about none included */
  readonly names: () => ReadonlyArray<HostCall["name"]>
  /** calls that are going on right now, per session at most one */
  readonly active: () => ReadonlyArray<HostCall>
  readonly script: (script: HostScript) => void
  /** the live session */
  readonly live: (sessionId: SessionId) => HostedSession
  /** the stored session: what a discarded one begins with again */
  readonly stored: (sessionId: SessionId) => HostedSession
  /** how often a live session was dropped */
  readonly discarded: (sessionId: SessionId) => number
}

/** Two models: `seeing` takes images from tools, `blind` does not. @since 0.1.0 @category constructors */
export const defaultRegistry: LlmModelRegistry = [
  { model: "seeing", provider: "anthropic", capabilities: { ...noCapabilities, vision: true, imageToolResults: true } },
  { model: "blind", provider: "openai", capabilities: noCapabilities }
]

/** A host. @since 0.1.0 @category constructors */
export const make = (options: LlmHostOptions = {}): Effect.Effect<LlmHost> => Effect.sync(() => unsafeMake(options))

/** The host of a machine's layer. @since 0.1.0 @category layers */
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
