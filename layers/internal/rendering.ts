/**
 * Renders failures and defects of users' code as text. The value may be anything: not JSON, of any size, or an object
 * that throws when it is read. Invariants: rendering never throws; every text is bounded and well formed, because it is
 * stored and printed.
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

/** The limit of a text. It leaves room for the sentence around the text, so that no text is cut twice. */
const limit = maxReasonBytes - 512

/** Returns the bounded text of `make`; uses `otherwise` if `make` throws or returns something other than a text. */
const rendered = (make: () => string, otherwise: () => string): string =>
  Either.getOrElse(Either.try(() => bounded(wellFormed(make()), limit)), () => bounded(wellFormed(otherwise()), limit))

/** Renders a value; for an error, its message. */
export const textOf = (value: unknown): string =>
  rendered(
    () => value instanceof Error ? value.message || value.name : Inspectable.toStringUnknown(value),
    () => nameless
  )

const valuesOf = (cause: Cause.Cause<unknown>): string =>
  [...Chunk.toReadonlyArray(Cause.failures(cause)), ...Chunk.toReadonlyArray(Cause.defects(cause))]
    .map(textOf)
    .join("; ")

/** Renders a cause with `Cause.pretty`, or without it if that throws. */
export const pretty = (cause: Cause.Cause<unknown>): string =>
  rendered(() => Cause.pretty(cause), () => valuesOf(cause))

/** Renders the messages of a cause, without stack traces. */
export const messagesOf = (cause: Cause.Cause<unknown>): string =>
  rendered(
    () => Cause.prettyErrors(cause).map(({ message, name }) => message === "" ? name : message).join("; "),
    () => valuesOf(cause)
  )

/** Logs a warning with its cause. A cause that a logger cannot render, or that is too long, is logged as text. */
export const logWarning = (message: string, cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  Effect.suspend(() => {
    const text = Either.try(() => Cause.pretty(cause))
    return Either.isRight(text) && bounded(text.right, limit) === text.right
      ? Effect.logWarning(message, cause)
      : Effect.logWarning(message, pretty(cause))
  })
