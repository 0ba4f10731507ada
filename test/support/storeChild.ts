/** A process that opens a store, commits, prints "ready", and stays until it is killed. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as RuntimeStoreSqlite from "../../layers/RuntimeStoreSqlite.js"
import { SessionId } from "../../src/domain/Ids.js"
import * as C from "./commits.js"

const [filename = "", commits = "0", linger = "0"] = process.argv.slice(2)

const program = Effect.gen(function*() {
  const { at: opened } = yield* C.open(SessionId.make("child"))
  let at = opened
  for (let i = 0; i < Number(commits); i++) {
    at = yield* C.commit(at, { inputs: [C.insert(C.recordOf(i, { text: `input ${i}` }))] })
  }
  // The anchor is written at most once a second.
  yield* Effect.sleep(Number(linger))
  yield* C.commit(at, {})
  yield* Effect.sleep(100)
  yield* Console.log("ready")
  return yield* Effect.never
})

Effect.runPromise(Effect.provide(program, RuntimeStoreSqlite.layer({ filename }))).catch((error) => {
  process.stdout.write(`failed ${String(error)}\n`)
})
