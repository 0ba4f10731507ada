/**
 * Random inputs for the simulation's clients.
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import type { InputId } from "../../domain/Ids.js"
import { InputId as InputIdSchema } from "../../domain/Ids.js"
import type { Input, InputHeader, InputOrigin, PeerConvention } from "../../domain/Input.js"
import type { TurnMetadata } from "../../domain/Turn.js"
import type { Dice } from "./Dice.js"

/** The text that no scripted executor can answer. @since 0.1.0 @category constructors */
export const poison = "poison"

/** Makes the text of a prompt; a few texts are poison. @since 0.1.0 @category constructors */
export const text = (dice: Dice): string => dice.hit(0.04) ? poison : dice.pick(["hello", "go on", "fix the build"])

/** True if no executor can answer this input. @since 0.1.0 @category guards */
export const isPoison = (input: Input): boolean => input._tag === "Prompt" && input.text === poison

/** Picks a key from a few that clients share. @since 0.1.0 @category constructors */
export const key = (dice: Dice): string => `k${dice.below(6)}`

const origins: NonEmptyReadonlyArray<InputOrigin> = [
  { type: "operator" },
  { type: "system" },
  { type: "flow", flowId: "f", stepIndex: 1 },
  { type: "external", sourceName: "hook" },
  { type: "peer", peerId: "7d8f3f0e-4a54-4f0a-9b7e-0f6a3ad3c001", displayIdentity: "peer" }
]

const news: NonEmptyReadonlyArray<PeerConvention> = [
  { type: "response_progress", requestId: "r", phase: "accepted" },
  { type: "response_progress", requestId: "r", phase: "in_progress" },
  { type: "response_progress", requestId: "r", phase: "partial_result" }
]

const conventions: NonEmptyReadonlyArray<PeerConvention> = [
  ...news,
  { type: "message" },
  { type: "request", requestId: "r", intent: "x" },
  { type: "request", requestId: "r", intent: "y" },
  { type: "response_progress", requestId: "r", phase: "accepted" },
  { type: "response_progress", requestId: "r", phase: "partial_result" },
  { type: "response_progress", requestId: "r", phase: "in_progress" },
  { type: "response_terminal", requestId: "7d8f3f0e-4a54-4f0a-9b7e-0f6a3ad3c002", status: "completed" }
]

const metadata = (dice: Dice): TurnMetadata => ({
  ...(dice.hit(0.3) ? { handlingMode: dice.pick(["queue", "steer"]) } : {}),
  ...(dice.hit(0.2) ? { model: dice.pick(["a", "b"]) } : {}),
  ...(dice.hit(0.1) ? { skillReferences: ["s"] } : {})
})

const header = (dice: Dice, now: number, id: InputId): InputHeader => ({
  id,
  timestamp: now,
  source: dice.pick(origins),
  durability: dice.weighted([["durable", 8], ["ephemeral", 1], ["derived", 1]]),
  visibility: { transcriptEligible: dice.hit(0.9), operatorEligible: dice.hit(0.9) },
  ...(dice.hit(0.15) ? { idempotencyKey: key(dice) } : {}),
  ...(dice.hit(0.15) ? { supersessionKey: dice.pick(["u", "v"]) } : {}),
  ...(dice.hit(0.1) ? { correlationId: "c" } : {})
})

const mode = (dice: Dice) => dice.pick(["queue", "steer"] as const)

const peer = (dice: Dice, head: InputHeader): Input => {
  const convention = dice.pick(conventions)
  // most progress reports coalesce with the report before
  const replaces = convention.type === "response_progress" && dice.hit(0.7)
  return {
    _tag: "Peer",
    header: replaces ? { ...head, supersessionKey: "r" } : head,
    convention,
    body: "peer says",
    ...(dice.hit(0.2) ? { handlingMode: mode(dice) } : {})
  }
}

/** Makes a progress report that coalesces with the report before. @since 0.1.0 @category constructors */
export const progress = (dice: Dice, now: number): Input => ({
  _tag: "Peer",
  header: { ...header(dice, now, InputIdSchema.make(dice.uuid())), supersessionKey: "r" },
  convention: dice.pick(news),
  body: "peer says more"
})

/** True for a progress report of a peer. @since 0.1.0 @category guards */
export const isProgress = (input: Input): boolean =>
  input._tag === "Peer" && input.convention?.type === "response_progress"

/** Makes an input of any kind, also of kinds that no session accepts. @since 0.1.0 @category constructors */
export const any = (dice: Dice, now: number): Input => {
  const head = header(dice, now, InputIdSchema.make(dice.uuid()))
  switch (dice.below(6)) {
    case 0:
      return { _tag: "Prompt", header: head, text: dice.hit(0.05) ? "" : text(dice), metadata: metadata(dice) }
    case 1:
      return peer(dice, head)
    case 2:
      return { _tag: "FlowStep", header: head, stepId: "1", instructions: "do it", metadata: metadata(dice) }
    case 3:
      return { _tag: "ExternalEvent", header: head, eventType: "e", payload: { n: 1 }, handlingMode: mode(dice) }
    case 4:
      return { _tag: "Continuation", header: head, reason: "simulated", handlingMode: mode(dice) }
    default:
      return { _tag: "Operation", header: head, operationId: "o", event: { done: true } }
  }
}
