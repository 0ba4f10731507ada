/**
 * The event stream of one session: subscribers, their buffers and snapshots. The authority offers events, the session
 * handle subscribes. Invariants: a slow subscriber delays no other, and a lagging one gets a snapshot.
 *
 * @since 0.1.0
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { SessionEvent } from "../../services/MachineAuthority.js"
import type { SessionId } from "../../src/domain/Ids.js"
import type { RuntimeEvent, RuntimeEventEnvelope } from "../../src/domain/RuntimeEvent.js"
import type { SessionState } from "../../src/domain/SessionState.js"

/** The events of one session. It costs nothing before the first subscription (D33). */
export interface EventHub {
  readonly offer: (at: number, event: RuntimeEvent) => void
  /** makes a new stream for each subscriber, so that a session without subscribers holds no buffer */
  readonly stream: () => Stream.Stream<SessionEvent>
  /** ends the streams: subscribers get the rest, later ones a snapshot, then the end */
  readonly close: () => void
}

/**
 * The events that one subscriber has not taken yet. Each subscriber has its own buffer, so a slow one delays no other.
 */
interface Subscriber {
  events: Array<RuntimeEventEnvelope>
  /** the buffer overflowed; the subscriber gets a snapshot instead of the missed events */
  lagging: boolean
  /** the sequence of the last event that it knows, directly or through a snapshot */
  last: number
  wake: (() => void) | null
}

const put = (subscriber: Subscriber, envelope: RuntimeEventEnvelope, buffer: number): void => {
  if (subscriber.lagging) return
  if (subscriber.events.length < buffer) subscriber.events.push(envelope)
  else {
    subscriber.events = []
    subscriber.lagging = true
  }
  awake(subscriber)
}

const awake = (subscriber: Subscriber): void => {
  const { wake } = subscriber
  subscriber.wake = null
  if (wake !== null) wake()
}

/** Takes what a subscriber has not received; empty if it is up to date. */
const take = (subscriber: Subscriber, now: Extract<SessionEvent, { readonly _tag: "Snapshot" }>) => {
  const { events, lagging, last } = subscriber
  subscriber.events = []
  subscriber.lagging = false
  if (lagging || events.length > 0) subscriber.last = now.sequence
  return lagging
    ? [{ _tag: "Lagged", missed: now.sequence - last } as const, now]
    : events.map((envelope): SessionEvent => ({ _tag: "Event", envelope }))
}

/** Makes the event stream of a session; `buffer` bounds the events that one subscriber may fall behind. */
export const make = (
  sessionId: SessionId,
  buffer: number,
  state: () => SessionState
): EventHub => {
  let sequence = 0
  let subscribers: Set<Subscriber> | null = null
  let closed = false
  const snapshot = () => ({ _tag: "Snapshot", sequence, state: state() } as const)

  /** Waits for the next events; fails with none at the end of the stream. */
  const next = (subscriber: Subscriber): Effect.Effect<Chunk.Chunk<SessionEvent>, Option.Option<never>> =>
    Effect.async((resume) => {
      const taken = take(subscriber, snapshot())
      if (taken.length > 0) return resume(Effect.succeed(Chunk.unsafeFromArray(taken)))
      if (closed) return resume(Effect.fail(Option.none()))
      subscriber.wake = () => resume(next(subscriber))
      return Effect.sync(() => {
        subscriber.wake = null
      })
    })
  const join = (): Subscriber => {
    const subscriber: Subscriber = { events: [], lagging: false, last: sequence, wake: null }
    if (!closed) (subscribers ??= new Set()).add(subscriber)
    return subscriber
  }
  const leave = (subscriber: Subscriber): void => {
    subscribers?.delete(subscriber)
    if (subscribers?.size === 0) subscribers = null
  }
  /** Subscribes and takes the snapshot in one step, so every event after the snapshot is received. */
  const subscribe: Effect.Effect<Stream.Stream<SessionEvent>, never, Scope.Scope> = Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => ({ first: snapshot(), subscriber: join() })),
      ({ subscriber }) => Effect.sync(() => leave(subscriber))
    ),
    ({ first, subscriber }) =>
      Stream.concat(Stream.make<[SessionEvent]>(first), Stream.repeatEffectChunkOption(next(subscriber)))
  )
  return {
    offer: (at, event) => {
      sequence++
      if (subscribers === null || closed) return
      const envelope: RuntimeEventEnvelope = { sequence, at, sessionId, event }
      for (const subscriber of subscribers) put(subscriber, envelope, buffer)
    },
    stream: () => Stream.unwrapScoped(subscribe),
    close: () => {
      closed = true
      for (const subscriber of subscribers ?? []) awake(subscriber)
    }
  }
}
