/** Checks docs/verification/simulation.md against the rules that the simulation reports. */
import { assert, describe, it } from "@effect/vitest"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"

const sources = (folder: string): ReadonlyArray<string> =>
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => readFileSync(join(folder, name), "utf8"))

/** The rules in a text as reports name them: the number of a property, then words. */
const rules = (text: string, quote: string): ReadonlyArray<string> =>
  Array.from(text.matchAll(new RegExp(`${quote}(\\d+ [a-z][a-z ,-]*[a-z])${quote}`, "g")), ([, rule]) => rule ?? "")
    .filter((rule) => !/^\d+ (?:second|minute|hour)s?$/.test(rule))

const sorted = (names: Iterable<string>) => Array.from(new Set(names)).sort()

describe("docs/verification/simulation.md", () => {
  it("names exactly the rules that exist", () => {
    const there = sources("src/testkit/simulation").flatMap((text) => rules(text, "\""))
    const named = rules(readFileSync("docs/verification/simulation.md", "utf8"), "`")
    assert.isAbove(there.length, 40)
    assert.deepStrictEqual(sorted(named), sorted(there))
  })

  it("says for each property where it is checked", () => {
    const rows = Array.from(
      readFileSync("docs/verification/simulation.md", "utf8").matchAll(/^\| (\d+) /gm),
      ([, n]) => Number(n)
    )
    assert.deepStrictEqual(rows, Array.from({ length: 31 }, (_, i) => i + 1))
  })
})
