/** @since 0.1.0 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { RuntimeDriverError } from "../../src/domain/Errors.js"
import { invalid } from "./driverError.js"
import type { Entry } from "./entry.js"
import type { Check } from "./stored.js"
import { usable } from "./usable.js"

/** What a caller gives a session to be stored. A session that is gone says so, whatever it is given. */
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
