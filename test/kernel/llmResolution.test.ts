import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import type {
  LlmModelRegistry,
  SessionLlmIdentity,
  SessionLlmReconfigureRequest
} from "../../src/domain/LlmIdentity.js"
import { noCapabilities } from "../../src/domain/LlmIdentity.js"
import { resolve } from "../../src/kernel/llmResolution.js"

const vision = { ...noCapabilities, vision: true }

const registry: LlmModelRegistry = [
  { model: "a", provider: "anthropic", capabilities: vision },
  { model: "b", provider: "openai", capabilities: noCapabilities },
  { model: "twice", provider: "openai", capabilities: noCapabilities },
  { model: "twice", provider: "gemini", capabilities: vision },
  { model: "unknown", provider: "other" },
  { model: "local", provider: "self_hosted", selfHostedServerId: "s1", capabilities: noCapabilities },
  { model: "local", provider: "self_hosted", selfHostedServerId: "s2", capabilities: vision },
  { model: "nowhere", provider: "self_hosted", capabilities: noCapabilities }
]

const a: SessionLlmIdentity = {
  model: "a",
  provider: "anthropic",
  providerParams: { temperature: 1 },
  authBinding: { realm: "r", binding: "b" }
}
const local: SessionLlmIdentity = { model: "local", provider: "self_hosted", selfHostedServerId: "s2" }

const identityOf = (request: SessionLlmReconfigureRequest, current = a) =>
  Either.getOrThrow(resolve(registry, request, current)).targetIdentity

const refusalOf = (request: SessionLlmReconfigureRequest, current = a) => {
  const error = Either.getOrThrow(Either.flip(resolve(registry, request, current)))
  assert.strictEqual(error.detail._tag, "InvalidReconfigure")
  return error.message
}

describe("what a request for a model comes to", () => {
  it("leaves what it does not name", () => {
    assert.deepStrictEqual(identityOf({}), a)
    assert.deepStrictEqual(identityOf({ model: "b", provider: "openai" }), { ...a, model: "b", provider: "openai" })
  })

  it("removes what a clear flag names, and replaces what is given", () => {
    assert.deepStrictEqual(identityOf({ clearProviderParams: true, clearAuthBinding: true }), {
      model: "a",
      provider: "anthropic"
    })
    const authBinding = { realm: "r", binding: "c", profile: "p" }
    assert.deepStrictEqual(identityOf({ providerParams: null, authBinding }), {
      ...a,
      providerParams: null,
      authBinding
    })
  })

  it("answers with what the model can do", () => {
    const { targetCapabilitySurface } = Either.getOrThrow(resolve(registry, { model: "twice", provider: "gemini" }, a))
    assert.deepStrictEqual(targetCapabilitySurface, vision)
  })

  it("refuses what contradicts itself", () => {
    assert.include(refusalOf({ provider: "openai" }), "together with a model")
    assert.include(refusalOf({ providerParams: {}, clearProviderParams: true }), "cleared")
    assert.include(refusalOf({ authBinding: { realm: "r", binding: "b" }, clearAuthBinding: true }), "cleared")
  })

  it("knows providers by their exact names", () => {
    assert.include(refusalOf({ model: "b", provider: "OpenAI" }), "OpenAI")
  })

  it("does not move to another provider unasked", () => {
    assert.include(refusalOf({ model: "b" }), "openai")
    assert.include(refusalOf({ model: "twice", provider: "anthropic" }), "openai, gemini")
  })

  it("refuses a model of which nothing is known", () => {
    assert.include(refusalOf({ model: "nobody" }), "nobody")
    assert.include(refusalOf({ model: "unknown", provider: "other" }), "unknown")
  })

  it("keeps the server of a self-hosted model, or takes the one that has it", () => {
    assert.deepStrictEqual(identityOf({}, local), local)
    assert.deepStrictEqual(identityOf({ model: "local", provider: "self_hosted" }, local), local)
    assert.strictEqual(identityOf({ model: "local", provider: "self_hosted" }).selfHostedServerId, "s1")
    assert.strictEqual(identityOf({}, { model: "local", provider: "self_hosted" }).selfHostedServerId, "s1")
    assert.isUndefined(identityOf({ model: "a", provider: "anthropic" }, local).selfHostedServerId)
    assert.include(refusalOf({ model: "nowhere", provider: "self_hosted" }, local), "nowhere")
    const { targetCapabilitySurface } = Either.getOrThrow(resolve(registry, {}, local))
    assert.deepStrictEqual(targetCapabilitySurface, vision)
  })
})
