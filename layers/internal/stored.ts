/**
 * Values as they are stored. What callers, executors and their libraries hand over has our types on paper only: it may
 * come out of an `any`, and types are wider than what is read back (any number is a `number`). The doors of the machine
 * check it against the schema that reads it back, before anything is written: what is written once can be read for ever.
 *
 * A name with half of a surrogate pair is refused by its schema. A text with one is repaired: every other string of the
 * value comes back well formed, keys of JSON objects included. Of two keys that become equal the later wins, as in JSON.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import { identity } from "effect/Function"
import type { ParseError } from "effect/ParseResult"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { isWellFormed, wellFormed } from "../../src/domain/Text.js"
import { issuesOf } from "./issues.js"
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
  const checked = (value: unknown): Either.Either<A, string> => {
    const json = asJson(value)
    const valid = issued(validate(json))
    return Either.isLeft(valid) || isRepaired(valid.right) ? valid : issued(validate(repaired(json)))
  }
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

const issued = Either.mapLeft((error: ParseError) => issuesOf(error))

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

/** Whether every string and key of a JSON value is well formed. */
const isRepaired = (value: unknown): boolean => {
  if (typeof value === "string") return isWellFormed(value)
  if (Array.isArray(value)) return value.every(isRepaired)
  if (!Predicate.isRecord(value) || ArrayBuffer.isView(value)) return true
  for (const name of Object.keys(value)) if (!isWellFormed(name) || !isRepaired(value[name])) return false
  return true
}

const repaired = (value: unknown): unknown => {
  if (typeof value === "string") return wellFormed(value)
  if (Array.isArray(value)) return value.map(repaired)
  if (!Predicate.isRecord(value) || ArrayBuffer.isView(value)) return value
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [wellFormed(name), repaired(part)]))
}
