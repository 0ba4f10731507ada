/**
 * An inbox in memory. It is transactional: looking at an input and taking it off are apart, so that a drain that is
 * interrupted in between loses nothing. What is in it goes with the process; what a session admitted stays.
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

/** Who writes: `peerId` is a UUID. @since 0.1.0 @category models */
export interface Peer {
  readonly peerId: string
  readonly displayIdentity?: string
}

/** @since 0.1.0 @category models */
export interface CommsMailbox extends CommsRuntime {
  /**
   * Puts an input into the inbox; waits while it is full. False when the inbox was dismissed. An input keeps its id:
   * the same one sent twice is admitted once.
   */
  readonly send: (input: Input) => Effect.Effect<boolean>
  /** Sends what a peer says, with a fresh id; a plain message unless told otherwise. */
  readonly tell: (from: Peer, body: string, convention?: PeerConvention) => Effect.Effect<boolean>
  /** Takes nothing more; when what is in it is drained, the session is stopped. */
  readonly dismiss: Effect.Effect<void>
  /** Inputs that are not confirmed. */
  readonly size: Effect.Effect<number>
}

/** @since 0.1.0 @category models */
export interface MailboxOptions {
  /** inputs it holds before senders wait. Default 1,024 */
  readonly capacity?: number
  /** told of every input that was admitted or refused, by the drain: it should not take long */
  readonly onReceipt?: (input: Input, receipt: CommsReceipt) => Effect.Effect<void>
}

/** An empty inbox. @since 0.1.0 @category constructors */
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

/** What is in it goes first, whether it was dismissed or not. */
const head = (queue: TQueue.TQueue<Input>, dismissed: TRef.TRef<boolean>): STM.STM<Option.Option<Input>> =>
  STM.flatMap(TQueue.peekOption(queue), (found): STM.STM<Option.Option<Input>> =>
    Option.isSome(found)
      ? STM.succeed(found)
      : STM.flatMap(TRef.get(dismissed), (over) => over ? STM.succeed(found) : STM.retry))

/** Only the head is ever confirmed; a confirmation that comes again finds another one there. */
const takeOff = (queue: TQueue.TQueue<Input>, input: Input): Effect.Effect<void> =>
  STM.commit(
    STM.flatMap(TQueue.peekOption(queue), (found) =>
      Option.isSome(found) && found.value.header.id === input.header.id
        ? STM.asVoid(TQueue.take(queue))
        : STM.void)
  )
