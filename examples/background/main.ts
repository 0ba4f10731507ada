// Background work that outlives the turn, the process, or both:
//
//   npx tsx examples/background/main.ts jobs.db 'npm test' 'npm run build'
//
// Start it, kill it, start it again. Commands of this process end with the process. The external operation survives:
// a line "<operation id> <result>" on standard input completes it, as a webhook would.
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeStream from "@effect/platform-node/NodeStream"
import { CoreExecutor, Ids, MeerkatMachine, MeerkatMachineLive, Message, Turn } from "effect-meerkat"
import type { Operation, SessionOperations } from "effect-meerkat"
import { output } from "effect-meerkat/command"
import * as RuntimeStoreSqlite from "effect-meerkat/sqlite"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"

const live = (operations: SessionOperations.SessionOperations) =>
  Effect.map(operations.list, (all) => all.filter(({ outcome }) => outcome === undefined))

/** Starts the commands that do not run yet. A retried turn must not start a command twice. */
const start = (operations: SessionOperations.SessionOperations, commands: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const running = (yield* live(operations)).map(({ spec }) => spec.displayName)
    for (const shell of commands.filter((command) => !running.includes(command))) {
      yield* operations.run(output({ command: { shell } }), { displayName: shell })
    }
    if (!running.includes("review")) yield* operations.external({ displayName: "review" })
    return (yield* live(operations)).map(({ spec }) => `started ${spec.displayName} (${spec.id})`)
  })

const describe = ({ displayName, outcome }: Operation.CompletionEntry): string => {
  switch (outcome._tag) {
    case "Completed":
      return `${displayName}: ${outcome.result.content}`
    case "Failed":
      return `${displayName} failed: ${outcome.error}`
    default:
      return `${displayName} is ${outcome._tag.toLowerCase()}${"reason" in outcome ? `: ${outcome.reason}` : ""}`
  }
}

/** The first turn starts all operations. Each end wakes the idle session and is in `completions` of the next turn. */
const agent = (commands: ReadonlyArray<string>) =>
  CoreExecutor.make((turn) =>
    Effect.gen(function*() {
      const asked = turn.inputs.some((input) => input._tag === "Prompt")
      const started = asked ? yield* start(turn.operations, commands) : []
      const left = (yield* live(turn.operations)).length
      const rest = left === 0 ? "nothing is left" : `${left} to go`
      return Turn.reply([...started, ...turn.completions.map(describe), rest].join("\n"))
    }).pipe(Effect.orDie) // if an operation cannot be registered, the attempt fails
  )

/** All answers of the session: those of earlier processes first, then new answers as they are committed. */
const answers = (session: MeerkatMachine.SessionHandle) =>
  session.events.pipe(
    Stream.filter((item) => item._tag !== "Event" || item.envelope.event._tag === "InputEnded"),
    Stream.mapEffect(() => Stream.runCollect(session.history)),
    Stream.mapAccum(0, (seen, messages) => [messages.length, Array.from(messages).slice(seen)]),
    Stream.flattenIterables,
    Stream.filter(({ role }) => role === "assistant"),
    Stream.map(({ blocks }) => Message.textOf(blocks))
  )

/** Completes external operations by id. Closing the stream closes standard input, so that the program can end. */
const webhook = (session: MeerkatMachine.SessionHandle) =>
  NodeStream.fromReadable(() => process.stdin, String).pipe(
    Stream.decodeText(),
    Stream.splitLines,
    Stream.mapEffect((line) =>
      Schema.decode(Ids.OperationId)(line.slice(0, 36)).pipe(
        Effect.flatMap((id) => session.operations.complete(id, line.slice(37))),
        Effect.catchAll((error) => Console.error(error.message))
      )
    ),
    Stream.runDrain,
    Effect.catchAll(Console.error)
  )

const program = (commands: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const machine = yield* MeerkatMachine.MeerkatMachine
    const session = yield* machine.sessionScoped("jobs", agent(commands))
    yield* session.prompt("check this", { idempotencyKey: "check" }) // a second process finds this key
    yield* Effect.forkScoped(webhook(session))
    yield* answers(session).pipe(
      Stream.tap(Console.log),
      Stream.takeUntil((answer) => answer.endsWith("nothing is left")),
      Stream.runDrain
    )
  }).pipe(Effect.scoped)

const [filename = "jobs.db", ...commands] = process.argv.slice(2)

program(commands).pipe(
  Effect.provide(MeerkatMachineLive.layer),
  Effect.provide(RuntimeStoreSqlite.layer({ filename })),
  NodeRuntime.runMain
)
