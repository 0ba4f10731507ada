/**
 * A session is acquired for something that is done with it. A call that fails at that, or is interrupted, takes what it
 * registered away again, and nothing else.
 *
 * @since 0.1.0
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { RuntimeDriverError } from "../../src/domain/Errors.js"
import type { SessionId } from "../../src/domain/Ids.js"
import type { Entry } from "./entry.js"
import type { Registry } from "./registry.js"

export interface AcquireDeps {
  readonly registry: Pick<Registry, "find" | "acquire">
  /** ends an entry; completes when it has ended, however that went */
  readonly end: (entry: Entry) => Effect.Effect<void>
}

/** What came of it, and of which entry; `created` says whether this call registered that. */
export interface Acquired<A> {
  readonly outcome: A
  readonly entry: Entry
  readonly created: boolean
}

export type AcquireFor = <A, E>(
  sessionId: SessionId,
  use: (entry: Entry) => Effect.Effect<A, E>,
  /** told synchronously when it is done: who is interrupted then does not get the answer */
  onDone?: (done: Omit<Acquired<A>, "outcome">) => void
) => Effect.Effect<Acquired<A>, RuntimeDriverError | E>

export const make = (deps: AcquireDeps): AcquireFor => {
  /** Stays when somebody else has come upon it, or when it is not the session's entry any more. */
  const takeBack = (entry: Entry): Effect.Effect<void> =>
    Effect.suspend(() => deps.registry.find(entry.sessionId) === entry && !entry.shared ? deps.end(entry) : Effect.void)

  return (sessionId, use, onDone = () => {}) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.suspend(() => {
        let begun: Deferred.Deferred<Entry, RuntimeDriverError> | null = null
        const acquired = deps.registry.acquire(sessionId, (opened) => {
          begun = opened
        })
        // interrupted when the session was there already, and before this call came to know
        const unnoticed = Effect.suspend(() =>
          begun === null ? Effect.void : Effect.flatMap(
            Deferred.poll(begun),
            Option.match({
              onNone: () => Effect.void,
              onSome: (opened) => Effect.ignore(Effect.flatMap(opened, takeBack))
            })
          )
        )
        return Effect.flatMap(
          Effect.onInterrupt(restore(acquired), () => unnoticed),
          ({ created, entry }) =>
            restore(use(entry)).pipe(
              Effect.map((outcome) => {
                onDone({ entry, created })
                return { outcome, entry, created }
              }),
              Effect.onError(() => created ? takeBack(entry) : Effect.void)
            )
        )
      })
    )
}
