/**
 * What users' code fails and dies with, as words. It may be anything: a value that no JSON knows, one that throws when it
 * is asked for its name. Nothing of ours may break over it.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Inspectable from "effect/Inspectable"

const nameless = "a value that cannot be shown"

/** A value in words: of an error its message. */
export const textOf = (value: unknown): string =>
  Either.getOrElse(
    Either.try(() => value instanceof Error ? value.message || value.name : Inspectable.toStringUnknown(value)),
    () => nameless
  )

const valuesOf = (cause: Cause.Cause<unknown>): string =>
  [...Chunk.toReadonlyArray(Cause.failures(cause)), ...Chunk.toReadonlyArray(Cause.defects(cause))]
    .map(textOf)
    .join("; ")

/** `Cause.pretty`, and if that does not know a value, what can be said without it. */
export const pretty = (cause: Cause.Cause<unknown>): string =>
  Either.getOrElse(Either.try(() => Cause.pretty(cause)), () => valuesOf(cause))

/** The messages of a failure or defect, not where they came from. */
export const messagesOf = (cause: Cause.Cause<unknown>): string =>
  Either.getOrElse(
    Either.try(() => Cause.prettyErrors(cause).map(({ message, name }) => message === "" ? name : message).join("; ")),
    () => valuesOf(cause)
  )

/** A warning with its cause; loggers render it, so what cannot be rendered goes as words. */
export const logWarning = (message: string, cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  Either.isRight(Either.try(() => Cause.pretty(cause)))
    ? Effect.logWarning(message, cause)
    : Effect.logWarning(message, valuesOf(cause))
