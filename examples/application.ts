import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as FileSystem from "@effect/platform/FileSystem"
import { CoreExecutor, Ids, MeerkatMachine, MeerkatMachineLive, Message, Turn } from "effect-meerkat"
import * as RuntimeStoreSqlite from "effect-meerkat/sqlite"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"

/** Builds the executor of one session. A real one opens a client for a language model in this scope. */
const executorFor = (sessionId: Ids.SessionId) =>
  CoreExecutor.make((turn) => {
    const text = turn.appends.map(({ blocks }) => Message.textOf(blocks)).join(" ")
    return Effect.succeed(Turn.reply(`${sessionId}: ${text.toUpperCase()}`))
  })

/** Handles one request of a chat back end. The client repeats a request with the same id when it gets no answer. */
const handle = (user: string, requestId: string, text: string) =>
  Effect.gen(function*() {
    const machine = yield* MeerkatMachine.MeerkatMachine
    const sessionId = yield* Schema.decode(Ids.SessionId)(`user:${user}`)
    // The first request of a user registers the session and builds its executor; later ones find both.
    yield* machine.ensureSessionWithExecutorFactory(sessionId, executorFor(sessionId))
    const answer = yield* machine.session(sessionId).ask(text, { idempotencyKey: requestId, deadline: "30 seconds" })
    return answer.text
  })

/** The machine of one process. At start it attaches every session that has pending work. */
const machineOn = (filename: string) =>
  MeerkatMachineLive.layerResuming({ executorFor }).pipe(Layer.provide(RuntimeStoreSqlite.layer({ filename })))

export const program = Effect.gen(function*() {
  const files = yield* FileSystem.FileSystem
  const filename = `${yield* files.makeTempDirectoryScoped()}/chat.db`
  const requests = Effect.all(
    [handle("ann", "r-1", "hello"), handle("bob", "r-2", "good morning"), handle("ann", "r-3", "how are you?")],
    { concurrency: "unbounded" }
  )
  const answers = yield* Effect.provide(requests, machineOn(filename))
  // A second process: the repeated request gets its stored answer, and nothing runs.
  const repeated = yield* Effect.provide(handle("ann", "r-1", "hello"), machineOn(filename))
  return { answers, repeated }
}).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer))

export const expected = {
  answers: ["user:ann: HELLO", "user:bob: GOOD MORNING", "user:ann: HOW ARE YOU?"],
  repeated: "user:ann: HELLO"
}
