/** Resolving a request for a model against the registry. */
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

describe("resolving a request for a model", () => {
  it("keeps the fields that the request does not name", () => {
    assert.deepStrictEqual(identityOf({}), a)
    assert.deepStrictEqual(identityOf({ model: "b", provider: "openai" }), { ...a, model: "b", provider: "openai" })
  })

  it("removes cleared fields and replaces given ones", () => {
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

  it("returns the capabilities of the model", () => {
    const { targetCapabilitySurface } = Either.getOrThrow(resolve(registry, { model: "twice", provider: "gemini" }, a))
    assert.deepStrictEqual(targetCapabilitySurface, vision)
  })

  it("refuses a request that contradicts itself", () => {
    assert.include(refusalOf({ provider: "openai" }), "together with a model")
    assert.include(refusalOf({ providerParams: {}, clearProviderParams: true }), "cleared")
    assert.include(refusalOf({ authBinding: { realm: "r", binding: "b" }, clearAuthBinding: true }), "cleared")
  })

  it("matches providers by their exact names", () => {
    assert.include(refusalOf({ model: "b", provider: "OpenAI" }), "OpenAI")
  })

  it("refuses a change of provider that the request does not name", () => {
    assert.include(refusalOf({ model: "b" }), "openai")
    assert.include(refusalOf({ model: "twice", provider: "anthropic" }), "openai, gemini")
  })

  it("refuses an unregistered model and one without known capabilities", () => {
    assert.include(refusalOf({ model: "missing" }), "missing")
    assert.include(refusalOf({ model: "unknown", provider: "other" }), "unknown")
  })

  it("keeps the server of a self-hosted model, or takes the one that serves it", () => {
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
