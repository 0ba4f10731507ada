/**
 * Checks of values that callers give a session to be stored. The surfaces of tools, intents and service turns call it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { Buffer } from "node:buffer"
import type { RuntimeDriverError } from "../../src/domain/Errors.js"
import { invalid } from "./driverError.js"
import type { Entry } from "./entry.js"
import type { Check } from "./stored.js"
import { usable } from "./usable.js"

/**
 * The value as it is stored. Fails `InvalidInput` for another value; a session that is gone says so first, whatever it
 * is given.
 */
export const given = <A>(
  entry: Entry,
  check: Check<A>,
  value: unknown,
  what: string
): Effect.Effect<A, RuntimeDriverError> =>
  Either.match(check(value), {
    onLeft: (detail) =>
      Effect.zipRight(usable(entry), Effect.fail(invalid({ _tag: "InvalidInput", detail: `not ${what}: ${detail}` }))),
    onRight: Effect.succeed
  })

/** The same for documents that are stored whole: fails `TooLarge` beyond `limit` bytes of JSON. */
export const givenWithin = <A>(
  limit: number,
  entry: Entry,
  check: Check<A>,
  value: unknown,
  what: string
): Effect.Effect<A, RuntimeDriverError> =>
  Effect.filterOrElse(
    given(entry, check, value, what),
    (checked) => bytesOf(checked) <= limit,
    (checked) => Effect.fail(invalid({ _tag: "TooLarge", bytes: bytesOf(checked), limit }))
  )

// --- internal ---

const bytesOf = (value: unknown): number => Buffer.byteLength(JSON.stringify(value))
