/** @since 0.1.0 */
import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import type * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { SessionEvent } from "../../services/MachineAuthority.js"
import type { SessionId } from "../../src/domain/Ids.js"
import type { RuntimeEvent, RuntimeEventEnvelope } from "../../src/domain/RuntimeEvent.js"
import type { SessionState } from "../../src/domain/SessionState.js"

/** Events of one session. Costs nothing until the first subscriber (D33). */
export interface EventHub {
  readonly offer: (at: number, event: RuntimeEvent) => void
  /** made anew for each subscriber, so that a session without one holds none */
  readonly stream: () => Stream.Stream<SessionEvent>
  readonly shutdown: () => Effect.Effect<void>
}

interface Subscriber {
  readonly queue: Queue.Dequeue<RuntimeEventEnvelope>
  last: number
}

/** Turns what the queue gives into events; a jump in the sequence means that the slow reader lost some. */
const follow = (subscriber: Subscriber, state: () => SessionState, sequence: () => number) =>
  Stream.fromQueue(subscriber.queue).pipe(
    Stream.filter((envelope) => envelope.sequence > subscriber.last),
    Stream.mapConcat((envelope): ReadonlyArray<SessionEvent> => {
      const missed = envelope.sequence - subscriber.last - 1
      subscriber.last = envelope.sequence
      if (missed === 0) return [{ _tag: "Event", envelope }]
      subscriber.last = sequence()
      return [
        { _tag: "Lagged", missed: missed + subscriber.last - envelope.sequence + 1 },
        { _tag: "Snapshot", sequence: subscriber.last, state: state() }
      ]
    })
  )

export const make = (
  sessionId: SessionId,
  buffer: number,
  state: () => SessionState
): EventHub => {
  let sequence = 0
  let hub: PubSub.PubSub<RuntimeEventEnvelope> | null = null
  /** Two may come at the same time: whoever is second finds the hub of the first, and drops its own. */
  const open = (): Effect.Effect<PubSub.PubSub<RuntimeEventEnvelope>> =>
    hub !== null
      ? Effect.succeed(hub)
      : Effect.map(PubSub.sliding<RuntimeEventEnvelope>(buffer), (made) => hub ??= made)
  const subscribe = (): Effect.Effect<Stream.Stream<SessionEvent>, never, Scope.Scope> =>
    Effect.gen(function*() {
      const queue = yield* PubSub.subscribe(yield* open())
      // Subscribed first, read second: what is published in between is in the snapshot and filtered from the queue.
      const subscriber: Subscriber = { queue, last: sequence }
      const first: SessionEvent = { _tag: "Snapshot", sequence, state: state() }
      return Stream.concat(Stream.make(first), follow(subscriber, state, () => sequence))
    })
  return {
    offer: (at, event) => {
      sequence++
      if (hub !== null) hub.unsafeOffer({ sequence, at, sessionId, event })
    },
    stream: () => Stream.unwrapScoped(subscribe()),
    shutdown: () => hub === null ? Effect.void : PubSub.shutdown(hub)
  }
}
