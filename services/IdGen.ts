/**
 * The service that generates ids. The machine calls it for runs, inputs, operations and commit requests.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"

/**
 * Generates UUIDs, version 7: ordered by the clock's milliseconds, random below.
 *
 * @since 0.1.0
 * @category tags
 */
export class IdGen extends Context.Tag("effect-meerkat/services/IdGen")<IdGen, {
  readonly next: Effect.Effect<string>
}>() {}
