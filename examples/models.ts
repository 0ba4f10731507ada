import type { SessionLlmReconfigureHost } from "effect-meerkat"
import {
  CoreExecutor,
  Ids,
  LlmIdentity,
  LlmResolution,
  MeerkatMachine,
  MeerkatMachineLive,
  Turn,
  VisibleTools
} from "effect-meerkat"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

const registry: LlmIdentity.LlmModelRegistry = [
  { model: "eagle", provider: "anthropic", capabilities: { ...LlmIdentity.noCapabilities, imageToolResults: true } },
  { model: "mole", provider: "openai", capabilities: LlmIdentity.noCapabilities }
]
const tools = [
  { name: "read", witness: { stableOwnerKey: "builtin:read" } },
  { name: "view_image", witness: { stableOwnerKey: "builtin:view_image" } }
]

// The application keeps the model of the session. A real host holds a client here and stores the model durably.
const live = { model: "eagle", stored: "eagle" }

const host: SessionLlmReconfigureHost.SessionLlmReconfigureHostService = {
  hydrateSessionLlmState: () =>
    Effect.gen(function*() {
      const entry = yield* Effect.orDie(Effect.fromNullable(registry.find(({ model }) => model === live.model)))
      return {
        currentIdentity: { model: entry.model, provider: entry.provider },
        currentCapabilitySurface: entry.capabilities ?? LlmIdentity.noCapabilities,
        capabilitySurfaceStatus: "resolved" as const,
        baseToolNames: tools.map(({ name }) => name)
      }
    }),
  resolveTargetSessionLlmIdentity: (request, current) => LlmResolution.resolve(registry, request, current),
  applyLiveSessionLlmIdentity: (_, { model }) => Effect.sync(() => void (live.model = model)),
  // the executor below reads the visibility from its turns, so the host keeps no copy
  applyLiveSessionToolVisibilityState: () => Effect.void,
  persistLiveSession: () => Effect.sync(() => void (live.stored = live.model)),
  discardLiveSession: () => Effect.sync(() => void (live.model = live.stored))
}

const executor = CoreExecutor.make((turn) => {
  const visible = VisibleTools.visibleTools(tools, turn.visibility).map(({ name }) => name)
  return Effect.succeed(Turn.reply(`${live.model} sees ${visible.join(" and ")}`))
})

const conversation = Effect.gen(function*() {
  const machine = yield* MeerkatMachine.MeerkatMachine
  yield* machine.setSessionLlmReconfigureHost(host)
  const id = Ids.SessionId.make("models")
  const session = yield* machine.sessionScoped(id, executor)
  yield* machine.prepareBindings(id)
  const before = yield* session.ask("who are you?")

  // One change covers the host's live model, its stored model and the session's tools. It completes or is undone.
  const report = yield* session.llm.reconfigure({ model: "mole", provider: "openai" })
  const after = yield* session.ask("and now?")

  const unknown = yield* Effect.flip(session.llm.reconfigure({ model: "owl", provider: "openai" }))
  const surface = yield* session.llm.capabilities
  return {
    before: before.text,
    after: after.text,
    toolsChanged: report.toolVisibilityDelta.committedVisibleSetChanged,
    unknown: unknown._tag,
    imagesFromTools: Option.map(surface, ({ imageToolResults }) => imageToolResults).pipe(Option.getOrNull),
    stored: live.stored
  }
})

export const program = conversation.pipe(Effect.scoped, Effect.provide(MeerkatMachineLive.layerEphemeral))

export const expected = {
  before: "eagle sees read and view_image",
  after: "mole sees read",
  toolsChanged: true,
  unknown: "ValidationFailed",
  imagesFromTools: false,
  stored: "mole"
}
