/** Requests that arrive between the staging of a batch and the start of its run, over many schedules. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as HandoverLive from "../../layers/HandoverLive.js"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import * as RuntimeStoreMemory from "../../layers/RuntimeStoreMemory.js"
import { make } from "../../services/CoreExecutor.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import { SessionId } from "../../src/domain/Ids.js"
import * as Sim from "../../src/testkit/Sim.js"
import { depth } from "../support/worlds.js"

const seeds = depth(20, 200)
const id = SessionId.make("w")
const layer = MeerkatMachineLive.layer.pipe(
  Layer.provide(RuntimeStoreMemory.layerNoDeps()),
  Layer.provide(HandoverLive.layerYield)
)

/** Makes the request at some moment of a run that never ends by itself. Returns the outcome of the input. */
const attempt = (request: (machine: MeerkatMachine["Type"]) => Effect.Effect<unknown, unknown>) =>
  Effect.gen(function*() {
    const machine = yield* MeerkatMachine
    const hanging = yield* make(() => Effect.never)
    yield* machine.ensureSessionWithExecutor(id, hanging)
    const { completion } = yield* machine.session(id).prompt("hello")
    yield* request(machine).pipe(
      Effect.retry(Schedule.intersect(Schedule.spaced("1 millis"), Schedule.recurs(50)))
    )
    return yield* completion.wait
  }).pipe(Effect.provide(layer))

describe("a request between staging and start of a run", () => {
  it("ends the run when it is a hard cancel", () => {
    for (let seed = 0; seed < seeds; seed++) {
      const result = Sim.run(attempt((machine) => machine.hardCancelCurrentRun(id, "now")), { seed, preempt: 0.1 })
      assert.strictEqual(result.exit?._tag, "Success", `seed ${seed}: ${result.end}`)
      assert.isBelow(result.elapsed, 5_000, `seed ${seed}`)
    }
  })

  it("ends the run before the teardown bound passes when it is an unregistration", () => {
    for (let seed = 0; seed < seeds; seed++) {
      const result = Sim.run(attempt((machine) => machine.unregisterSession(id)), { seed, preempt: 0.1 })
      assert.strictEqual(result.exit?._tag, "Success", `seed ${seed}: ${result.end}`)
      assert.isBelow(result.elapsed, 5_000, `seed ${seed}`)
    }
  })
})
