import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as MeerkatMachineLive from "../../layers/MeerkatMachineLive.js"
import * as RuntimeControlPlaneLive from "../../layers/RuntimeControlPlaneLive.js"
import * as CoreExecutor from "../../services/CoreExecutor.js"
import { MeerkatMachine } from "../../services/MeerkatMachine.js"
import { RuntimeControlPlane } from "../../services/RuntimeControlPlane.js"
import * as Turn from "../../services/Turn.js"
import { SessionId } from "../../src/domain/Ids.js"
import * as Simulation from "../../src/testkit/Simulation.js"
import * as Faults from "../../src/testkit/simulation/StoreFaults.js"
import * as Tally from "../../src/testkit/simulation/Tally.js"
import { loaded, names } from "../../src/testkit/simulation/traffic/Traffic.js"
import { depth } from "../support/worlds.js"

/** The first seed of the sweep of fresh seeds. It changes every second; `MEERKAT_SEED=N` repeats a sweep. */
const first = Number(process.env["MEERKAT_SEED"] ?? 10_000_000 + Math.floor(Date.now() / 1000) % 100_000_000 * 10)

const holds = (report: Simulation.SimulationReport) =>
  assert.deepStrictEqual(report.violations, [], `seed ${report.seed}`)

/** Returns the names of the methods of a value; a method of an area is named by its path. */
const methodsOf = (prefix: string, value: object): ReadonlyArray<string> =>
  Object.entries(value).flatMap(([name, member]) =>
    name === "sessionId"
      ? []
      : typeof member === "object" && member !== null && !Effect.isEffect(member) &&
          Object.getPrototypeOf(member) === Object.prototype
      ? methodsOf(`${prefix}.${name}`, member)
      : [`${prefix}.${name}`]
  )

describe("simulation", () => {
  it("MEERKAT_SEED is a whole number when it is set", () => {
    assert.isTrue(
      Number.isSafeInteger(first),
      `MEERKAT_SEED is not a whole number: ${process.env["MEERKAT_SEED"] ?? ""}`
    )
  })

  it(`no fresh seed breaks a rule (MEERKAT_SEED=${first})`, { timeout: 120_000 }, () => {
    let gaveUp = 0
    for (let seed = first; seed < first + depth(3, 10); seed++) {
      const report = Simulation.simulate(seed)
      holds(report)
      gaveUp += Tally.total(report.tally, "gaveUp")
    }
    // one call in five seeds may take longer than the patience of its client, which then stops to watch it
    assert.isAtMost(gaveUp, depth(6, 20))
  })

  it("no fixed seed breaks a rule", { timeout: 60_000 }, () => {
    for (let seed = 1000; seed < depth(1001, 1005); seed++) holds(Simulation.simulate(seed))
  })

  it("no seed of an earlier finding breaks a rule", { timeout: 90_000 }, () => {
    for (const seed of [2, 23]) holds(Simulation.simulate(seed))
  })

  it("a seed repeats exactly", { timeout: 60_000 }, () => {
    const [a, b] = [Simulation.simulate(7), Simulation.simulate(7)]
    assert.deepStrictEqual(a, b)
    assert.notStrictEqual(a.trace, Simulation.simulate(8).trace)
  })

  it("reports stepLimit when a life takes more than maxSteps", () => {
    const { violations } = Simulation.simulate(3, { plan: { faults: Faults.none, crashes: [] }, maxSteps: 500 })
    assert.match(violations[0] ?? "", /stepLimit/)
  })

  it("a plan without faults injects no fault", { timeout: 60_000 }, () => {
    const calm = Simulation.simulate(3, { plan: { faults: Faults.none, crashes: [] } })
    holds(calm)
    assert.strictEqual(Tally.total(calm.tally, "fault"), 0)
  })

  it("an executor of the user runs in the same simulation", { timeout: 60_000 }, () => {
    const executorFor = () => CoreExecutor.make(() => Effect.succeed(Turn.reply("hello")))
    const report = Simulation.simulate(5, { executorFor })
    holds(report)
    assert.isAbove(Tally.total(report.tally, "run"), 0)
    assert.strictEqual(Tally.total(report.tally, "act"), 0)
  })

  it("the dice name existing methods only", () => {
    assert.deepStrictEqual(loaded.filter((name) => !names.includes(name)), [])
  })

  it.live("clients call every method of the machine", () =>
    Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      const control = yield* RuntimeControlPlane
      const found = [
        ...methodsOf("machine", machine),
        ...methodsOf("session", machine.session(SessionId.make("s"))),
        ...methodsOf("control", control)
      ]
      assert.deepStrictEqual([...names].sort(), [...found].sort())
    }).pipe(
      Effect.provide(Layer.provideMerge(RuntimeControlPlaneLive.layer, MeerkatMachineLive.layerEphemeral))
    ))
})
