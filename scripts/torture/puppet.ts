/**
 * A process that executes commands on a store file. It reads one command per line and answers with one line of JSON:
 * `open`, `commit BYTES`, `count`, `look`, `close`. It ends when its standard input ends.
 */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { createInterface } from "node:readline"
import * as RuntimeStoreReaderSqlite from "../../layers/RuntimeStoreReaderSqlite.js"
import * as RuntimeStoreSqlite from "../../layers/RuntimeStoreSqlite.js"
import { RuntimeStore } from "../../services/RuntimeStore.js"
import { RuntimeStoreReader } from "../../services/RuntimeStoreReader.js"
import { runtimeIdOf, SessionId } from "../../src/domain/Ids.js"
import * as C from "../../test/support/commits.js"

const [filename = "", maxFileBytes = "0"] = process.argv.slice(2)
const session = SessionId.make("puppet")
const runtimeId = runtimeIdOf(session)

/** The open store. */
interface Held {
  readonly scope: Scope.CloseableScope
  readonly store: RuntimeStore["Type"]
  at: C.Cursor
  nextSeq: number
}

let held: Held | undefined

const options = {
  filename,
  busyPatience: "2 seconds",
  ...(Number(maxFileBytes) > 0 ? { maxFileBytes: Number(maxFileBytes) } : {})
} as const

const open = Effect.gen(function*() {
  const scope = yield* Scope.make()
  const context = yield* Layer.buildWithScope(RuntimeStoreSqlite.layer(options), scope).pipe(
    Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
  )
  const store = yield* Effect.provide(RuntimeStore, context)
  const opened = yield* Effect.exit(Effect.provideService(C.open(session), RuntimeStore, store))
  if (Exit.isFailure(opened)) {
    yield* Scope.close(scope, Exit.void)
    return yield* opened
  }
  const { at, image } = opened.value
  held = { scope, store, at, nextSeq: image?.nextAdmissionSeq ?? 0 }
  return { opened: image?.nextAdmissionSeq ?? 0 }
})

const commit = (bytes: number) =>
  Effect.gen(function*() {
    if (held === undefined) return { error: "NotOpen" }
    const { at, nextSeq, store } = held
    const record = C.recordOf(nextSeq, { key: `k${nextSeq}`, text: "x".repeat(bytes) })
    yield* store.commit(C.commitOf(at, { inputs: [C.insert(record)] }))
    held.at = C.next(at)
    held.nextSeq = nextSeq + 1
    return { acknowledged: nextSeq }
  })

const count = Effect.gen(function*() {
  if (held === undefined) return { error: "NotOpen" }
  const inputs = yield* Stream.runCollect(held.store.inputs(runtimeId))
  return { count: Chunk.size(inputs) }
})

/** Reads the file while another process may hold it. */
const look = Effect.gen(function*() {
  const reader = yield* RuntimeStoreReader
  let count = 0
  for (const { runtimeId } of yield* Stream.runCollect(reader.sessions())) {
    count += Chunk.size(yield* Stream.runCollect(reader.inputs(runtimeId)))
  }
  return { count, source: reader.source }
}).pipe(Effect.provide(RuntimeStoreReaderSqlite.layer({ filename })))

const close = Effect.gen(function*() {
  if (held !== undefined) yield* Scope.close(held.scope, Exit.void)
  held = undefined
  return { closed: true }
})

const told = (line: string): Effect.Effect<object, unknown> => {
  const [word, argument] = line.split(" ")
  switch (word) {
    case "open":
      return open
    case "commit":
      return commit(Number(argument))
    case "look":
      return look
    case "count":
      return count
    default:
      return close
  }
}

/** Returns a failure as an answer; a defect is an answer too, which no caller expects. */
const answerOf = (exit: Exit.Exit<object, unknown>): object => {
  if (Exit.isSuccess(exit)) return exit.value
  const error = Option.getOrUndefined(Cause.failureOption(exit.cause))
  if (typeof error !== "object" || error === null || !("_tag" in error)) return { defect: Cause.pretty(exit.cause) }
  const more = {
    ...("holder" in error ? { holder: error.holder } : {}),
    ...("code" in error ? { code: error.code } : {}),
    ...("rescued" in error ? { rescued: error.rescued } : {})
  }
  return { error: error._tag, ...more }
}

const answer = (value: object) => void process.stdout.write(`${JSON.stringify(value)}\n`)

let last = Promise.resolve()
createInterface({ input: process.stdin }).on("line", (line) => {
  last = last.then(async () => answer(answerOf(await Effect.runPromiseExit(told(line)))))
}).on("close", () => void last.then(() => Effect.runPromise(close)).then(() => process.exit()))
answer({ pid: process.pid })
