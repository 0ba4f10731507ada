/** Resumes every session of a file, and prints when all are live and when all inputs are done, since process start. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import * as RuntimeStoreSqlite from "../../layers/RuntimeStoreSqlite.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import * as Turn from "../../services/Turn.js"
import { SessionId } from "../../src/domain/Ids.js"

const [, , filename = "", count = "0"] = process.argv

const program = Effect.gen(function*() {
  const all = yield* Deferred.make<void>()
  let left = Number(count)
  const executor = {
    apply: () =>
      Effect.suspend(() => {
        if (--left === 0) Deferred.unsafeDone(all, Effect.void)
        return Effect.succeed(Turn.reply("ok"))
      })
  }
  const layer = MeerkatMachineLive.layerResuming({ executorFor: () => Effect.succeed(executor) }).pipe(
    Layer.provide(RuntimeStoreSqlite.layer({ filename }))
  )
  const lives = Effect.gen(function*() {
    const machine = yield* MeerkatMachine
    const live = performance.now()
    yield* Deferred.await(all)
    // the last boundary commits follow the last `apply`
    let open = 1
    while (open > 0) {
      open = 0
      for (let i = 0; i < Number(count); i++) {
        const snapshot = yield* machine.meerkatMachineSpineSnapshot(SessionId.make(`s${i}`))
        if (snapshot._tag === "Some" && snapshot.value.queue.length + snapshot.value.staged.length > 0) open++
      }
    }
    console.log(JSON.stringify({ live, done: performance.now() }))
  })
  yield* Effect.provide(lives, layer)
})

program.pipe(Effect.runPromise).then(() => process.exit(0))
