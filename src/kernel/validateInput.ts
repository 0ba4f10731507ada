/**
 * The rules that an input must satisfy by itself. The accept command calls them after the phase check and before
 * deduplication.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import type { ValidationDetail } from "../domain/Errors.js"
import type { Input } from "../domain/Input.js"
import { kindOf } from "../domain/Input.js"
import { terminalResponse } from "./peerResponse.js"

/**
 * Returns the input, or the first rule that it breaks. The rules read the input alone. The session's phase is checked
 * before, duplicates are checked afterwards.
 *
 * @since 0.1.0
 * @category constructors
 */
export const validateInput = (input: Input): Either.Either<Input, ValidationDetail> => {
  const detail = derivedFromOutside(input) ?? derivedKind(input) ?? progressMode(input) ?? response(input) ??
    emptyPrompt(input)
  return detail === undefined ? Either.right(input) : Either.left(detail)
}

// --- internal ---

type Rule = (input: Input) => ValidationDetail | undefined

const derivedFromOutside: Rule = ({ header: { durability, source } }) =>
  durability === "derived" && source.type !== "system" && source.type !== "flow"
    ? { _tag: "DurabilityViolation", detail: "External ingress cannot submit derived inputs" }
    : undefined

const derivedKind: Rule = (input) =>
  input.header.durability === "derived" && !mayBeDerived(input)
    ? { _tag: "DurabilityViolation", detail: `Derived durability forbidden for ${kindOf(input)}` }
    : undefined

/** A derived input is made from other facts of the session. Prompts and flow steps carry content of a caller. */
const mayBeDerived = (input: Input): boolean => {
  switch (input._tag) {
    case "Prompt":
    case "FlowStep":
      return false
    case "Peer":
      return input.convention === undefined || input.convention.type === "response_progress"
    case "ExternalEvent":
    case "Continuation":
    case "Operation":
      return true
  }
}

const progressMode: Rule = (input) =>
  input._tag === "Peer" && input.convention?.type === "response_progress" && input.handlingMode !== undefined
    ? {
      _tag: "PeerHandlingModeInvalid",
      detail: "handling_mode is forbidden on ResponseProgress peer inputs"
    }
    : undefined

const response: Rule = (input) => {
  const parsed = terminalResponse(input)
  return Either.isLeft(parsed) ? { _tag: "PeerResponseTerminalInvalid", detail: parsed.left } : undefined
}

const emptyPrompt: Rule = (input) =>
  input._tag === "Prompt" && input.text.trim() === "" && (input.blocks ?? []).length === 0
    ? { _tag: "InvalidInput", detail: "prompt is empty" }
    : undefined
