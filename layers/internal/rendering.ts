/**
 * Renders what users' code fails or dies with as text. The value may be anything: no JSON, of any size, or one that
 * throws when it is read. Rendering never throws. Every text it makes is bounded and well
 * formed, since it is stored and printed.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Inspectable from "effect/Inspectable"
import { bounded, maxReasonBytes } from "../../src/domain/BoundedText.js"
import { wellFormed } from "../../src/domain/Text.js"

const nameless = "a value that cannot be shown"

/** Leaves room for the sentence that the text stands in, so that no text is cut twice. */
const limit = maxReasonBytes - 512

/** The text of `make`, bounded; a value whose `message` is no text, or throws, is told by `otherwise`. */
const rendered = (make: () => string, otherwise: () => string): string =>
  Either.getOrElse(Either.try(() => bounded(wellFormed(make()), limit)), () => bounded(wellFormed(otherwise()), limit))

/** A value as text: of an error its message. */
export const textOf = (value: unknown): string =>
  rendered(
    () => value instanceof Error ? value.message || value.name : Inspectable.toStringUnknown(value),
    () => nameless
  )

const valuesOf = (cause: Cause.Cause<unknown>): string =>
  [...Chunk.toReadonlyArray(Cause.failures(cause)), ...Chunk.toReadonlyArray(Cause.defects(cause))]
    .map(textOf)
    .join("; ")

/** `Cause.pretty`, and if that does not know a value, what can be said without it. */
export const pretty = (cause: Cause.Cause<unknown>): string =>
  rendered(() => Cause.pretty(cause), () => valuesOf(cause))

/** The messages of a failure or defect, not where they came from. */
export const messagesOf = (cause: Cause.Cause<unknown>): string =>
  rendered(
    () => Cause.prettyErrors(cause).map(({ message, name }) => message === "" ? name : message).join("; "),
    () => valuesOf(cause)
  )

/** Logs a warning with its cause. Loggers render the cause: one that cannot be rendered, or is too long, goes as text. */
export const logWarning = (message: string, cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  Effect.suspend(() => {
    const text = Either.try(() => Cause.pretty(cause))
    return Either.isRight(text) && bounded(text.right, limit) === text.right
      ? Effect.logWarning(message, cause)
      : Effect.logWarning(message, pretty(cause))
  })
