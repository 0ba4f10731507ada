// @effect-diagnostics nodeBuiltinImport:off
/** The short form of `npm run torture`, with a new seed in each run. */
import { assert, describe, it } from "@effect/vitest"
import { afterAll } from "vitest"
import { bundle } from "../../scripts/torture/bundle.js"
import { damaging } from "../../scripts/torture/damage.js"
import { holding } from "../../scripts/torture/holders.js"
import { killing } from "../../scripts/torture/killing.js"
import { filling } from "../../scripts/torture/space.js"
import { vanishing } from "../../scripts/torture/vanishing.js"

const programs = bundle()
afterAll(() => programs.remove())

const seed = Math.floor(performance.timeOrigin) % 1_000_000

const none = (violations: ReadonlyArray<string>, part: string) =>
  assert.deepStrictEqual(violations, [], `npm run torture -- --only ${part} --seed ${seed}`)

describe(`torture, seed ${seed}`, () => {
  it("60 kills: nothing acknowledged is lost, nothing is committed twice", async () => {
    const counts = await killing(programs, { seed, kills: 60, perWorld: 15, lanes: 2, say: () => {} })
    none(counts.violations, "kills")
    assert.strictEqual(counts.kills, 60)
    assert.isAtLeast(counts.verified, 8)
  }, 600_000)

  it("holders: stopped, raced, fenced", async () => {
    const counts = await holding(programs, 3, seed)
    none(counts.violations, "holders")
    assert.isAtLeast(counts.refused, 5)
  }, 300_000)

  it("vanishing: a store that goes away is told and rescued", async () => {
    const counts = await vanishing(programs, 4, seed)
    none(counts.violations, "vanishing")
    assert.deepStrictEqual([counts.told, counts.rescued], [4, 4])
  }, 300_000)

  it("damage: reported and never served", async () => {
    const counts = await damaging(8, seed)
    none(counts.violations, "damage")
    assert.isAbove(counts.refused + counts.reported, counts.harmless)
  }, 300_000)

  it("space: full media and read-only folders give typed errors, and work again with room", async () => {
    const counts = await filling(programs, 5, seed)
    none(counts.violations, "space")
    const ran = Object.keys(counts.ran)
    const notRun = Object.entries(counts.notRun).map(([name, why]) => `${name} (${why})`)
    const which = `ran: ${ran.join(", ")}; not run: ${notRun.join(", ") || "none"}`
    if (notRun.length > 0) process.stderr.write(`torture, space: ${which}\n`)
    assert.includeMembers(ran, ["limit of a file's size", "limit of pages", "limit while opening"], which)
    assert.strictEqual(ran.length + notRun.length, 5, which)
    assert.isAtLeast(counts.acknowledged, 10, which)
  }, 300_000)
})
