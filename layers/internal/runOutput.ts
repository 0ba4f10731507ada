/**
 * Converts the output of an executor to the output that the kernel commits. Settlements call it when a run succeeds.
 * Invariant: a converted output can be stored and read back, and its size is within `maxCommitBytes`.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import type { SessionUpdate, TurnOutput } from "../../services/CoreExecutor.js"
import type { RunOutput } from "../../src/domain/Command.js"
import type { CompletionOutcome } from "../../src/domain/Completion.js"
import { RunResult } from "../../src/domain/Completion.js"
import { Json } from "../../src/domain/Json.js"
import { Message } from "../../src/domain/Message.js"
import type { SessionHead, SessionPart } from "../../src/domain/RuntimeCommit.js"
import type { Blobs } from "./blobs.js"
import * as ContentBytes from "./contentBytes.js"
import { roll, sha256 } from "./digest.js"
import { textOf } from "./rendering.js"
import type { Refusal } from "./stored.js"
import * as Stored from "./stored.js"

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

const sessionPart = (base: SessionHead, update: SessionUpdate): SessionPart | null => {
  switch (update._tag) {
    case "Reply":
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

const messages = Schema.Array(Message)

/** The schema of the stored part of an output. */
const Output: Schema.Schema<TurnOutput> = Schema.Struct({
  session: Schema.Union(
    Schema.TaggedStruct("Reply", { messages }),
    Schema.TaggedStruct("Append", { messages }),
    Schema.TaggedStruct("Replace", { messages }),
    Schema.TaggedStruct("Opaque", { bytes: Schema.Uint8ArrayFromSelf, messageCount: Schema.NonNegativeInt }),
    Schema.TaggedStruct("None", {})
  ),
  terminal: Schema.NullOr(Schema.Union(
    Schema.TaggedStruct("RunResult", { result: RunResult }),
    Schema.TaggedStruct("CallbackPending", { toolName: Schema.String, args: Json }),
    Schema.TaggedStruct("NoPendingBoundary", {})
  ))
})

const check = Stored.check(Output)

const unstorable = (detail: string): Refusal => ({ _tag: "Unstorable", detail })

/**
 * The size of an output, as its author counts it. An answer is stored twice, as outcome and as message, but counts once.
 * Each input was checked at its admission, so only the sum of several inputs is checked here.
 */
const sizeOf = ({ session }: TurnOutput, made: RunOutput, inputs: number): number => {
  const outcome = ContentBytes.ofOutcome(made.outcome)
  if (session._tag !== "Reply") return Math.max(outcome, ContentBytes.ofPart(made.session))
  const own = ContentBytes.ofMessages(session.messages.slice(inputs))
  return Math.max(outcome, own, inputs > 1 ? ContentBytes.ofMessages(session.messages.slice(0, inputs)) : 0)
}

/** Puts the messages of the inputs before those of a reply. */
const whole = (output: TurnOutput, appends: ReadonlyArray<Message>): TurnOutput => {
  const { session } = output
  return session._tag === "Reply" && appends.length > 0
    ? { ...output, session: { ...session, messages: [...appends, ...session.messages] } }
    : output
}

const make = (output: TurnOutput, base: SessionHead, agentApplied: number): RunOutput => {
  const session = sessionPart(base, output.session)
  const head = session?.head ?? base
  return {
    session,
    conversationDigest: head.digest,
    messageCount: head.messageCount,
    outcome: outcomeOf(output),
    agentApplied
  }
}

/** The context of a run that its output is committed with. */
export interface RunContext {
  readonly base: SessionHead
  /** the messages of the inputs */
  readonly appends: ReadonlyArray<Message>
  readonly agentApplied: number
  /** the most bytes of the answer, and the most bytes of several inputs together */
  readonly limit: number
}

/** The output to commit, and its size. */
export interface Sized {
  readonly made: RunOutput
  readonly bytes: number
}

const fitting = (
  output: TurnOutput,
  { agentApplied, appends, base, limit }: RunContext
): Either.Either<Sized, Refusal> =>
  Either.flatMap(
    Either.try({
      try: () => {
        const made = make(output, base, agentApplied)
        return { made, bytes: sizeOf(output, made, appends.length) }
      },
      catch: (cause) => unstorable(textOf(cause))
    }),
    (sized) =>
      sized.bytes > limit ? Either.left<Refusal>({ _tag: "TooLarge", bytes: sized.bytes, limit }) : Either.right(sized)
  )

/**
 * Converts what an executor returned, and computes digest and message count (D20). Fails with a `Refusal` when the value
 * cannot be read back, or is larger than the limit. Media of ephemeral inputs go to the blob store here, because from
 * here on a stored message names them.
 */
export const toRunOutput = (
  blobs: Pick<Blobs, "ofOutput">,
  given: TurnOutput,
  context: RunContext
): Effect.Effect<Sized, Refusal> =>
  Effect.flatMap(
    Either.mapLeft(check(given), unstorable),
    (output) => Effect.flatMap(blobs.ofOutput(whole(output, context.appends)), (kept) => fitting(kept, context))
  )
