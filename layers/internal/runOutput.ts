/** @since 0.1.0 */
import * as Either from "effect/Either"
import type { SessionUpdate, TurnOutput } from "../../services/CoreExecutor.js"
import type { RunOutput } from "../../src/domain/Command.js"
import type { CompletionOutcome } from "../../src/domain/Completion.js"
import type { Message } from "../../src/domain/Message.js"
import type { SessionHead, SessionPart } from "../../src/domain/RuntimeCommit.js"
import { roll, sha256 } from "./digest.js"
import { textOf } from "./rendering.js"

const append = (base: SessionHead, messages: ReadonlyArray<Message>): SessionPart | null =>
  messages.length === 0 ? null : {
    _tag: "Append",
    base,
    messages,
    head: {
      generation: base.generation,
      messageCount: base.messageCount + messages.length,
      digest: roll(base.digest, messages)
    }
  }

const sessionPart = (
  base: SessionHead,
  update: SessionUpdate,
  appends: ReadonlyArray<Message>
): SessionPart | null => {
  switch (update._tag) {
    case "Reply":
      return append(base, [...appends, ...update.messages])
    case "Append":
      return append(base, update.messages)
    case "Replace":
      return {
        _tag: "Replace",
        base,
        messages: update.messages,
        head: {
          generation: base.generation + 1,
          messageCount: update.messages.length,
          digest: roll(null, update.messages)
        }
      }
    case "Opaque":
      return {
        _tag: "Opaque",
        base,
        bytes: update.bytes,
        head: { generation: base.generation + 1, messageCount: update.messageCount, digest: sha256(update.bytes) }
      }
    case "None":
      return null
  }
}

const outcomeOf = ({ terminal }: TurnOutput): CompletionOutcome => {
  switch (terminal?._tag) {
    case "RunResult":
      return { _tag: "Completed", result: terminal.result }
    case "CallbackPending":
      return { _tag: "CallbackPending", toolName: terminal.toolName, args: terminal.args }
    default:
      return { _tag: "CompletedWithoutResult" }
  }
}

/** Why no commit can hold an output. */
export type Refusal =
  | { readonly _tag: "TooLarge"; readonly bytes: number; readonly limit: number }
  | { readonly _tag: "NoJson"; readonly detail: string }

/** Bytes of what is committed, as far as they can make a commit too large. */
const sizeOf = ({ outcome, session }: RunOutput): number =>
  JSON.stringify(outcome).length +
  (session === null
    ? 0
    : session._tag === "Opaque"
    ? session.bytes.byteLength
    : JSON.stringify(session.messages).length)

const make = (
  output: TurnOutput,
  base: SessionHead,
  appends: ReadonlyArray<Message>,
  agentApplied: number
): RunOutput => {
  const session = sessionPart(base, output.session, appends)
  const head = session?.head ?? base
  return {
    session,
    conversationDigest: head.digest,
    messageCount: head.messageCount,
    outcome: outcomeOf(output),
    agentApplied
  }
}

/**
 * What an executor returned, as the kernel commits it; digest and message count are ours (D20). What the inputs said is
 * part of it, and counts: input and answer may each fit, and not both of them.
 */
export const toRunOutput = (
  output: TurnOutput,
  base: SessionHead,
  appends: ReadonlyArray<Message>,
  agentApplied: number,
  limit: number
): Either.Either<RunOutput, Refusal> =>
  Either.flatMap(
    Either.try({
      try: () => {
        const made = make(output, base, appends, agentApplied)
        return { made, bytes: sizeOf(made) }
      },
      catch: (cause): Refusal => ({ _tag: "NoJson", detail: textOf(cause) })
    }),
    ({ bytes, made }) => bytes > limit ? Either.left<Refusal>({ _tag: "TooLarge", bytes, limit }) : Either.right(made)
  )
