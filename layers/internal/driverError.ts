/**
 * Maps kernel rejections and commit failures to the errors of calls by session id (D1). All surfaces use it.
 *
 * @since 0.1.0
 */
import type { SessionAuthority, SubmitError } from "../../services/MachineAuthority.js"
import { bounded } from "../../src/domain/BoundedText.js"
import type { Rejection } from "../../src/domain/Command.js"
import type { RuntimeDriverError, ValidationDetail } from "../../src/domain/Errors.js"
import { Destroyed, Internal, NotReady, sessionGone, ValidationFailed } from "../../src/domain/Errors.js"
import type { SessionId } from "../../src/domain/Ids.js"
import { visible } from "../../src/domain/RuntimeState.js"
import { isRetryable } from "../../src/domain/StoreErrors.js"
import { textOf } from "./rendering.js"
import type { Refusal } from "./stored.js"

const stageErrors: Record<Extract<ValidationDetail, { readonly _tag: "StageError" }>["kind"], string> = {
  UnknownTools: "unknown tools",
  MissingWitnesses: "tools are requested without a witness of their provenance",
  MissingFilterWitnesses: "tools in the filter without a witness",
  InvalidWitnesses: "tools do not match their witnesses",
  InvalidFilterWitnesses: "tools in the filter do not match their witnesses"
}

/** Returns the message of a refusal. */
export const reasonOf = (detail: ValidationDetail): string => {
  switch (detail._tag) {
    case "TooLarge":
      return `too large: ${detail.bytes} bytes, the limit is ${detail.limit}`
    case "DeduplicationUnsupported":
      return `the key belongs to input ${detail.existingId}; deduplication is not supported here`
    case "InputNotQueued":
      return `input ${detail.inputId} is ${detail.phase}, not queued`
    case "StageError":
      return `${stageErrors[detail.kind]}: ${detail.names.join(", ")}`
    default:
      return detail.detail
  }
}

/** Makes the error for an invalid argument. */
export const invalid = (detail: ValidationDetail): ValidationFailed =>
  new ValidationFailed({ reason: bounded(reasonOf(detail)), detail })

const isUnbound = (rejection: Rejection): boolean =>
  rejection._tag === "GuardRejected" && rejection.failed.length === 1 && rejection.failed[0] === "bound"

const ofRejection = (authority: SessionAuthority, rejection: Rejection): RuntimeDriverError => {
  const { lifecycle, registration } = authority.unsafeState()
  const { sessionId } = authority
  if (rejection._tag === "Invalid") return invalid(rejection.detail)
  if (lifecycle._tag === "Destroyed") return new Destroyed({ sessionId })
  if (registration._tag === "Draining") return sessionGone(sessionId)
  const state = visible(lifecycle)
  if (isUnbound(rejection)) {
    const detail = `session "${sessionId}" is not bound: call prepareBindings first`
    return invalid({ _tag: "NoBinding", detail })
  }
  const why = rejection._tag === "GuardRejected" ? ` (${rejection.failed.join(", ")})` : ""
  return new NotReady({ state, detail: `session "${sessionId}" is ${state}: ${rejection.command} is refused${why}` })
}

/** Maps why a command failed to the error of a call by session id (D1). */
export const driverError = (authority: SessionAuthority) => (error: SubmitError): RuntimeDriverError => {
  switch (error._tag) {
    case "Rejected":
      return ofRejection(authority, error.rejection)
    case "Closed":
      return sessionGone(authority.sessionId)
    case "ReloadRequired":
      return reloadRequired(authority.sessionId, error.reason)
    case "CommitFailed":
      return error.error._tag === "CommitTooLarge"
        ? invalid({ _tag: "TooLarge", bytes: error.error.bytes, limit: error.error.limit })
        : new Internal({
          detail: `the store refused a commit of session "${authority.sessionId}": ${error.error._tag}: ${
            textOf(error.error)
          }`,
          cause: error.error,
          retryable: isRetryable(error.error)
        })
  }
}

/** Makes the error for a session that must be registered again. */
export const reloadRequired = (sessionId: SessionId, reason: string): Internal =>
  new Internal({
    detail: `session "${sessionId}" must be registered again before it can continue: ${reason}`,
    retryable: false
  })

/** Returns the error for a turn output that cannot be stored. */
export const refusedError = (refusal: Refusal): RuntimeDriverError =>
  refusal._tag === "TooLarge"
    ? invalid({ _tag: "TooLarge", bytes: refusal.bytes, limit: refusal.limit })
    : invalid({ _tag: "InvalidInput", detail: `the turn's output cannot be stored: ${refusal.detail}` })
