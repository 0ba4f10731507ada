/**
 * Checks that values can be stored and read back. Admission and the other entry points of the machine call it.
 *
 * Values of callers, executors and their libraries may not match their types: they may come from an `any`. Types are also
 * wider than their schemas; for example, NaN is a `number`. So each value is checked with the schema that will read it,
 * before it is written. Invariant: every value that was written can be read.
 *
 * The schema refuses a name with half of a surrogate pair. All other strings are repaired to well-formed text, also the
 * keys of JSON objects. If two keys become equal, the later one wins, as in JSON.
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

/** Returns the value as it will be read back, or a short text that says what is wrong with it. */
export type Check<A> = (value: unknown) => Either.Either<A, string>

/** Why no commit can hold a value. */
export type Refusal =
  | { readonly _tag: "TooLarge"; readonly bytes: number; readonly limit: number }
  | { readonly _tag: "Unstorable"; readonly detail: string }

/** Makes a check from a schema, which it compiles once. A check returns a copy with only the fields of the schema. */
export const check = <A, I>(schema: Schema.Schema<A, I>): Check<A> => {
  const validate = Schema.validateEither(schema)
  const checked = (value: unknown): Either.Either<A, string> => {
    const json = asJson(value)
    const valid = issued(validate(json))
    return Either.isLeft(valid) || isRepaired(valid.right) ? valid : issued(validate(repaired(json)))
  }
  // the value may throw when it is read, or contain itself
  return (value) => Either.flatMap(Either.try({ try: () => checked(value), catch: textOf }), identity)
}

/** Makes a check that also refuses values of more than `limit` bytes as JSON. */
export const within = <A>(limit: number, stored: Check<A>): Check<A> => (value) =>
  Either.flatMap(stored(value), (checked) => {
    const bytes = Buffer.byteLength(JSON.stringify(checked))
    return bytes > limit ? Either.left(`it has ${bytes} bytes, and the limit is ${limit}`) : Either.right(checked)
  })

// --- internal ---

const issued = Either.mapLeft((error: ParseError) => issuesOf(error))

/** Returns the value that JSON would write: it calls `toJSON`, and leaves out undefined fields. */
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
    // an assignment to this key would set the prototype, and the key would not be read back
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
