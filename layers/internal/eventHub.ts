/** @since 0.1.0 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
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
  /** Nothing comes any more: who follows gets what is left, who comes later a snapshot, and both their end. */
  readonly close: () => void
}

/** What has come for one subscriber and was not taken yet. Each has its own, so that a slow one is late alone. */
interface Subscriber {
  events: Array<RuntimeEventEnvelope>
  /** more came than it may fall behind: what it missed is made up for by a snapshot */
  lagging: boolean
  /** the last event that it knows of, itself or by a snapshot */
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

/** What is there to be told; nothing if it is up to date. */
const take = (subscriber: Subscriber, now: Extract<SessionEvent, { readonly _tag: "Snapshot" }>) => {
  const { events, lagging, last } = subscriber
  subscriber.events = []
  subscriber.lagging = false
  if (lagging || events.length > 0) subscriber.last = now.sequence
  return lagging
    ? [{ _tag: "Lagged", missed: now.sequence - last } as const, now]
    : events.map((envelope): SessionEvent => ({ _tag: "Event", envelope }))
}

export const make = (
  sessionId: SessionId,
  buffer: number,
  state: () => SessionState
): EventHub => {
  let sequence = 0
  let subscribers: Set<Subscriber> | null = null
  let closed = false
  const snapshot = () => ({ _tag: "Snapshot", sequence, state: state() } as const)

  /** Waits for what comes next; fails with nothing at the end. */
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
  /** Joined and read in one step: whatever is not in the snapshot comes after it. */
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
