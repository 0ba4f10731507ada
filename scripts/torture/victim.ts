/**
 * A process with many sessions, with one input each, all in flight at once. Its arguments are `db sessions pause poison`.
 * Each turn takes `pause` ms; with `poison` 1 the turn of session v0 kills the process. It prints `ready` when every
 * session is attached, and ends with one line of JSON: the outcome of each session's input.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import * as RuntimeStoreSqlite from "../../layers/RuntimeStoreSqlite.js"
import type { CoreExecutor } from "../../services/CoreExecutor.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import * as Reply from "../../services/Turn.js"
import { SessionId } from "../../src/domain/Ids.js"

const [filename = "", sessions = "1", pause = "100", poison = "0"] = process.argv.slice(2)
const ids = Array.from({ length: Number(sessions) }, (_, n) => SessionId.make(`v${n}`))
// kills the process at random before or after the flush of the staging
const fuse = process.pid % 2 === 0 ? 0 : 60

const executor: CoreExecutor = {
  apply: ({ sessionId }) =>
    poison === "1" && sessionId === "v0"
      ? Effect.zipRight(
        Effect.delay(Effect.sync(() => process.kill(process.pid, "SIGKILL")), fuse),
        Effect.never
      )
      : Effect.delay(Effect.succeed(Reply.reply("done")), Number(pause))
}

const living = Effect.gen(function*() {
  const machine = yield* MeerkatMachine
  const attached = Effect.fn(function*(id: SessionId) {
    yield* machine.registerSession(id)
    const { completion } = yield* machine.session(id).prompt(`the order of ${id}`, { idempotencyKey: "order" })
    return { id, completion }
  })
  // accepts all inputs before the first attachment: the inputs of all sessions are in flight together
  const orders = yield* Effect.forEach(ids, attached)
  yield* Effect.forEach([...ids].reverse(), (id) => machine.ensureSessionWithExecutor(id, executor))
  process.stdout.write("ready\n")
  const ends = yield* Effect.forEach(
    orders,
    ({ completion, id }) => Effect.map(completion.wait, ({ _tag }) => [id, _tag] as const),
    { concurrency: "unbounded" }
  )
  process.stdout.write(`${JSON.stringify(Object.fromEntries(ends))}\n`)
})

Effect.runPromise(
  Effect.provide(living, Layer.provide(MeerkatMachineLive.layer, RuntimeStoreSqlite.layer({ filename })))
).then(() => process.exit(0), (error: unknown) => {
  process.stderr.write(String(error))
  process.exit(1)
})
