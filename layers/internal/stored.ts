/**
 * Values as they are stored. What callers, executors and their libraries hand over has our types on paper only: it may
 * come out of an `any`, and types are wider than what is read back (any number is a `number`). So it is held against the
 * schema that reads it back before anything is written: what is written once can be read for ever.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import { identity } from "effect/Function"
import * as ParseResult from "effect/ParseResult"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { textOf } from "./rendering.js"

/** The value as it will be read back, or what is wrong with it in a few words. */
export type Check<A> = (value: unknown) => Either.Either<A, string>

/** Why no commit can hold what was given. */
export type Refusal =
  | { readonly _tag: "TooLarge"; readonly bytes: number; readonly limit: number }
  | { readonly _tag: "Unstorable"; readonly detail: string }

/** A check by a schema; compiled once. Whatever is as it should be comes back as the same object. */
export const check = <A, I>(schema: Schema.Schema<A, I>): Check<A> => {
  const is = Schema.is(schema)
  const validate = Schema.validateEither(schema)
  const checked = (value: unknown): Either.Either<A, string> =>
    is(value) ? Either.right(value) : Either.mapLeft(validate(present(value)), wordsOf)
  // a value that throws when it is looked at, or has no end
  return (value) => Either.flatMap(Either.try({ try: () => checked(value), catch: textOf }), identity)
}

// --- internal ---

/** Absent is absent: a property that is there and undefined is left out, as JSON does. */
const present = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(present)
  if (!Predicate.isRecord(value) || ArrayBuffer.isView(value) || Predicate.hasProperty(value, "toJSON")) return value
  return Object.fromEntries(
    Object.entries(value).filter(([, field]) => field !== undefined).map(([name, field]) => [name, present(field)])
  )
}

/** Enough to find the mistake; they end up in outcomes, so whatever was given is not repeated in full. */
const wordsOf = ({ issue }: ParseResult.ParseError): string =>
  ParseResult.ArrayFormatter.formatIssueSync(issue)
    .slice(0, 3)
    .map(({ message, path }) => `${path.map(String).join(".")}: ${clipped(message)}`)
    .join("; ")

const clipped = (text: string): string => text.length > 200 ? `${text.slice(0, 200)}…` : text
