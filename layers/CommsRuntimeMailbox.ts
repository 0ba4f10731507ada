/**
 * An inbox in memory: peers write to it, the session's drain reads it. Reading an input and removing it are separate
 * steps, so an interrupted drain loses nothing. The inbox is lost with the process; admitted inputs are not.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as STM from "effect/STM"
import * as TQueue from "effect/TQueue"
import * as TRef from "effect/TRef"
import type { CommsReceipt, CommsRuntime } from "../services/CommsRuntime.js"
import { IdGen } from "../services/IdGen.js"
import { InputId } from "../src/domain/Ids.js"
import type { Input, PeerConvention } from "../src/domain/Input.js"
import { header } from "../src/domain/Input.js"
import * as IdGenLive from "./IdGenLive.js"

/** The sender of an input; `peerId` is a UUID. @since 0.1.0 @category models */
export interface Peer {
  readonly peerId: string
  readonly displayIdentity?: string
}

/** A mailbox: the inbox that a session drains, and the functions that peers call. @since 0.1.0 @category models */
export interface CommsMailbox extends CommsRuntime {
  /**
   * Puts an input into the inbox and waits while the inbox is full. Returns false if the inbox was dismissed. An input
   * keeps its id, so an input that is sent twice is admitted once.
   */
  readonly send: (input: Input) => Effect.Effect<boolean>
  /** Sends the text of a peer with a generated id; a plain message if no convention is given. */
  readonly tell: (from: Peer, body: string, convention?: PeerConvention) => Effect.Effect<boolean>
  /** Closes the inbox for senders. Once it is drained, the session is stopped. */
  readonly dismiss: Effect.Effect<void>
  /** The number of unconfirmed inputs. */
  readonly size: Effect.Effect<number>
}

/** Options of `make`. @since 0.1.0 @category models */
export interface MailboxOptions {
  /** how many inputs it holds before senders wait. Default 1,024 */
  readonly capacity?: number
  /** called by the drain for every admitted or refused input; a slow callback delays the drain */
  readonly onReceipt?: (input: Input, receipt: CommsReceipt) => Effect.Effect<void>
}

/** Makes an empty inbox. @since 0.1.0 @category constructors */
export const make = (options: MailboxOptions = {}): Effect.Effect<CommsMailbox> =>
  Effect.gen(function*() {
    const ids = yield* IdGen
    const queue = yield* TQueue.bounded<Input>(options.capacity ?? 1024)
    const dismissed = yield* TRef.make(false)
    const send = (input: Input) =>
      STM.commit(
        STM.flatMap(
          TRef.get(dismissed),
          (over) => over ? STM.succeed(false) : STM.as(TQueue.offer(queue, input), true)
        )
      )
    return {
      next: STM.commit(head(queue, dismissed)),
      confirm: (input: Input, receipt: CommsReceipt) =>
        Effect.zipRight(takeOff(queue, input), options.onReceipt?.(input, receipt) ?? Effect.void),
      send,
      tell: (from: Peer, body: string, convention: PeerConvention = { type: "message" }) =>
        Effect.flatMap(ids.next, (id) =>
          Effect.flatMap(Clock.currentTimeMillis, (now) =>
            send({
              _tag: "Peer",
              header: header(InputId.make(id), now, { source: { type: "peer", ...from } }),
              convention,
              body
            }))),
      dismiss: STM.commit(TRef.set(dismissed, true)),
      size: STM.commit(TQueue.size(queue))
    }
  }).pipe(Effect.provide(IdGenLive.layer))

// --- internal ---

/** Returns the oldest input, even after a dismissal; waits while the inbox is empty and not dismissed. */
const head = (queue: TQueue.TQueue<Input>, dismissed: TRef.TRef<boolean>): STM.STM<Option.Option<Input>> =>
  STM.flatMap(TQueue.peekOption(queue), (found): STM.STM<Option.Option<Input>> =>
    Option.isSome(found)
      ? STM.succeed(found)
      : STM.flatMap(TRef.get(dismissed), (over) => over ? STM.succeed(found) : STM.retry))

/** Removes the head if it is this input. A repeated confirmation finds another head and removes nothing. */
const takeOff = (queue: TQueue.TQueue<Input>, input: Input): Effect.Effect<void> =>
  STM.commit(
    STM.flatMap(TQueue.peekOption(queue), (found) =>
      Option.isSome(found) && found.value.header.id === input.header.id
        ? STM.asVoid(TQueue.take(queue))
        : STM.void)
  )
