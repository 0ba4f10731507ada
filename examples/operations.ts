import { CoreExecutor, MeerkatMachine, MeerkatMachineLive, Turn } from "effect-meerkat"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"

const executor = CoreExecutor.make((turn) =>
  Effect.gen(function*() {
    // `completions` holds the operations that ended since the last committed turn.
    if (turn.completions.length > 0) {
      return Turn.reply(
        turn.completions.map(({ displayName, outcome }) => `${displayName}: ${outcome._tag}`).join(", ")
      )
    }
    // Runs in a fiber of the session: it outlives the turn, but not the process.
    yield* turn.operations.run(Effect.delay(Effect.succeed("42 files"), "10 millis"), { displayName: "count" })
    // Work outside this process: it outlives the process too.
    yield* turn.operations.external({ displayName: "review" })
    return Turn.reply("started")
  }).pipe(Effect.orDie)
)

export const program = Effect.gen(function*() {
  const machine = yield* MeerkatMachine.MeerkatMachine
  const session = yield* machine.sessionScoped("operations", executor)
  const { operations } = session

  /** Waits until a committed turn has received the feed up to this entry. */
  const delivered = (seq: number) =>
    session.events.pipe(
      Stream.mapEffect(() => operations.cursors),
      Stream.filter(({ agentApplied }) => agentApplied >= seq),
      Stream.runHead
    )

  const answer = yield* session.ask("begin")
  const [count, review] = yield* operations.list // by display name
  const counted = count === undefined ? null : yield* operations.watch(count.spec.id)
  yield* delivered(1)
  if (review !== undefined) yield* operations.complete(review.spec.id, "looks good") // as a webhook would
  yield* delivered(2)

  const feed = yield* operations.feed().pipe(Stream.take(2), Stream.runCollect)
  const answers = yield* session.history.pipe(Stream.filter(({ role }) => role === "assistant"), Stream.runCollect)
  return {
    first: answer.text,
    counted: counted?._tag,
    feed: Array.from(feed, (item) => item._tag === "Completion" ? item.entry.displayName : item._tag),
    answers: Array.from(answers, ({ blocks }) => blocks)
  }
}).pipe(Effect.scoped, Effect.provide(Layer.fresh(MeerkatMachineLive.layerEphemeral)))

export const expected = {
  first: "started",
  counted: "Completed",
  feed: ["count", "review"],
  answers: [
    [{ type: "text", text: "started" }],
    [{ type: "text", text: "count: Completed" }],
    [{ type: "text", text: "review: Completed" }]
  ]
}
