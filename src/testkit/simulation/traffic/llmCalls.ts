/**
 * The simulation's calls of the LLM surface, and the model host that they need.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { LlmControl, SessionLlm } from "../../../../services/SessionLlm.js"
import type { SessionLlmReconfigureHostService } from "../../../../services/SessionLlmReconfigureHost.js"
import type { RuntimeDriverError } from "../../../domain/Errors.js"
import { Internal } from "../../../domain/Errors.js"
import type { SessionLlmCapabilitySurface, SessionLlmReconfigureRequest } from "../../../domain/LlmIdentity.js"
import type { Dice } from "../Dice.js"
import { count } from "../Journal.js"
import type { World } from "../World.js"
import type { Call } from "./Call.js"
import { atOnce, patient } from "./Patience.js"

const surface: SessionLlmCapabilitySurface = {
  supportsTemperature: true,
  supportsThinking: false,
  supportsReasoning: false,
  inlineVideo: false,
  vision: true,
  imageInput: true,
  imageToolResults: false,
  supportsWebSearch: false,
  imageGeneration: false,
  realtime: false
}

/** A step of the host: it succeeds, is slow, fails, dies, or exceeds every limit. */
const step = <A>({ dice, journal }: World, name: string, answer: A): Effect.Effect<A, RuntimeDriverError> =>
  Effect.suspend((): Effect.Effect<A, RuntimeDriverError> => {
    count(journal, "host", name)
    return dice.weighted<() => Effect.Effect<A, RuntimeDriverError>>([
      [() => Effect.succeed(answer), 12],
      [() => Effect.as(Effect.sleep(dice.below(50)), answer), 4],
      [() => Effect.fail(new Internal({ detail: "simulated", retryable: dice.hit(0.5) })), 1],
      [() => Effect.dieMessage("simulated"), 0.3],
      [() => Effect.as(Effect.sleep("2 minutes"), answer), 0.3]
    ])()
  })

const host = (world: World): SessionLlmReconfigureHostService => ({
  hydrateSessionLlmState: () =>
    step(world, "hydrate", {
      currentIdentity: { model: "a", provider: "openai" },
      currentCapabilitySurface: surface,
      capabilitySurfaceStatus: "resolved",
      baseToolNames: ["read", "write", "view_image"]
    }),
  resolveTargetSessionLlmIdentity: (request, current) =>
    step(world, "resolve", {
      targetIdentity: { ...current, model: request.model ?? current.model },
      targetCapabilitySurface: { ...surface, imageToolResults: request.model === "b" }
    }),
  applyLiveSessionLlmIdentity: () => step(world, "applyIdentity", undefined),
  applyLiveSessionToolVisibilityState: () => step(world, "applyVisibility", undefined),
  persistLiveSession: () => step(world, "persist", undefined),
  discardLiveSession: () => step(world, "discard", undefined)
})

const request = (dice: Dice): SessionLlmReconfigureRequest =>
  dice.hit(0.9) ? { model: dice.pick(["a", "b"]) } : { provider: "openai" }

/** Every LLM method of the machine. @since 0.1.0 @category traffic */
export const llmCalls: Record<keyof LlmControl, Call> = {
  setSessionLlmReconfigureHost: ({ machine, world }) => machine.setSessionLlmReconfigureHost(host(world)),
  reconfigureSessionLlmIdentity: (crew, id) =>
    Effect.suspend(() => {
      const { machine, world: { dice } } = crew
      const wait = { method: "machine.reconfigureSessionLlmIdentity", sessionId: id, waits: atOnce }
      return patient(crew.world, wait, machine.reconfigureSessionLlmIdentity(id, request(dice)))
    }),
  resolvedSessionLlmCapabilities: ({ machine }, id) => machine.resolvedSessionLlmCapabilities(id)
}

/** Every LLM method of a handle. @since 0.1.0 @category traffic */
export const handleLlmCalls: Record<keyof SessionLlm, Call> = {
  reconfigure: (crew, id) =>
    Effect.suspend(() => {
      const { machine, world: { dice } } = crew
      const wait = { method: "session.llm.reconfigure", sessionId: id, waits: atOnce }
      return patient(crew.world, wait, machine.session(id).llm.reconfigure(request(dice)))
    }),
  capabilities: ({ machine }, id) => machine.session(id).llm.capabilities,
  identity: ({ machine }, id) => machine.session(id).llm.identity
}
