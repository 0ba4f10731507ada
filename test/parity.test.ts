/** Checks docs/explanation/parity.md against the members of the machine. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as MeerkatMachineLive from "../layers/MeerkatMachineLive.js"
import { MeerkatMachine } from "../services/MeerkatMachine.js"

const text = fs.readFileSync("docs/explanation/parity.md", "utf8")

/** The names in backquotes. */
const named = (source: string): ReadonlyArray<string> =>
  Array.from(source.matchAll(/`([^`]+)`/g), ([, name]) => name ?? "")

const column = text.split("\n").filter((line) => line.startsWith("| `")).flatMap((line) =>
  named(line.split("|")[2] ?? "")
)
const lists = named(text.slice(text.indexOf("## Beside the file")))

describe("docs/explanation/parity.md", () => {
  it("has a line for every function", () => {
    const there = text.split("\n").filter((line) => line.startsWith("| `")).flatMap((line) =>
      named(line.split("|")[1] ?? "")
    )
    assert.strictEqual(new Set(there).size, 25)
  })

  it("names only files that exist", () => {
    for (const path of column.filter((name) => name.includes("/"))) assert.isTrue(fs.existsSync(path), path)
  })

  it.effect("names every member of the machine, and only existing ones", () =>
    Effect.gen(function*() {
      const machine = yield* MeerkatMachine
      const members = Object.keys(machine)
      const ours = [...column.filter((name) => !name.includes("/")), ...lists]
      assert.deepStrictEqual(ours.filter((name) => !members.includes(name)), [])
      assert.deepStrictEqual(members.filter((name) => !ours.includes(name) && name !== "fiberCount"), [])
    }).pipe(Effect.provide(MeerkatMachineLive.layerEphemeral)))
})
