/**
 * Reads the final answer that a peer input carries, and checks the identities in it. Validation and projection call it.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import type { Input, InputOrigin, PeerConvention } from "../domain/Input.js"

/** A peer's final answer to a request, with its identities. @since 0.1.0 @category models */
export interface TerminalResponse {
  readonly peerId: string
  readonly displayIdentity: string
  readonly requestId: string
  readonly status: "completed" | "failed" | "cancelled"
}

/** True if the trimmed text is a UUID. @since 0.1.0 @category guards */
export const isUuid = (text: string): boolean => uuid(text.trim())

/**
 * Returns the final answer that an input carries; null if it carries none or does not come from a peer. Fails with the
 * first error in the answer.
 *
 * @since 0.1.0
 * @category accessors
 */
export const terminalResponse = (input: Input): Either.Either<TerminalResponse | null, string> =>
  input._tag === "Peer" && input.convention?.type === "response_terminal" && input.header.source.type === "peer"
    ? parse(input.header.source, input.convention)
    : Either.right(null)

// --- internal ---

type PeerOrigin = Extract<InputOrigin, { readonly type: "peer" }>
type Terminal = Extract<PeerConvention, { readonly type: "response_terminal" }>

const uuid = Schema.is(Schema.UUID)

const isBlank = (text: string): boolean => text.trim() === ""

const hasControl = (text: string): boolean => /\p{Cc}/u.test(text)

const parse = (origin: PeerOrigin, convention: Terminal): Either.Either<TerminalResponse, string> => {
  const wrong = wrongOrigin(origin) ?? wrongRequest(convention.requestId)
  return wrong === null
    ? Either.right({
      peerId: origin.peerId.trim(),
      displayIdentity: origin.displayIdentity ?? origin.peerId,
      requestId: convention.requestId.trim(),
      status: convention.status
    })
    : Either.left(wrong)
}

const wrongOrigin = ({ displayIdentity, peerId, runtimeId }: PeerOrigin): string | null => {
  if (runtimeId !== undefined && isBlank(runtimeId)) {
    return "transport identity cannot be empty"
  }
  if (isBlank(peerId)) {
    return "route identity cannot be empty"
  }
  if (hasControl(peerId) || !isUuid(peerId)) {
    return "route identity must be a canonical peer UUID"
  }
  if (displayIdentity === undefined) {
    return "display identity is required"
  }
  if (isBlank(displayIdentity)) {
    return "display identity cannot be empty"
  }
  return hasControl(displayIdentity) ? "display identity cannot contain control characters" : null
}

const wrongRequest = (requestId: string): string | null =>
  isBlank(requestId)
    ? "correlation id cannot be empty"
    : isUuid(requestId)
    ? null
    : `correlation id must be a UUID: ${requestId}`
