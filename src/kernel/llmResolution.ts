/**
 * Resolves a request for another model, given the models that a host knows. Hosts call it in
 * `resolveTargetSessionLlmIdentity`.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { ValidationFailed } from "../domain/Errors.js"
import type {
  LlmModelEntry,
  LlmModelRegistry,
  ResolvedSessionLlmReconfigure,
  SessionLlmIdentity,
  SessionLlmReconfigureRequest
} from "../domain/LlmIdentity.js"
import { LlmProvider } from "../domain/LlmIdentity.js"

/**
 * Returns the identity that a request makes of the current one, and the capabilities of that model.
 *
 * What the request leaves out stays the same; a clear flag removes it. Fails `ValidationFailed{InvalidReconfigure}`
 * for:
 * - a provider without a model, or an unknown provider;
 * - a clear flag beside a value;
 * - a model that the registry lists under other providers only;
 * - a self-hosted model without a server;
 * - a model with unknown capabilities.
 *
 * @since 0.1.0
 * @category rules
 */
export const resolve = (
  registry: LlmModelRegistry,
  request: SessionLlmReconfigureRequest,
  current: SessionLlmIdentity
): Either.Either<ResolvedSessionLlmReconfigure, ValidationFailed> =>
  Either.gen(function*() {
    yield* checkRequest(request)
    const model = request.model ?? current.model
    const provider = yield* providerOf(request, current)
    const listed = registry.filter((entry) => entry.model === model)
    const entries = listed.filter((entry) => entry.provider === provider)
    if (request.model !== undefined && listed.length > 0 && entries.length === 0) {
      return yield* invalid(
        `model "${model}" belongs to ${listed.map((entry) => entry.provider).join(", ")}, not to ${provider}`
      )
    }
    const serverId = yield* serverOf(entries, request, current, provider, model)
    const entry = entries.find(({ selfHostedServerId }) => selfHostedServerId === serverId) ?? entries[0]
    if (entry?.capabilities === undefined) {
      return yield* invalid(`the capabilities of model "${model}" of ${provider} are unknown; add it to the registry`)
    }
    return {
      targetIdentity: identity(model, provider, serverId, request, current),
      targetCapabilitySurface: entry.capabilities
    }
  })

// --- internal ---

const invalid = (detail: string): Either.Either<never, ValidationFailed> =>
  Either.left(new ValidationFailed({ reason: detail, detail: { _tag: "InvalidReconfigure", detail } }))

const checkRequest = (request: SessionLlmReconfigureRequest): Either.Either<void, ValidationFailed> => {
  if (request.provider !== undefined && request.model === undefined) {
    return invalid("a provider can only be given together with a model")
  }
  if (request.clearProviderParams === true && request.providerParams !== undefined) {
    return invalid("provider parameters cannot be given and cleared at once")
  }
  return request.clearAuthBinding === true && request.authBinding !== undefined
    ? invalid("an auth binding cannot be given and cleared at once")
    : Either.void
}

const isProvider = Schema.is(LlmProvider)

const providerOf = (
  { provider }: SessionLlmReconfigureRequest,
  current: SessionLlmIdentity
): Either.Either<LlmProvider, ValidationFailed> => {
  if (provider === undefined) return Either.right(current.provider)
  return isProvider(provider)
    ? Either.right(provider)
    : invalid(`there is no provider "${provider}"; there are ${LlmProvider.literals.join(", ")}`)
}

/** Returns the server of a self-hosted model. The current server stays if it has the model. */
const serverOf = (
  entries: ReadonlyArray<LlmModelEntry>,
  request: SessionLlmReconfigureRequest,
  current: SessionLlmIdentity,
  provider: LlmProvider,
  model: string
): Either.Either<string | undefined, ValidationFailed> => {
  if (provider !== "self_hosted") return Either.right(undefined)
  const servers = entries.flatMap(({ selfHostedServerId }) =>
    selfHostedServerId === undefined ? [] : [selfHostedServerId]
  )
  const { selfHostedServerId: chosen } = current
  if (chosen !== undefined && (request.model === undefined || servers.includes(chosen))) return Either.right(chosen)
  const [first] = servers
  return first === undefined && request.model !== undefined
    ? invalid(`no server of the registry has the self-hosted model "${model}"`)
    : Either.right(first)
}

const identity = (
  model: string,
  provider: LlmProvider,
  serverId: string | undefined,
  request: SessionLlmReconfigureRequest,
  current: SessionLlmIdentity
): SessionLlmIdentity => {
  const params = request.clearProviderParams === true
    ? undefined
    // null is an ordinary value here
    : request.providerParams === undefined
    ? current.providerParams
    : request.providerParams
  const auth = request.clearAuthBinding === true ? undefined : request.authBinding ?? current.authBinding
  return {
    model,
    provider,
    ...(serverId === undefined ? {} : { selfHostedServerId: serverId }),
    ...(params === undefined ? {} : { providerParams: params }),
    ...(auth === undefined ? {} : { authBinding: auth })
  }
}
