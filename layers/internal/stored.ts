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
import { beginning } from "../../src/domain/BoundedText.js"
import { textOf } from "./rendering.js"

/** The value as it will be read back, or what is wrong with it in a few words. */
export type Check<A> = (value: unknown) => Either.Either<A, string>

/** Why no commit can hold what was given. */
export type Refusal =
  | { readonly _tag: "TooLarge"; readonly bytes: number; readonly limit: number }
  | { readonly _tag: "Unstorable"; readonly detail: string }

/** A check by a schema; compiled once. What comes back is a copy: what the schema knows of the value, and nothing else. */
export const check = <A, I>(schema: Schema.Schema<A, I>): Check<A> => {
  const validate = Schema.validateEither(schema)
  const checked = (value: unknown): Either.Either<A, string> => Either.mapLeft(validate(asJson(value)), wordsOf)
  // a value that throws when it is looked at, or has no end
  return (value) => Either.flatMap(Either.try({ try: () => checked(value), catch: textOf }), identity)
}

/** The same for a value that is refused also when it is larger than this as JSON. */
export const within = <A>(limit: number, stored: Check<A>): Check<A> => (value) =>
  Either.flatMap(stored(value), (checked) => {
    const bytes = Buffer.byteLength(JSON.stringify(checked))
    return bytes > limit ? Either.left(`it has ${bytes} bytes, and the limit is ${limit}`) : Either.right(checked)
  })

// --- internal ---

/** The value that JSON would write: what says itself how it is written is asked, and what is undefined is absent. */
const asJson = (value: unknown): unknown =>
  Predicate.hasProperty(value, "toJSON") && typeof value.toJSON === "function" && !ArrayBuffer.isView(value)
    ? partsAsJson(value.toJSON())
    : partsAsJson(value)

const partsAsJson = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(asJson)
  if (!Predicate.isRecord(value) || ArrayBuffer.isView(value)) return value
  const parts: Record<string, unknown> = {}
  for (const name of Object.keys(value)) {
    const part = asJson(value[name])
    // a key of this name would not come back, but change what the object is
    if (part !== undefined && name !== "__proto__") parts[name] = part
  }
  return parts
}

/** Enough to find the mistake; they end up in outcomes, so whatever was given is not repeated in full. */
const wordsOf = ({ issue }: ParseResult.ParseError): string =>
  ParseResult.ArrayFormatter.formatIssueSync(issue)
    .slice(0, 3)
    .map(({ message, path }) =>
      [...(path.length === 0 ? [] : [clipped(path.map(String).join("."))]), clipped(message)].join(": ")
    )
    .join("; ")

const clipped = (text: string): string => text.length > 200 ? `${beginning(text, 200)}…` : text
