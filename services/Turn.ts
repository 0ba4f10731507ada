/**
 * Constructors of turn outputs. Executors call them to build what `apply` returns.
 *
 * @since 0.1.0
 */
import type { RunResult } from "../src/domain/Completion.js"
import type { Json } from "../src/domain/Json.js"
import * as Message from "../src/domain/Message.js"
import type { TurnOutput } from "./CoreExecutor.js"

/**
 * Answers the turn: appends the messages of its inputs and one assistant message.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import * as CoreExecutor from "effect-meerkat/services/CoreExecutor"
 * import * as Turn from "effect-meerkat/services/Turn"
 *
 * const greeter = CoreExecutor.make(() => Effect.succeed(Turn.reply("hello")))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const reply = (answer: string, extra?: Omit<RunResult, "text">): TurnOutput => ({
  session: { _tag: "Reply", messages: [Message.ofText("assistant", answer)] },
  terminal: { _tag: "RunResult", result: { text: answer, ...extra } }
})

/** Ends the turn without an answer and appends the messages of its inputs. @since 0.1.0 @category constructors */
export const consume: TurnOutput = { session: { _tag: "Reply", messages: [] }, terminal: null }

/** Ends the turn at a tool call that an external caller answers. @since 0.1.0 @category constructors */
export const callback = (toolName: string, args: Json): TurnOutput => ({
  session: { _tag: "Reply", messages: [] },
  terminal: { _tag: "CallbackPending", toolName, args }
})

/** Replaces the body (compaction) and begins a new generation of it. @since 0.1.0 @category constructors */
export const replace = (messages: ReadonlyArray<Message.Message>, result: RunResult): TurnOutput => ({
  session: { _tag: "Replace", messages },
  terminal: { _tag: "RunResult", result }
})
