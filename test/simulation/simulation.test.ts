import { assert, describe, it } from "@effect/vitest"
import { defaults, simulate } from "../../src/testkit/Simulation.js"

/** Fresh seeds at each run; a failing one is printed and repeats exactly with `npm run simulate -- --seed N`. */
const first = Number(process.env["MEERKAT_SEED"] ?? Math.floor(performance.timeOrigin) % 1_000_000)

describe("simulation", () => {
  it("no seed of a short sweep breaks a promise", { timeout: 60_000 }, () => {
    const covered = new Set<string>()
    for (let seed = first; seed < first + 60; seed++) {
      const report = simulate({ ...defaults, seed })
      assert.deepStrictEqual(report.violations, [], `seed ${seed}`)
      for (const name of Object.keys(report.operations)) covered.add(name)
    }
    assert.isAtLeast(covered.size, 18, "the clients reach the whole surface")
  })

  it("a seed repeats exactly", () => {
    const [a, b] = [simulate({ ...defaults, seed: 7 }), simulate({ ...defaults, seed: 7 })]
    assert.deepStrictEqual(a, b)
  })

  it("without faults none is counted", { timeout: 60_000 }, () => {
    const calm = simulate({
      ...defaults,
      seed: 3,
      faults: { ...defaults.faults, refuse: 0, lostAck: 0, lostCall: 0, delay: 0, refuseRead: 0 }
    })
    assert.deepStrictEqual(calm.faults, { refuse: 0, lostAck: 0, lostCall: 0, delay: 0, refuseRead: 0 })
    assert.deepStrictEqual(calm.violations, [])
  })
})
