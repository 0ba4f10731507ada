import type { Completion } from "effect-meerkat"
import { CommsRuntimeMailbox, CoreExecutor, MeerkatMachine, MeerkatMachineLive, Message, Turn } from "effect-meerkat"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"

const executor = CoreExecutor.make((turn) =>
  Effect.succeed(Turn.reply(`heard: ${turn.appends.map(({ blocks }) => Message.textOf(blocks)).join(" ")}`))
)

const conversation = Effect.gen(function*() {
  const machine = yield* MeerkatMachine.MeerkatMachine
  const session = yield* machine.sessionScoped("comms", executor)

  // Peers write to this inbox. Its `onReceipt` gets the result of each admission, with an effect that awaits the end.
  const admitted = yield* Queue.unbounded<Effect.Effect<Completion.CompletionOutcome>>()
  const inbox = yield* CommsRuntimeMailbox.make({
    onReceipt: (_, receipt) =>
      receipt._tag === "Admitted" && Option.isSome(receipt.completion)
        ? Queue.offer(admitted, receipt.completion.value)
        : Effect.void
  })

  const spawned = yield* session.comms.attach(inbox)
  const again = yield* session.comms.attach(inbox) // the session drains this inbox already

  const peer = { peerId: "018f3c1e-7b1a-7000-8000-000000000001", displayIdentity: "scout" }
  yield* inbox.tell(peer, "the coast is clear")
  const outcome = yield* Effect.flatten(Queue.take(admitted))

  // After `detach` the inbox keeps new messages until another session drains it.
  yield* session.comms.detach
  yield* inbox.tell(peer, "are you there?")
  const { _tag: owner } = yield* session.comms.owner
  return {
    spawned,
    again,
    answer: outcome._tag === "Completed" ? outcome.result.text : outcome._tag,
    waiting: yield* inbox.size,
    owner
  }
})

export const program = conversation.pipe(Effect.scoped, Effect.provide(MeerkatMachineLive.layerEphemeral))

export const expected = {
  spawned: true,
  again: false,
  answer: "heard: the coast is clear",
  waiting: 1,
  owner: "Unattached"
}
