import { assert, describe, it } from "@effect/vitest"
import { rows } from "../../src/kernel/table.js"
import { coalescing, oneInput, twoInputs, walk } from "../support/exploration.js"

describe("every state that commands and crashes lead to", () => {
  const fired = new Set<string>()
  const found = (name: string, alphabet: typeof oneInput, atLeast: number) =>
    it(name, () => {
      const { fired: ids, states } = walk(alphabet)
      ids.forEach((id) => fired.add(id))
      assert.isAtLeast(states, atLeast)
    }, 120_000)

  found("lifecycle, registration and run, with one input", oneInput, 5_000)
  found("two inputs, one of each lane", twoInputs, 1_000)
  found("inputs that coalesce", coalescing, 200)

  it("no row is dead", () => {
    // no policy of the default table supersedes; that row is shown by itself
    const dead = rows.map(({ id }) => id).filter((id) => !fired.has(id) && id !== "input.supersede")
    assert.deepStrictEqual(dead, [])
  })
})
