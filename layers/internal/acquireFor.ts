/**
 * Acquires a session for one operation, and undoes a registration that this call made when the operation fails or is
 * interrupted. A registration of another call is never undone.
 *
 * Callers: attaching an executor, preparing bindings.
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
import { isShared } from "./transitions.js"

export interface AcquireDeps {
  readonly registry: Pick<Registry, "find" | "acquire">
  /** ends an entry; completes when it has ended, however that went */
  readonly end: (entry: Entry) => Effect.Effect<void>
}

/** The outcome and the entry that it is of; `created` says whether this call registered the session. */
export interface Acquired<A> {
  readonly outcome: A
  readonly entry: Entry
  readonly created: boolean
}

export type AcquireFor = <A, E>(
  sessionId: SessionId,
  use: (entry: Entry) => Effect.Effect<A, E>,
  /** called synchronously when the operation is done: a caller that is interrupted then never gets the answer */
  onDone?: (done: Omit<Acquired<A>, "outcome">) => void
) => Effect.Effect<Acquired<A>, RuntimeDriverError | E>

export const make = (deps: AcquireDeps): AcquireFor => {
  /** An entry that another call holds stays, and so does one that a later entry has replaced. */
  const takeBack = (entry: Entry): Effect.Effect<void> =>
    Effect.suspend(() =>
      deps.registry.find(entry.sessionId) === entry && !isShared(entry.state.unsafeGet())
        ? deps.end(entry)
        : Effect.void
    )

  return (sessionId, use, onDone = () => {}) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.suspend(() => {
        let begun: Deferred.Deferred<Entry, RuntimeDriverError> | null = null
        const acquired = deps.registry.acquire(sessionId, (opened) => {
          begun = opened
        })
        // interrupted after the session was opened, and before this call got it
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
